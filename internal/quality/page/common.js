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
