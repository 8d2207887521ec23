// Real browsers on paths that lose packets: sound that is sent twice (RED), and pictures with repair packets (FlexFEC).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { publishRED, streams, watchBare } from "../lib/bare.mjs";
import { openPage, openPublisher, startBrowser } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { until } from "../lib/measure.mjs";
import { openPath } from "../lib/path.mjs";

const [a, b] = ["us-east", "eu-west"];

describe("on paths that lose packets", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	async function blank(t) {
		const page = await openPage(t, browser, demo, { region: a });
		await page.evaluate(() => window.trellis.stop());
		return page;
	}

	const ingest = async (broadcast) => (await demo.status(a)).webrtc.publishers.find((p) => p.broadcast === broadcast);
	const entered = (broadcast, tracks) => until("the broadcast to be there", async () => (await ingest(broadcast))?.tracks.length >= tracks);

	async function publisher(t, broadcast) {
		const page = await openPublisher(t, browser, demo, { region: a, via: "whip", codec: "VP8", name: broadcast });
		await entered(broadcast, 2);
		return page;
	}

	const received = async (page, kind) => (await streams(page, "inbound-rtp", kind))[0] ?? {};

	/** What of the sound was made up for want of packets, between two reports. */
	const concealed = (from, to) =>
		(to.concealedSamples - to.silentConcealedSamples - from.concealedSamples + from.silentConcealedSamples) /
		(to.totalSamplesReceived - from.totalSamplesReceived);

	test("a viewer that knows RED hears what one that does not misses", async (t) => {
		const broadcast = "demo/e2e-red";
		await publisher(t, broadcast);
		const pages = [await blank(t), await blank(t)];
		const paths = [await openPath(t, { seed: 3 }), await openPath(t, { seed: 3 })];
		for (const path of paths) path.impair({ delayMs: 15 });
		const knows = await watchBare(pages[0], demo, b, broadcast, paths[0]);
		const plain = await watchBare(pages[1], demo, b, broadcast, paths[1], { without: ["audio/red"] });
		assert.match(knows.answer, /^a=rtpmap:\d+ red\/48000\/2\r$/m);
		assert.doesNotMatch(plain.answer, /red\/48000/);
		const sound = () => Promise.all(pages.map((page) => received(page, "audio")));
		await until("sound", async () => (await sound()).every((s) => s.packetsReceived > 100));
		for (const path of paths) path.impair({ down: 0.1 });
		await sleep(8000); // until the viewers have reported it
		const before = await sound();
		await sleep(15_000);
		const now = await sound();
		const seen = now.map((s, i) => ({
			packets: s.packetsReceived - before[i].packetsReceived,
			lost: s.packetsLost - before[i].packetsLost,
			// Chromium names the codec that is in RED, and does not count what it takes from it.
			bytes: (s.bytesReceived - before[i].bytesReceived) / (s.packetsReceived - before[i].packetsReceived),
			concealed: concealed(before[i], s),
		}));
		seen.forEach((s, i) =>
			t.diagnostic(
				`${["with", "without"][i]} RED (${now[i].codec}): ${s.packets} packets of ${s.bytes.toFixed(0)} bytes came, ${s.lost} were lost, ` +
					`${(100 * s.concealed).toFixed(2)} % of the sound was made up`,
			),
		);
		assert.ok(seen[0].bytes > 1.6 * seen[1].bytes, "packets hold the one before, too");
		assert.ok(seen[1].lost > 30, `${seen[1].lost} packets were lost`);
		assert.ok(seen[0].concealed < 0.06, `${(100 * seen[0].concealed).toFixed(2)} % of the sound is made up with RED`);
		assert.ok(seen[1].concealed > 2 * seen[0].concealed, `${(100 * seen[1].concealed).toFixed(2)} % without`);
	});

	test("a publisher that sends RED is heard though its path loses packets", async (t) => {
		const broadcast = "demo/e2e-red-in";
		const page = await blank(t);
		const path = await openPath(t, { seed: 4 });
		path.impair({ delayMs: 15 });
		const { answer } = await publishRED(page, demo, a, broadcast, path);
		assert.match(answer, /^m=audio \d+ \S+ (\d+) [^]*^a=rtpmap:\1 red\/48000\/2\r$/m, "RED is the first choice of the answer");
		await entered(broadcast, 1);
		const listener = await blank(t);
		await watchBare(listener, demo, b, broadcast);
		await until("sound", async () => (await received(listener, "audio")).totalSamplesReceived > 48_000);
		await sleep(5000);
		const calm = await received(listener, "audio");
		await sleep(5000);
		const usual = concealed(calm, await received(listener, "audio"));
		path.impair({ upEvery: 10 }); // two in a row are more than RED mends
		const track = async () => (await ingest(broadcast)).tracks[0];
		await sleep(1000);
		const [before, heard] = [await track(), await received(listener, "audio")];
		await sleep(10_000);
		const [now, hears] = [await track(), await received(listener, "audio")];
		const share = concealed(heard, hears);
		const [lost, repeated] = [now.lost - before.lost, now.repeated - before.repeated];
		t.diagnostic(`${repeated} packets were taken from the next one, ${lost} were lost; ${(100 * share).toFixed(2)} % of the sound made up at the listener, ${(100 * usual).toFixed(2)} % before`);
		assert.ok(repeated > 25, `${repeated} packets were taken from the next one`);
		assert.ok(repeated > 4 * lost, `${repeated} packets were taken from the next one, ${lost} were lost`);
		assert.ok(hears.totalAudioEnergy > heard.totalAudioEnergy, "something is heard");
	});

	test("a far viewer is sent repair packets, and decodes", async (t) => {
		const broadcast = "demo/e2e-fec";
		await publisher(t, broadcast);
		const viewer = await blank(t);
		const path = await openPath(t, { seed: 5 });
		path.impair({ delayMs: 150 });
		const { answer } = await watchBare(viewer, demo, b, broadcast, path);
		assert.match(answer, /^a=rtpmap:\d+ flexfec-03\/90000\r$/m);
		assert.match(answer, /^a=ssrc-group:FEC-FR \d+ \d+\r$/m);
		await until("pictures", async () => (await received(viewer, "video")).framesDecoded > 10);
		assert.equal((await received(viewer, "video")).fecPacketsReceived ?? 0, 0, "repair packets on a good path");
		path.impair({ down: 0.05 });
		await until("repair packets", async () => (await received(viewer, "video")).fecPacketsReceived > 0, { timeoutMs: 30_000 });
		const before = await received(viewer, "video");
		await sleep(10_000);
		const now = await received(viewer, "video");
		t.diagnostic(
			`${now.framesDecoded - before.framesDecoded} pictures decoded in 10 s; ${now.fecPacketsReceived} repair packets came, ${now.fecPacketsDiscarded ?? 0} were discarded; ` +
				`${now.nackCount - before.nackCount} packets asked for again, ${path.lost} lost on the path`,
		);
		assert.ok(now.framesDecoded - before.framesDecoded > 100, `${now.framesDecoded - before.framesDecoded} pictures in 10 s`);
		assert.ok(now.fecPacketsReceived - before.fecPacketsReceived > 20, `${now.fecPacketsReceived - before.fecPacketsReceived} repair packets in 10 s`);
	});
});
