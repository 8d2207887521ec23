// Fifty viewers of all kinds at one node cost its neighbours no more than one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { addCrowd, openPage, openPublisher, startBrowser } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { until } from "../lib/measure.mjs";

const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];
const broadcast = "demo/e2e-crowd";

/** The address that `?jwt=` clients take. */
const withToken = (base, token) => {
	const url = new URL(base);
	url.searchParams.set("jwt", token);
	return url.toString();
};

describe("a crowd at one node", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	test("50 viewers: one subscription per track upstream, one copy per link", async (t) => {
		const publisher = await openPublisher(t, browser, demo, { region: a, via: "whip", codec: "VP8", name: broadcast }, { camera: { width: 320, height: 180 } });
		const media = await until("picture and sound at the origin", async () => {
			const tracks = Object.values(await demo.tracks(a, broadcast)).filter((k) => k.kind === "video" || k.kind === "audio");
			return tracks.length === 2 && tracks.map((k) => k.name);
		});

		const page = await openPage(t, browser, demo, { region: c, via: "moq", broadcast });
		await addCrowd(page);
		const { whep, moq } = demo.region(c);
		await page.evaluate(([url, token]) => window.crowd.addWhep(25, url, token), [`${whep}/${broadcast}`, demo.token]);
		await page.evaluate(([url, name, tracks]) => window.crowd.addMoq(24, url, name, tracks), [
			withToken(moq, demo.token), broadcast, ["catalog.json", ...media],
		]);
		await until("every member to receive", async () => {
			const received = await page.evaluate(() => window.crowd.received());
			return received.length === 49 && received.every((n) => n > 0);
		}, { timeoutMs: 30_000 });

		const edge = await demo.tracks(c, broadcast);
		const origin = await demo.tracks(a, broadcast);
		for (const name of media) {
			if (edge[name].kind === "video") assert.ok(edge[name].viewers >= 50, `${name}: ${edge[name].viewers} viewers counted at the edge`);
			else assert.ok(edge[name].viewers >= 49, `${name}: ${edge[name].viewers} viewers counted at the edge`);
			// Sound comes over a second way as well, and for the picture a second way stands by: by the third node.
			const { children, subscriptions } = origin[name];
			assert.equal(subscriptions.link, children.length, `${name}: subscriptions at the origin by ${children}, one each`);
			assert.ok(children.includes(demo.region(c).node), `${name}: nodes that the origin sends it to: ${children}`);
			assert.ok(children.every((n) => [demo.region(b).node, demo.region(c).node].includes(n)), `${name}: nodes that the origin sends it to: ${children}`);
			assert.equal(edge[name].parent, demo.region(a).node, `${name}: the node that the edge has it from`);
			assert.equal(edge[name].subscriptions.link ?? 0, 0, `${name}: links that read at the edge`);
		}

		// One copy: in a window of time the edge takes in as many objects and bytes as the origin does, not 50 times that.
		await page.waitForTimeout(5000);
		const edgeLater = await demo.tracks(c, broadcast);
		const originLater = await demo.tracks(a, broadcast);
		for (const name of media) {
			const into = originLater[name].bytes - origin[name].bytes;
			const over = edgeLater[name].bytes - edge[name].bytes;
			t.diagnostic(`${name}: ${into} bytes into the origin, ${over} bytes over the links to the edge, ${edgeLater[name].viewers} viewers there`);
			assert.ok(over > 0.5 * into && over < 1.5 * into, `${name}: ${over} bytes reached the edge of ${into} published`);
			// What comes over both ways is kept once; the picture comes over one.
			if (edge[name].kind === "video") assert.equal(edgeLater[name].duplicates, edge[name].duplicates, `${name}: duplicates at the edge`);
		}
		await page.evaluate(() => window.crowd.stop());
		await until("the crowd to be gone", async () => Object.values(await demo.tracks(c, broadcast)).every((k) => k.viewers <= 1));
	});
});
