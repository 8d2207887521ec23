// A browser publishes by WHIP; browsers watch by WHEP and with the unmodified @moq/watch, in other regions.
import { after, before, describe, test } from "node:test";
import { openPage, openPublisher, sound, startBrowser, stats, unpublish } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { observe, until, untilPlaying, wantPlayed } from "../lib/measure.mjs";
import assert from "node:assert/strict";

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
