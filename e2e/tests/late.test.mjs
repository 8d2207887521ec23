// A viewer that comes in mid-group sees its first picture at once, and the publisher is not asked for anything.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openPage, openPublisher, startBrowser, stats, watch } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { untilPlaying } from "../lib/measure.mjs";

const [a, c] = ["us-east", "ap-southeast"];
const broadcast = "demo/e2e-late";
const firstPictureMs = 500;
// How long nobody watches at the viewer's node before each join: at odd times, to fall at different places within a
// group. After the long one the node has let go of the broadcast and must ask for it anew.
const pausesMs = [1500, 1870, 7310, 2240];
// Browsers make no key frames by themselves, so the node asks for one when a group has become long, viewers or not.
const byTheClock = "group_length";

describe("joining late", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	for (const via of ["whep", "moq"]) {
		test(`by ${via}: the first picture within ${firstPictureMs} ms and one round trip`, async (t) => {
			const publisher = await openPublisher(t, browser, demo, { region: a, via: "whip", codec: "H264", name: broadcast });
			const viewer = await openPage(t, browser, demo, { region: c, via, broadcast });
			await untilPlaying(viewer, "the first viewer", { withSound: via === "whep" });
			const { path } = await stats(viewer);
			const rttMs = 2 * path.reduce((sum, stop) => sum + (stop.fromPreviousMs ?? 0), 0);
			assert.ok(rttMs > 0, "the delays of the path are measured");

			for (const [i, pauseMs] of pausesMs.entries()) {
				await viewer.evaluate(() => window.trellis.stop());
				await sleep(pauseMs);
				const before = await demo.keyFrameRequests(a, broadcast);
				await watch(viewer, { region: c, via, broadcast });
				const seen = await untilPlaying(viewer, `join ${i}`, { withSound: false });
				const after = await demo.keyFrameRequests(a, broadcast);
				const asked = Object.keys(after).filter((reason) => reason !== byTheClock && after[reason] !== (before[reason] ?? 0));
				t.diagnostic(`join ${i}: first picture after ${Math.round(seen.firstPictureMs)} ms, round trip ${Math.round(rttMs)} ms, ` +
					`key frames asked of the publisher so far: ${JSON.stringify(after)}`);
				assert.ok(seen.firstPictureMs <= firstPictureMs + rttMs, `join ${i}: ${seen.firstPictureMs} ms`);
				assert.deepEqual(asked, [], `join ${i}: reasons for which the publisher was asked for a key frame`);
			}
		});
	}
});
