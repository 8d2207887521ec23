// A publisher that is not the demo page's: a bare WHIP client with encodings of the test's choice.
import { openPage } from "./browser.mjs";

/** A camera whose layers are told apart by their heights. */
const camera = { width: 960, height: 540 };

/** Three encodings of a picture, the smallest first. */
export const simulcast = [
	{ rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
	{ rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
	{ rid: "f", maxBitrate: 1_200_000 },
];

/** Opens a page that publishes its camera and microphone by WHIP with these encodings. */
export async function openEncodings(t, browser, demo, region, broadcast, codec, encodings) {
	const page = await openPage(t, browser, demo, { region, broadcast }, { camera });
	await page.evaluate(() => window.trellis.stop());
	const name = broadcast.split("/").map(encodeURIComponent).join("/");
	await publishEncodings(page, `${demo.region(region).whip.replace(/\/$/, "")}/${name}`, demo.token, codec, encodings);
	t.after(() => page.evaluate(() => window.hangUp()).catch(() => {}));
	return page;
}

/**
 * Publishes the page's camera by WHIP with these encodings. `window.sent()` on the page then tells what is encoded.
 * Resolves to the codec and the scalability modes that the browser says it uses.
 */
async function publishEncodings(page, url, token, codec, encodings) {
	await page.evaluate(
		async ({ url, token, codec, encodings }) => {
			const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
			const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
			pc.addTransceiver(media.getAudioTracks()[0], { direction: "sendonly", streams: [media] });
			const video = pc.addTransceiver(media.getVideoTracks()[0], { direction: "sendonly", streams: [media], sendEncodings: encodings });
			const known = RTCRtpSender.getCapabilities("video").codecs;
			video.setCodecPreferences(known.filter((c) => c.mimeType === `video/${codec}` || c.mimeType === "video/rtx"));
			await pc.setLocalDescription(await pc.createOffer());
			await new Promise((done) => {
				if (pc.iceGatheringState === "complete") return done();
				pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
				setTimeout(done, 1000);
			});
			const headers = { "Content-Type": "application/sdp" };
			if (token) headers.Authorization = `Bearer ${token}`;
			const answer = await fetch(url, { method: "POST", headers, body: pc.localDescription.sdp });
			if (answer.status !== 201) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
			await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
			window.sent = async () => {
				const all = [];
				for (const s of (await pc.getStats()).values()) {
					if (s.type !== "outbound-rtp" || s.kind !== "video") continue;
					all.push({ rid: s.rid, mode: s.scalabilityMode, height: s.frameHeight ?? 0, frames: s.framesEncoded, bytes: s.bytesSent, keys: s.keyFramesEncoded });
				}
				return all.sort((a, b) => String(a.rid).localeCompare(String(b.rid)));
			};
			window.hangUp = () => pc.close();
		},
		{ url, token, codec, encodings },
	);
}

export const sent = (page) => page.evaluate(() => window.sent());
