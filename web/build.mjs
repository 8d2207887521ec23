// Builds src/ into dist/, which is committed so that building the Go binary needs no Node.
// With --check it builds into memory and compares: exit code 1 when dist/ is not what src/ gives.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";

const here = import.meta.dirname;
const dist = path.join(here, "dist");

const result = await build({
	absWorkingDir: here,
	entryPoints: { app: "src/main.ts", style: "src/style.css" },
	outdir: "dist",
	bundle: true,
	splitting: true, // each player is fetched when somebody chooses it
	format: "esm",
	target: ["chrome120", "firefox128", "safari17.4"],
	minify: true,
	legalComments: "none", // licences are in licenses.txt
	metafile: true,
	write: false,
	logLevel: "warning",
	chunkNames: "chunk-[hash]",
});

const files = new Map(result.outputFiles.map((f) => [path.relative(dist, f.path), Buffer.from(f.contents)]));
for (const name of ["index.html", "icon.svg"]) files.set(name, await readFile(path.join(here, "src", name)));
files.set("licenses.txt", Buffer.from(await licenses(Object.keys(result.metafile.inputs))));

if (process.argv.includes("--check")) {
	const stale = [];
	for (const [name, bytes] of files) {
		const committed = await readFile(path.join(dist, name)).catch(() => undefined);
		if (!committed) stale.push(`${name} is missing`);
		else if (!committed.equals(bytes)) stale.push(`${name} differs`);
	}
	for (const name of await readdir(dist).catch(() => [])) if (!files.has(name)) stale.push(`${name} is left over`);
	if (stale.length > 0) {
		console.error(`web/dist is not what web/src gives: ${stale.join(", ")}. Run make web and commit.`);
		process.exit(1);
	}
	console.log(`web/dist matches web/src: ${files.size} files`);
} else {
	await rm(dist, { recursive: true, force: true });
	await mkdir(dist);
	for (const [name, bytes] of files) await writeFile(path.join(dist, name), bytes);
	const size = [...files.values()].reduce((sum, b) => sum + b.length, 0);
	console.log(`web/dist: ${files.size} files, ${Math.round(size / 1024)} KiB`);
}

// licenses names each package in the bundle, with its licence and its text where the package ships one.
async function licenses(inputs) {
	const dirs = new Set();
	for (const input of inputs) {
		const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
		if (match) dirs.add(match[1]);
	}
	const entries = new Map();
	for (const dir of dirs) {
		const pkg = JSON.parse(await readFile(path.join(here, dir, "package.json"), "utf8"));
		const own = (await readdir(path.join(here, dir))).filter((n) => /^licen[cs]e/i.test(n)).sort();
		const texts = await Promise.all(own.map((n) => readFile(path.join(here, dir, n), "utf8")));
		entries.set(`${pkg.name} ${pkg.version}`, `${pkg.license ?? "see text"}\n${texts.map((t) => `\n${t.trim()}\n`).join("")}`);
	}
	const parts = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => `== ${name}: ${text}`);
	return `Packages bundled into this page.\n\n${parts.join("\n")}`;
}
