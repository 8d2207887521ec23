// What the pages of the publisher and of the viewer share.
"use strict";

const params = new URLSearchParams(location.search);

/** Tells the harness something. What is lost is lost: the harness sees that it is missing. */
function tell(kind, data) {
	return fetch(`/tell?kind=${kind}`, { method: "POST", body: JSON.stringify(data), keepalive: true }).catch(() => {});
}

const now = () => performance.timeOrigin + performance.now();

window.addEventListener("error", (e) => tell("problem", { text: e.message }));
window.addEventListener("unhandledrejection", (e) => tell("problem", { text: String(e.reason) }));

async function gathered(pc) {
	if (pc.iceGatheringState === "complete") return;
	await new Promise((done) => {
		pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
		setTimeout(done, 1000); // what is there by then must do
	});
}

/** Exchanges the offer for an answer, as WHIP and WHEP have it. */
async function exchange(pc, url) {
	await pc.setLocalDescription(await pc.createOffer());
	await gathered(pc);
	const res = await fetch(url, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
	if (res.status !== 201) throw new Error(`${url}: ${res.status} ${await res.text()}`);
	await pc.setRemoteDescription({ type: "answer", sdp: await res.text() });
}

/** Watches what a video element shows. Returns a function that takes what has been shown since. */
function watch(video) {
	let frames = [];
	video.requestVideoFrameCallback(function shown(_, frame) {
		frames.push({ at: performance.timeOrigin + frame.presentationTime, height: frame.height });
		video.requestVideoFrameCallback(shown);
	});
	return () => {
		const taken = frames;
		frames = [];
		return taken;
	};
}

/** Adds what a receiver says to what the harness is told. */
function seen(stats, said) {
	for (const s of stats.values()) {
		if (s.type === "remote-candidate") {
			said.ports = [...(said.ports ?? []), s.port];
		} else if (s.type !== "inbound-rtp") {
			continue;
		} else if (s.kind === "video") {
			said.video = {
				bytes: s.bytesReceived, lost: s.packetsLost, nacks: s.nackCount, plis: s.pliCount, decoded: s.framesDecoded ?? 0, dropped: s.framesDropped ?? 0,
				freezes: s.freezeCount ?? 0, frozen: s.totalFreezesDuration ?? 0, buffer: s.jitterBufferEmittedCount ? s.jitterBufferDelay / s.jitterBufferEmittedCount : 0,
				height: s.frameHeight ?? 0, delayed: s.jitterBufferDelay ?? 0, emitted: s.jitterBufferEmittedCount ?? 0,
				repairs: s.fecPacketsReceived ?? 0, discarded: s.fecPacketsDiscarded ?? 0, repeated: s.retransmittedPacketsReceived ?? 0,
			};
		} else {
			said.audio = { bytes: s.bytesReceived, lost: s.packetsLost, samples: s.totalSamplesReceived ?? 0, concealed: s.concealedSamples ?? 0, silent: s.silentConcealedSamples ?? 0, twice: s.fecPacketsReceived ?? 0 };
		}
	}
}

/** Returns what a sender says of a layer. */
function sent(s) {
	return { rid: s.rid, height: s.frameHeight ?? 0, frames: s.framesEncoded ?? 0, bytes: s.bytesSent, keys: s.keyFramesEncoded ?? 0, limit: s.qualityLimitationReason };
}
