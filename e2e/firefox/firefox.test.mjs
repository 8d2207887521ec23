// Debian's Firefox, unmodified: it publishes by WHIP and watches by WHEP, on our page, with Chromium at the other end.
// It runs in a network of its own (netns.sh).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { addCrowd, openPage, openPublisher, sound, startBrowser, startFirefox, stats, unpublish } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { observe, until, untilPlaying, wantPlayed } from "../lib/measure.mjs";
import { openEncodings, sent, simulcast } from "../lib/svc.mjs";

const seconds = 6;

// The window is short, and the counts of two browsers are not of the same instant. Firefox renders no Web Audio on a machine without a sound card.
const sentByFirefox = { share: 0.85 };
const seenByFirefox = { share: 0.85, heard: false };
const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];

describe("Firefox", () => {
	let demo, firefox, chromium;
	before(async () => {
		assert.ok(process.env.MEDIA_ADDRESS, "run it by `make e2e-firefox`");
		[demo, firefox, chromium] = await Promise.all([startDemo("--media-address", process.env.MEDIA_ADDRESS), startFirefox(), startBrowser()]);
	});
	after(async () => {
		await Promise.all([firefox?.close(), chromium?.close()]);
		await demo?.stop();
	});

	for (const codec of ["VP8", "VP9", "AV1"]) {
		test(`publishes by WHIP as ${codec}, watched in other regions by Chromium and by Firefox`, async (t) => {
			const broadcast = `demo/firefox-${codec.toLowerCase()}`;
			const publisher = await openPublisher(t, firefox, demo, { region: a, via: "whip", codec, name: broadcast });
			const viewers = await Promise.all([openPage(t, chromium, demo, { region: c, via: "whep", broadcast }), openPage(t, firefox, demo, { region: b, via: "whep", broadcast })]);
			const labels = [`Chromium at ${c}`, `Firefox at ${b}`];
			await Promise.all(viewers.map((v) => sound(v, true)));
			await Promise.all(viewers.map((v, i) => untilPlaying(v, labels[i])));
			const seen = await observe(publisher, viewers, seconds);
			seen.viewers.forEach((v, i) => t.diagnostic(wantPlayed(v, seen.sent, labels[i], [sentByFirefox, seenByFirefox][i])));
			assert.equal((await stats(publisher)).publisher.codec, codec);
			for (const v of seen.viewers) assert.equal(v.last.codec, codec);
			await unpublish(publisher);
			await until("the broadcast to be withdrawn everywhere", async () => {
				const all = await Promise.all([a, b, c].map((r) => demo.tracks(r, broadcast)));
				return all.every((tracks) => Object.keys(tracks).length === 0);
			});
		});
	}

	test("watches by WHEP what Chromium publishes with @moq/publish", async (t) => {
		const broadcast = "demo/firefox-watches";
		const publisher = await openPublisher(t, chromium, demo, { region: a, via: "moq", codec: "VP9", name: broadcast });
		const viewer = await openPage(t, firefox, demo, { region: c, via: "whep", broadcast });
		await sound(viewer, true);
		await untilPlaying(viewer, "Firefox");
		const seen = await observe(publisher, [viewer], seconds);
		t.diagnostic(wantPlayed(seen.viewers[0], seen.sent, `Firefox at ${c}`, seenByFirefox));
	});

	test("reads the clip by MoQ over WebTransport with @moq/net, in the version that needs no subprotocols", async (t) => {
		const page = await openPage(t, firefox, demo, { region: c, via: "whep", broadcast: demo.broadcast });
		await page.evaluate(() => window.trellis.stop());
		await addCrowd(page);
		const media = Object.values(await demo.tracks(a, demo.broadcast)).filter((k) => k.kind === "video" || k.kind === "audio");
		const url = new URL(demo.region(c).moq);
		url.searchParams.set("jwt", demo.token);
		await page.evaluate(([url, name, tracks]) => window.crowd.addMoq(2, url, name, tracks), [url.toString(), demo.broadcast, media.map((k) => k.name)]);
		const received = () => page.evaluate(() => window.crowd.received());
		await until("objects to come", async () => (await received()).every((n) => n > 0));
		const before = await received();
		await page.waitForTimeout(3000);
		const rates = (await received()).map((n, i) => (n - before[i]) / 3);
		t.diagnostic(`objects a second: ${rates}`);
		for (const rate of rates) assert.ok(rate > 60, `${rate} objects a second of 25 pictures or more and 50 packets of sound`);
		await page.evaluate(() => window.crowd.stop());
		await until("the readers to be gone", async () => Object.values(await demo.tracks(c, demo.broadcast)).every((k) => k.viewers === 0));
	});

	test("publishes simulcast: three layers, of which Chromium and Firefox come to be sent the largest", async (t) => {
		const broadcast = "demo/firefox-simulcast";
		const page = await openEncodings(t, firefox, demo, a, broadcast, "VP8", simulcast);
		const layers = async () => {
			const { webrtc } = await demo.status(a);
			const found = webrtc.publishers.find((p) => p.broadcast === broadcast);
			return (found?.tracks ?? []).flatMap((track) => track.layers ?? []).filter((l) => l.track.startsWith("video/"));
		};
		await until("all three layers to be known", async () => (await layers()).length === 3);
		const viewers = await Promise.all([openPage(t, chromium, demo, { region: b, via: "whep", broadcast }), openPage(t, firefox, demo, { region: c, via: "whep", broadcast })]);
		for (const [i, v] of viewers.entries()) await untilPlaying(v, ["Chromium", "Firefox"][i], { withSound: false });
		await until("the largest picture at both", async () => {
			const heights = await Promise.all(viewers.map(async (v) => (await stats(v)).viewer.height));
			return heights.every((h) => h === 540);
		}, { timeoutMs: 40_000 });
		const encoded = Object.fromEntries((await sent(page)).map((s) => [s.rid, s.height]));
		assert.deepEqual(encoded, { q: 135, h: 270, f: 540 });
		assert.deepEqual((await layers()).map((l) => l.track).sort(), ["video/f", "video/h", "video/q"]);
	});
});
