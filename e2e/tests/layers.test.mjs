// Layers: simulcast of which only what somebody wants is encoded, and SVC, each layer of which is watched as if it were
// simulcast.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openPage, startBrowser, stats } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { until, untilPlaying } from "../lib/measure.mjs";
import { openEncodings, sent, simulcast } from "../lib/svc.mjs";

const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];

/** Which of the encodings brought frames within a time. */
async function encoded(page, ms) {
	const before = await sent(page);
	await sleep(ms);
	const now = await sent(page);
	return now.map((s, i) => s.frames > (before[i]?.frames ?? 0));
}

/** Has @moq/watch play one rendition; by itself it goes by the node's estimate of its path. */
const pick = (page, name) => page.evaluate((n) => document.querySelector("moq-watch").controls.target.set({ name: n }), name);

/** How tall the picture is that a viewer shows now. */
const height = async (page) => (await stats(page)).viewer?.height;

describe("layers", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	const publisher = (t, broadcast, codec, encodings) => openEncodings(t, browser, demo, a, broadcast, codec, encodings);

	/** The pictures that a region's node has. */
	const carried = async (region, broadcast) => Object.keys(await demo.tracks(region, broadcast)).filter((name) => name.startsWith("video/"));

	/** Those that MoQ viewers read there; a node may have others on their way to the next. */
	const read = async (region, broadcast) =>
		Object.entries(await demo.tracks(region, broadcast)).filter(([name, track]) => name.startsWith("video/") && track.subscriptions?.moq > 0).map(([name]) => name);

	const layersOf = async (broadcast) => {
		const { webrtc } = await demo.status(a);
		const found = webrtc.publishers.find((p) => p.broadcast === broadcast);
		return (found?.tracks ?? []).flatMap((track) => track.layers ?? []).filter((l) => l.track.startsWith("video/"));
	};

	test("simulcast: what nobody wants is not encoded, and is back when somebody does", async (t) => {
		const broadcast = "demo/e2e-demand";
		const page = await publisher(t, broadcast, "VP8", simulcast);
		await until("all three layers to be known", async () => (await layersOf(broadcast)).length === 3);
		await until("the upper layers to be held", async () => (await layersOf(broadcast)).filter((l) => l.held).length === 2, {
			timeoutMs: 30_000,
		});
		await sleep(1500);
		const alone = await encoded(page, 4000);
		assert.deepEqual(alone, [false, false, true], "encoded without a viewer: f, h, q");
		assert.deepEqual(await carried(b, broadcast), [], "what nobody reads does not leave the origin");

		const moq = await openPage(t, browser, demo, { region: b, via: "moq", broadcast });
		await untilPlaying(moq, "MoQ viewer", { withSound: false });
		const began = Date.now();
		await pick(moq, "video/f");
		await until("the largest picture by MoQ", async () => (await height(moq)) === 540, { everyMs: 20 });
		t.diagnostic(`the largest layer is shown by @moq/watch in another region ${Date.now() - began} ms after it was chosen`);
		assert.ok((await encoded(page, 2000))[0], "the largest layer is encoded again");
		await until("one layer to be carried to the viewer's region", async () => (await carried(b, broadcast)).join() === "video/f");
		await moq.evaluate(() => window.trellis.stop());

		await until("the upper layers to be held again", async () => (await layersOf(broadcast)).filter((l) => l.held).length === 2, {
			timeoutMs: 30_000,
		});
		const whep = await openPage(t, browser, demo, { region: c, via: "whep", broadcast });
		await untilPlaying(whep, "WHEP viewer", { withSound: false });
		await until("the largest picture by WHEP", async () => (await height(whep)) === 540, { timeoutMs: 40_000 });
		const catalogued = await layersOf(broadcast);
		assert.ok(catalogued.every((l) => !l.stalled), `no layer counts as stalled: ${JSON.stringify(catalogued)}`);
	});

	for (const [codec, mode, tracks] of [
		["VP9", "L3T3_KEY", { "hd-s0-t1": 135, "hd-s0": 135, "hd-s1": 270, "hd-s2": 540 }],
		["AV1", "L3T3_KEY", { "hd-s0-t1": 135, "hd-s0": 135, "hd-s1": 270, "hd-s2": 540 }],
		["AV1", "L1T3", { "hd-t0": 540, "hd-t1": 540, hd: 540 }],
	]) {
		test(`${codec} ${mode}`, async (t) => {
			const broadcast = `demo/e2e-svc-${codec}-${mode}`.toLowerCase();
			const page = await publisher(t, broadcast, codec, [{ scalabilityMode: mode, maxBitrate: 1_500_000 }]);
			// A viewer that wants the best keeps all layers coming.
			const moq = await openPage(t, browser, demo, { region: b, via: "moq", broadcast });
			const whep = await openPage(t, browser, demo, { region: c, via: "whep", broadcast });
			await untilPlaying(whep, "WHEP viewer", { withSound: false });
			await untilPlaying(moq, "MoQ viewer", { withSound: false });
			assert.equal((await sent(page))[0].mode, mode);
			await until("a track for each layer", async () => (await layersOf(broadcast)).length === Object.keys(tracks).length);
			assert.deepEqual((await layersOf(broadcast)).map((l) => l.track).sort(), Object.keys(tracks).map((x) => `video/${x}`).sort());
			for (const [name, lines] of Object.entries(tracks).sort(([, x], [, y]) => x - y)) {
				await pick(moq, `video/${name}`);
				await until(`only ${name} to be read`, async () => (await read(b, broadcast)).join() === `video/${name}`);
				const before = (await stats(moq)).viewer.frames;
				await sleep(3000);
				const rate = ((await stats(moq)).viewer.frames - before) / 3;
				t.diagnostic(`${name} (${lines} lines): shown at ${await height(moq)}, ${rate.toFixed(1)} pictures/s by @moq/watch`);
				assert.ok(rate > 3, `${name} goes on: ${rate} pictures/s`);
			}
			await until("the largest picture by WHEP", async () => (await height(whep)) === 540, { timeoutMs: 40_000 });

			const [sent0, seen0] = [(await sent(page))[0].frames, await Promise.all([stats(moq), stats(whep)])];
			await sleep(10_000);
			const [sent1, seen1] = [(await sent(page))[0].frames, await Promise.all([stats(moq), stats(whep)])];
			const pictures = (sent1 - sent0) / Number(mode[1]); // the browser counts each layer's frame
			seen1.forEach((s, i) => {
				const share = (s.viewer.frames - seen0[i].viewer.frames) / pictures;
				t.diagnostic(`${["@moq/watch", "WHEP"][i]}: ${(100 * share).toFixed(1)} % of ${pictures} pictures, ${s.viewer.width}x${s.viewer.height}`);
				assert.ok(share > 0.9, `${["@moq/watch", "WHEP"][i]} decoded ${(100 * share).toFixed(1)} %`);
			});
		});
	}
});
