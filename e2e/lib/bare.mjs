// Bare WHIP and WHEP clients, whose offers and answers pass through the test.
import assert from "node:assert/strict";

/** Exchanges the offer of the page's `window.pc` for an answer, with the path in it. */
async function exchange(page, demo, url, path) {
	const offer = await page.evaluate(async () => {
		const { pc } = window;
		await pc.setLocalDescription(await pc.createOffer());
		await new Promise((done) => {
			if (pc.iceGatheringState === "complete") return done();
			pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
			setTimeout(done, 1000);
		});
		return pc.localDescription.sdp;
	});
	const headers = { "Content-Type": "application/sdp", Authorization: `Bearer ${demo.token}` };
	const response = await fetch(url, { method: "POST", headers, body: offer });
	const answer = await response.text();
	assert.equal(response.status, 201, `${url}: ${answer}`);
	const led = path ? path.lead(answer) : answer;
	await page.evaluate((sdp) => window.pc.setRemoteDescription({ type: "answer", sdp }), led);
	return { offer, answer };
}

const at = (base, broadcast) => `${base.replace(/\/$/, "")}/${broadcast.split("/").map(encodeURIComponent).join("/")}`;

/** Watches by WHEP over a path. What `without` names is left out of the offer. Resolves to offer and answer. */
export async function watchBare(page, demo, region, broadcast, path, { without = [] } = {}) {
	await page.evaluate((without) => {
		const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
		const stream = new MediaStream();
		const player = document.createElement("video");
		Object.assign(player, { autoplay: true, playsInline: true }); // not muted: energy is measured behind the volume
		document.body.append(player);
		pc.ontrack = (e) => {
			stream.addTrack(e.track);
			player.srcObject = stream; // sound that nobody plays is not decoded
		};
		for (const kind of ["audio", "video"]) {
			const transceiver = pc.addTransceiver(kind, { direction: "recvonly" });
			const codecs = RTCRtpReceiver.getCapabilities(kind).codecs;
			transceiver.setCodecPreferences(codecs.filter((c) => !without.includes(c.mimeType)));
		}
	}, without);
	return exchange(page, demo, at(demo.region(region).whep, broadcast), path);
}

/** Publishes sound by WHIP over a path, with RED as the first choice. */
export async function publishRED(page, demo, region, broadcast, path) {
	await page.evaluate(async () => {
		const media = await navigator.mediaDevices.getUserMedia({ audio: true });
		const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
		const sound = pc.addTransceiver(media.getAudioTracks()[0], { direction: "sendonly", streams: [media] });
		const { codecs } = RTCRtpSender.getCapabilities("audio");
		sound.setCodecPreferences([...codecs.filter((c) => c.mimeType === "audio/red"), ...codecs.filter((c) => c.mimeType === "audio/opus")]);
	});
	return exchange(page, demo, at(demo.region(region).whip, broadcast), path);
}

/** The page's RTP streams of a kind and direction, with the codec of each. */
export const streams = (page, type, kind) =>
	page.evaluate(
		async ({ type, kind }) => {
			const report = await window.pc.getStats();
			const all = [];
			for (const s of report.values()) if (s.type === type && s.kind === kind) all.push({ ...s, codec: report.get(s.codecId)?.mimeType });
			return all;
		},
		{ type, kind },
	);
