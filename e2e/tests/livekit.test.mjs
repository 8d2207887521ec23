// A browser publishes by WHIP; LiveKit's unmodified SDKs watch in other regions: @livekit/rtc-node, and livekit-client in Chromium.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { dispose } from "@livekit/rtc-node";
import { openPublisher, startBrowser, unpublish } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { accessToken, adjust, joinWithBrowser, joinWithNode, seenBy } from "../lib/livekit.mjs";
import { picturesSent, until } from "../lib/measure.mjs";
import { openEncodings, sent } from "../lib/svc.mjs";

const seconds = 6;
const [a, b, c] = ["us-east", "eu-west", "ap-southeast"];
// The middle one fits what a path is taken for at first; whether it carries the largest is the estimator's matter.
const simulcast = [
	{ rid: "q", scaleResolutionDownBy: 4, maxBitrate: 100_000 },
	{ rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300_000 },
	{ rid: "f", maxBitrate: 900_000 },
];
// livekit-client's VideoQuality.
const [low, medium, high] = [0, 1, 2];

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

			const publisher = await openPublisher(t, browser, demo, { region: a, via: "whip", codec, name });
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

	const publisher = (t, broadcast, codec, encodings) => openEncodings(t, browser, demo, a, broadcast, codec, encodings);

	/** Waits until a page shows pictures of so many lines, or more, or fewer, and says how long that took. */
	async function shows(t, page, lines, why, { orMore = false, fewer = false } = {}) {
		const began = Date.now();
		let last;
		try {
			await until(`${lines} lines`, async () => {
				last = await seenBy(page);
				return fewer ? last.height > 0 && last.height < lines : last.height === lines || (orMore && last.height > lines);
			}, { timeoutMs: 20_000, everyMs: 50 });
		} catch (err) {
			throw new Error(`${why}: ${err.message}: ${last.height} are shown, ${last.frames} pictures decoded`, { cause: err });
		}
		t.diagnostic(`${why}: ${last.height} lines after ${Date.now() - began} ms`);
	}

	/** Pictures that a page decodes in a second, over some time. */
	async function rate(page, ms) {
		const [from, { frames }] = [Date.now(), await seenBy(page)];
		await sleep(ms);
		return ((await seenBy(page)).frames - frames) / ((Date.now() - from) / 1000);
	}

	test("simulcast: livekit-client is sent the layer that it asks for", async (t) => {
		const room = "demo/livekit-simulcast";
		await publisher(t, room, "VP8", simulcast);
		const url = demo.region(b).livekit;
		const page = await joinWithBrowser(t, browser, url, await accessToken(demo, "web", room));
		await shows(t, page, 270, "without a wish", { orMore: true });
		for (const [quality, lines] of [[low, 135], [medium, 270], [low, 135]]) {
			await adjust(page, "setVideoQuality", quality);
			await shows(t, page, lines, `quality ${quality}`);
		}
		await adjust(page, "setVideoQuality", high);
		await shows(t, page, 270, `quality ${high}`, { orMore: true });
		await adjust(page, "setEnabled", false);
		await sleep(1000);
		assert.equal(await rate(page, 2000), 0, "pictures although it is turned off");
		await adjust(page, "setEnabled", true);
		await until("pictures again", async () => (await rate(page, 500)) > 5);
		await page.close();

		const adaptive = await joinWithBrowser(t, browser, url, await accessToken(demo, "adaptive", room), { adaptiveStream: { pixelDensity: 1 } });
		const resize = (width) => adaptive.evaluate((w) => Object.assign(document.querySelector("video").style, { width: `${w}px`, height: `${(w * 9) / 16}px` }), width);
		await adaptive.locator("video").waitFor();
		for (const [width, lines] of [[200, 135], [480, 270], [200, 135]]) {
			await resize(width);
			await shows(t, adaptive, lines, `an element ${width} pixels wide`);
		}
		await adaptive.evaluate(() => (document.querySelector("video").style.display = "none"));
		await until("no pictures for an element that is hidden", async () => (await rate(adaptive, 1000)) === 0);
	});

	for (const codec of ["VP9", "AV1"]) {
		test(`${codec} L3T3_KEY: livekit-client decodes several layers, and fewer when it asks for fewer`, async (t) => {
			const room = `demo/livekit-${codec.toLowerCase()}-svc`;
			const source = await publisher(t, room, codec, [{ scalabilityMode: "L3T3_KEY", maxBitrate: 1_200_000 }]);
			const page = await joinWithBrowser(t, browser, demo.region(b).livekit, await accessToken(demo, "web", room));
			await shows(t, page, 270, "without a wish", { orMore: true });
			assert.equal((await sent(source))[0].mode, "L3T3_KEY");
			for (const [why, wish] of [["without a wish", null], ["quality 0", low]]) {
				if (wish !== null) {
					// How many lines its layers have, the encoder changes when the machine is busy.
					const { height } = await seenBy(page);
					await adjust(page, "setVideoQuality", wish);
					await shows(t, page, height, why, { fewer: true });
				}
				const pictures = await rate(page, 3000);
				const { codec: mime, height, lost } = await seenBy(page);
				const line = `${why}: ${pictures.toFixed(1)} pictures/s of ${height} lines, ${mime}, lost ${lost}`;
				t.diagnostic(line);
				assert.ok(pictures > 5, line);
				assert.equal(mime.toLowerCase(), `video/${codec.toLowerCase()}`);
			}
		});
	}

	test("two publishers in one room, and what is not to be had", async (t) => {
		const room = "demo/livekit-room";
		const url = demo.region(b).livekit;
		const page = await joinWithBrowser(t, browser, url, await accessToken(demo, "web", room));
		for (const who of ["ann", "bob"]) {
			await openPublisher(t, browser, demo, { region: a, via: "whip", codec: "VP8", name: `${room}/${who}` });
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

		assert.deepEqual(page.complaints, [], "what the SDK logs as errors");
		const began = Date.now();
		const data = await page.evaluate(() => window.room.localParticipant.publishData(new Uint8Array(64), { reliable: true }).then(() => "sent", (e) => e.message));
		t.diagnostic(`publishData after ${Date.now() - began} ms: ${data}`);
		assert.match(data, /cannot publish data packet larger than/);
		assert.ok(Date.now() - began < 1000, "publishData fails at once");

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
