// A browser publishes with the unmodified @moq/publish; browsers watch by WHEP and with @moq/watch.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openPage, openPublisher, sound, startBrowser, stats } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { observe, untilPlaying, wantPlayed } from "../lib/measure.mjs";

const seconds = 20;
const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];

/** What WebCodecs calls each codec, and how WebRTC does. */
const names = { H264: /^avc1/, VP8: /^vp8/, VP9: /^vp09/, AV1: /^av01/ };

describe("published by @moq/publish", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	for (const codec of ["H264", "VP8", "VP9", "AV1"]) {
		test(`as ${codec}, watched by WHEP and by @moq/watch`, async (t) => {
			const broadcast = `demo/e2e-moq-${codec.toLowerCase()}`;
			const publisher = await openPublisher(t, browser, demo, { region: b, via: "moq", codec, name: broadcast });
			const whep = await openPage(t, browser, demo, { region: a, via: "whep", broadcast });
			const moq = await openPage(t, browser, demo, { region: c, via: "moq", broadcast });
			await sound(whep, true);
			await sound(moq, true);
			await untilPlaying(whep, "WHEP viewer");
			await untilPlaying(moq, "MoQ viewer");

			const { sent, viewers } = await observe(publisher, [whep, moq], seconds);
			t.diagnostic(wantPlayed(viewers[0], sent, `WHEP at ${a}`));
			t.diagnostic(wantPlayed(viewers[1], sent, `@moq/watch at ${c}`));
			const { publisher: sender } = await stats(publisher);
			assert.match(sender.codec, names[codec]);
			assert.equal(sender.transport, "moq-lite-04");
			assert.equal(viewers[0].last.codec, codec);
		});
	}
});
