// Waiting for things, and counting over a window of time.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { encodedPictures, stats } from "./browser.mjs";

/** Asks until the answer is true or the time is over; then fails, saying what it waited for and saw last. */
export async function until(what, ask, { timeoutMs = 15_000, everyMs = 100 } = {}) {
	const deadline = Date.now() + timeoutMs;
	let last;
	for (;;) {
		last = await ask();
		if (last) return last;
		if (Date.now() > deadline) assert.fail(`waited ${timeoutMs} ms for ${what}`);
		await sleep(everyMs);
	}
}

/**
 * Waits for a page's viewer to show its first picture, and for sound to arrive (@moq/watch does not fetch it while it
 * is muted).
 */
export async function untilPlaying(page, label, { withSound = true, ...options } = {}) {
	let seen;
	try {
		await until(`${label} to play`, async () => {
			seen = (await stats(page)).viewer;
			return seen?.firstPictureMs !== undefined && (seen.audio.bytes > 0 || !withSound);
		}, { timeoutMs: 20_000, ...options });
	} catch (err) {
		err.message += `\nlast seen: ${JSON.stringify(seen)}\n${page.complaints.slice(-10).join("\n")}`;
		throw err;
	}
	return seen;
}

/** Pictures that a page has sent so far, whichever way it publishes. */
export async function picturesSent(page) {
	const { publisher } = await stats(page);
	return publisher.frames ?? (await encodedPictures(page));
}

/**
 * Watches one publisher and its viewers for a while. Gives what was sent, and for each viewer what it decoded, how
 * much of that it is, the loudest moment, and what its last numbers were.
 */
export async function observe(publisher, viewers, seconds) {
	const sentBefore = await picturesSent(publisher);
	const before = await Promise.all(viewers.map((v) => stats(v)));
	const loudest = viewers.map(() => 0);
	const end = Date.now() + seconds * 1000;
	while (Date.now() < end) {
		await sleep(150);
		const now = await Promise.all(viewers.map((v) => stats(v)));
		now.forEach((s, i) => (loudest[i] = Math.max(loudest[i], s.viewer.audio.level)));
	}
	const sent = (await picturesSent(publisher)) - sentBefore;
	const after = await Promise.all(viewers.map((v) => stats(v)));
	return {
		sent,
		viewers: after.map((s, i) => ({
			decoded: s.viewer.frames - before[i].viewer.frames,
			share: (s.viewer.frames - before[i].viewer.frames) / sent,
			audioBytes: s.viewer.audio.bytes - before[i].viewer.audio.bytes,
			audioEnergy: (s.viewer.audio.energy ?? 0) - (before[i].viewer.audio.energy ?? 0),
			loudest: loudest[i],
			last: s.viewer,
		})),
	};
}

/**
 * Wants pictures and sound: nearly all of what was sent was decoded, and something could be heard, if `heard`; by WHEP the
 * decoder says so, too.
 */
export function wantPlayed(seen, sent, label, { share = 0.95, heard = true } = {}) {
	const line = `${label}: decoded ${seen.decoded} of ${sent} (${(100 * seen.share).toFixed(1)} %), ${seen.last.codec} ` +
		`${seen.last.width}x${seen.last.height}, first picture after ${Math.round(seen.last.firstPictureMs)} ms, ` +
		`sound ${seen.audioBytes} bytes, loudest ${seen.loudest.toFixed(3)}, lost ${seen.last.lost ?? "-"}`;
	assert.ok(sent > 0, `${label}: the publisher sent nothing`);
	assert.ok(seen.share >= share, `${line}; wanted ${100 * share} %`);
	assert.ok(seen.audioBytes > 0, `${line}; no sound arrived`);
	if (heard) assert.ok(seen.loudest > 0.005, `${line}; nothing could be heard`);
	if (seen.last.via === "whep") assert.ok(seen.audioEnergy > 0, `${line}; the decoder's energy is zero`);
	return line;
}
