// A browser publishes by WHIP; LiveKit's unmodified SDKs watch in other regions: @livekit/rtc-node, and livekit-client in Chromium.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { dispose } from "@livekit/rtc-node";
import { openPage, publish, startBrowser, unpublish } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { accessToken, joinWithBrowser, joinWithNode, seenBy } from "../lib/livekit.mjs";
import { picturesSent, until } from "../lib/measure.mjs";

const seconds = 8;
const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];

describe("watched with LiveKit's SDKs", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
		await dispose(); // rtc-node's threads
	});

	for (const codec of ["VP8", "H264"]) {
		test(`a WHIP publisher of ${codec}, by rtc-node and livekit-client in two other regions`, async (t) => {
			const name = `demo/livekit-${codec.toLowerCase()}`;
			const room = name;
			// rtc-node is there before anything is, livekit-client comes when all is there.
			const native = await joinWithNode(t, demo.region(c).livekit, await accessToken(demo, "native", room));
			assert.deepEqual([...native.room.remoteParticipants.keys()], []);

			const publisher = await openPage(t, browser, demo, { region: a, broadcast: name });
			await publisher.evaluate(() => window.trellis.stop());
			await publish(publisher, { region: a, via: "whip", codec, name });
			await until("the first picture by rtc-node", () => native.frames > 0 && native.energy > 0);

			const page = await joinWithBrowser(t, browser, demo.region(b).livekit, await accessToken(demo, "web", room));
			await until("the first picture by livekit-client", async () => (await seenBy(page)).frames > 0);

			await sleep(2000); // who comes late is sent the beginning of the group first, faster than it was made
			const count = async () => [await picturesSent(publisher), native.frames, await seenBy(page)];
			const [sent0, native0, web0] = await count();
			await sleep(seconds * 1000);
			const [sent1, native1, web1] = await count();
			const sent = sent1 - sent0;
			for (const [who, frames, last] of [
				["rtc-node", native1 - native0, native],
				["livekit-client", web1.frames - web0.frames, web1],
			]) {
				const line = `${who}: decoded ${frames} of ${sent} (${((100 * frames) / sent).toFixed(1)} %), ${last.codec} ${last.width}x${last.height}, ` +
					`energy of the sound ${last.energy.toFixed(4)}, lost ${last.lost ?? "-"}`;
				t.diagnostic(line);
				assert.ok(sent > 0 && frames >= 0.95 * sent, line);
				assert.ok(last.energy > 0, `${line}; nothing could be heard`);
				assert.equal(last.codec.toLowerCase(), `video/${codec.toLowerCase()}`);
			}
			assert.deepEqual(native.came, [name]);

			await unpublish(publisher);
			await until("the publisher to be gone for both", async () => native.left.length > 0 && (await seenBy(page)).left.length > 0);
			assert.deepEqual([native.left, (await seenBy(page)).left], [[name], [name]]);
		});
	}

	test("two publishers in one room, and what is not to be had", async (t) => {
		const room = "demo/livekit-room";
		const url = demo.region(b).livekit;
		const page = await joinWithBrowser(t, browser, url, await accessToken(demo, "web", room));
		for (const who of ["ann", "bob"]) {
			const publisher = await openPage(t, browser, demo, { region: a, broadcast: `${room}/${who}` });
			await publisher.evaluate(() => window.trellis.stop());
			await publish(publisher, { region: a, via: "whip", codec: "VP8", name: `${room}/${who}` });
		}
		await until("both", async () => (await seenBy(page)).came.length === 2);
		assert.deepEqual((await seenBy(page)).came.sort(), ["ann", "bob"]);
		const decoded = () =>
			page.evaluate(async () => {
				const all = {};
				for (const [who, p] of window.room.remoteParticipants) {
					for (const { track } of p.videoTrackPublications.values()) {
						for (const s of (await track?.getRTCStatsReport())?.values() ?? []) if (s.type === "inbound-rtp") all[who] = s.framesDecoded;
					}
				}
				return all;
			});
		await until("pictures of both", async () => Object.values(await decoded()).filter((n) => n > 30).length === 2);
		t.diagnostic(`pictures decoded: ${JSON.stringify(await decoded())}`);

		const denied = await page.evaluate(() => window.room.localParticipant.setCameraEnabled(true).then(() => "published", (e) => e.message));
		assert.match(denied, /insufficient permissions/);

		const other = await accessToken({ ...demo, livekit: { ...demo.livekit, secret: "x".repeat(40) } }, "web", room);
		for (const [why, token] of [["a token of another secret", other], ["a room outside the key's", await accessToken(demo, "web", "elsewhere")]]) {
			const refused = await joinWithBrowser(t, browser, url, token).then(() => "joined", (e) => e.message);
			assert.match(refused, /token is missing, or not valid/, why);
		}
		await joinWithBrowser(t, browser, url, await accessToken(demo, "web", room));
		await until("the first of two with one identity to be told", async () => (await seenBy(page)).over.length === 1);
	});
});
