// A browser publishes by WHIP; browsers watch by WHEP and with the unmodified @moq/watch, in other regions.
import { after, before, describe, test } from "node:test";
import { openPage, openPublisher, sound, startBrowser, stats, unpublish } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { observe, until, untilPlaying, wantPlayed } from "../lib/measure.mjs";
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

const seconds = 20;
const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];

describe("published by WHIP", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	test("watched by WHEP two regions away and by @moq/watch in the third", async (t) => {
		const broadcast = "demo/e2e-whip";
		const publisher = await openPublisher(t, browser, demo, { region: a, via: "whip", codec: "H264", name: broadcast }, { camera: { width: 1280, height: 720 } });
		const whep = await openPage(t, browser, demo, { region: c, via: "whep", broadcast });
		const moq = await openPage(t, browser, demo, { region: b, via: "moq", broadcast });
		await sound(whep, true);
		await sound(moq, true);
		await untilPlaying(whep, "WHEP viewer");
		await untilPlaying(moq, "MoQ viewer");

		const { sent, viewers } = await observe(publisher, [whep, moq], seconds);
		t.diagnostic(wantPlayed(viewers[0], sent, `WHEP at ${c}`));
		t.diagnostic(wantPlayed(viewers[1], sent, `@moq/watch at ${b}`));
		assert.match(viewers[1].last.transport, /^moq-lite-05/);

		const seen = await stats(whep);
		assert.equal(seen.path[0].region, a, "the path begins at the publisher's region");
		assert.equal(seen.path.at(-1).region, c, "the path ends at the viewer's region");
	});

	test("viewers know when it was captured", async (t) => {
		const broadcast = "demo/e2e-whip-captured";
		const publisher = await openPublisher(t, browser, demo, { region: a, via: "whip", codec: "VP8", name: broadcast });
		const whep = await openPage(t, browser, demo, { region: c, via: "whep", broadcast });
		await sound(whep, true);
		await untilPlaying(whep, "WHEP viewer");
		const lanes = async () => (await demo.status(c)).webrtc.lanes.filter((l) => l.broadcast === broadcast);
		await until("the node to know the publisher's clock, and the browser to be told", async () => {
			const { capture } = (await stats(whep)).viewer;
			return capture?.video?.ageMs && capture.audio?.ageMs && (await lanes()).every((l) => l.capture === "publisher" && l.first_mile_error_ms > 0);
		});
		// Both pages have one clock, which nobody on the way knows: what they say of one another's can be looked up.
		const off = { audio: [], video: [] };
		const ages = { audio: [], video: [] };
		for (let i = 0; i < 40; i++) {
			await sleep(150);
			const { capture } = (await stats(whep)).viewer;
			for (const kind of ["audio", "video"]) {
				const { atMs, playedMs, ageMs } = capture[kind];
				off[kind].push(Math.abs(ageMs - (playedMs - atMs)));
				ages[kind].push(ageMs);
			}
		}
		const median = (all) => all.toSorted((x, y) => x - y)[all.length >> 1];
		const far = (await demo.status(c)).broadcasts.find((x) => x.name === broadcast).tracks.find((x) => x.kind === "video").age.p50_ms;
		for (const kind of ["audio", "video"]) {
			t.diagnostic(`${kind}: ${median(ages[kind]).toFixed(1)} ms from capture until it is played, off by ${median(off[kind]).toFixed(1)} ms; ${far.toFixed(1)} ms of it on the backbone`);
			assert.ok(median(ages[kind]) > far, `${kind} is ${median(ages[kind])} ms old, of which the backbone takes ${far}`);
			assert.ok(median(off[kind]) < 20, `the age of ${kind} is off by ${median(off[kind])} ms`);
		}
		for (const l of await lanes()) t.diagnostic(`${l.track}: first mile ${l.first_mile_ms} ms, within ${l.first_mile_error_ms}`);
		assert.match((await publisher.evaluate(() => window.trellis.stats())).publisher.state, /connected/);
	});

	test("published by MoQ, viewers know when it came in", async (t) => {
		const broadcast = "demo/e2e-moq-captured";
		await openPublisher(t, browser, demo, { region: a, via: "moq", codec: "VP8", name: broadcast });
		const whep = await openPage(t, browser, demo, { region: c, via: "whep", broadcast });
		await untilPlaying(whep, "WHEP viewer", { withSound: false });
		const capture = await until("the browser to be told", async () => (await stats(whep)).viewer.capture?.video);
		const age = capture.playedMs - capture.atMs; // on this machine the node's clock is the page's
		assert.ok(capture.offsetMs === undefined && age > 0 && age < 2000, JSON.stringify(capture));
	});

	for (const codec of ["H264", "VP8", "VP9", "AV1"]) {
		test(`as ${codec}`, async (t) => {
			const broadcast = `demo/e2e-whip-${codec.toLowerCase()}`;
			const publisher = await openPublisher(t, browser, demo, { region: a, via: "whip", codec, name: broadcast });
			const whep = await openPage(t, browser, demo, { region: c, via: "whep", broadcast });
			const moq = await openPage(t, browser, demo, { region: b, via: "moq", broadcast });
			await sound(whep, true);
			await sound(moq, true);
			await untilPlaying(whep, "WHEP viewer");
			await untilPlaying(moq, "MoQ viewer");

			const { sent, viewers } = await observe(publisher, [whep, moq], seconds);
			t.diagnostic(wantPlayed(viewers[0], sent, "WHEP"));
			t.diagnostic(wantPlayed(viewers[1], sent, "@moq/watch"));
			assert.equal((await stats(publisher)).publisher.codec, codec);
			assert.equal(viewers[0].last.codec, codec);

			await unpublish(publisher);
			await until("the broadcast to be withdrawn everywhere", async () => {
				const all = await Promise.all([a, b, c].map((r) => demo.tracks(r, broadcast)));
				return all.every((tracks) => Object.keys(tracks).length === 0);
			});
		});
	}
});
