// A real `trellis demo` process: three nodes on loopback.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const readyMs = 60_000;
const stopMs = 15_000;

/** Starts `trellis demo --json` and resolves when it has printed its line. */
export async function startDemo(...args) {
	const binary = process.env.TRELLIS;
	assert.ok(binary, "TRELLIS names the binary; run `make e2e`");
	const child = spawn(binary, ["demo", "--json", ...args], { stdio: ["ignore", "pipe", "pipe"] });
	const log = [];
	createInterface({ input: child.stderr }).on("line", (line) => {
		log.push(line);
		if (log.length > 2000) log.shift();
	});
	const exited = once(child, "exit");
	const lines = createInterface({ input: child.stdout });
	const timer = setTimeout(() => child.kill("SIGKILL"), readyMs);
	const [line] = await Promise.race([once(lines, "line"), exited.then(([code, sig]) => [`exited with ${sig ?? code}`])]);
	clearTimeout(timer);
	let info;
	try {
		info = JSON.parse(line);
	} catch {
		throw new Error(`trellis demo --json printed ${JSON.stringify(line)}\n${log.slice(-30).join("\n")}`);
	}
	return new Demo(info, child, exited, log);
}

class Demo {
	#child;
	#exited;

	constructor(info, child, exited, log) {
		Object.assign(this, info); // page, regions, broadcast, token
		this.log = log;
		this.#child = child;
		this.#exited = exited;
	}

	region(name) {
		const region = this.regions.find((r) => r.name === name);
		assert.ok(region, `no region ${name} among ${this.regions.map((r) => r.name)}`);
		return region;
	}

	/** Addresses of the page in a given state. */
	pageURL(choice = {}) {
		const url = new URL(this.page);
		for (const [key, value] of Object.entries(choice)) url.searchParams.set(key, value);
		return url.toString();
	}

	/** GET /v1/status of a region's node. */
	async status(region) {
		const response = await fetch(this.region(region).status);
		assert.equal(response.status, 200, `status of ${region}`);
		return response.json();
	}

	/** One broadcast's tracks at a region, by name. */
	async tracks(region, broadcast) {
		const status = await this.status(region);
		const found = status.broadcasts?.find((b) => b.name === broadcast);
		return Object.fromEntries((found?.tracks ?? []).map((t) => [t.name, t]));
	}

	/** Key frames that a region's node asked of a WebRTC publisher so far, by reason. */
	async keyFrameRequests(region, broadcast) {
		const { webrtc } = await this.status(region);
		const publisher = webrtc.publishers.find((p) => p.broadcast === broadcast);
		assert.ok(publisher, `no WebRTC publisher of ${broadcast} at ${region}`);
		const sum = {};
		for (const track of publisher.tracks) {
			for (const [reason, n] of Object.entries(track.keyframe_requests)) sum[reason] = (sum[reason] ?? 0) + n;
		}
		return sum;
	}

	/** Ends the process as Ctrl-C does and wants it to end well. */
	async stop() {
		if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGINT");
		const timer = setTimeout(() => this.#child.kill("SIGKILL"), stopMs);
		const [code, signal] = await this.#exited;
		clearTimeout(timer);
		assert.equal(signal, null, `trellis demo did not end within ${stopMs} ms of SIGINT\n${this.log.slice(-30).join("\n")}`);
		assert.equal(code, 0, `trellis demo ended with ${code}\n${this.log.slice(-30).join("\n")}`);
	}
}
