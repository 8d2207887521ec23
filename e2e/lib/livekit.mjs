// Viewers with LiveKit's unmodified SDKs: @livekit/rtc-node in this process, livekit-client in a browser.
import { AudioStream, Room, RoomEvent, TrackKind, VideoStream } from "@livekit/rtc-node";
import { AccessToken } from "livekit-server-sdk";
import path from "node:path";

/** An access token for a room, as an application's server makes it. */
export async function accessToken(demo, identity, room, grant = {}) {
	const token = new AccessToken(demo.livekit.key, demo.livekit.secret, { identity, ttl: "10m" });
	token.addGrant({ roomJoin: true, room, canSubscribe: true, canPublish: false, ...grant });
	return token.toJwt();
}

/** Joins with rtc-node and takes all that is sent: pictures are decoded and counted, of sound the energy is. */
export async function joinWithNode(t, url, token) {
	const room = new Room();
	const seen = { room, frames: 0, width: 0, height: 0, codec: "", samples: 0, energy: 0, came: [], left: [] };
	room.on(RoomEvent.ParticipantConnected, (p) => seen.came.push(p.identity));
	room.on(RoomEvent.ParticipantDisconnected, (p) => seen.left.push(p.identity));
	room.on(RoomEvent.TrackSubscribed, async (track, publication) => {
		if (track.kind === TrackKind.KIND_VIDEO) {
			seen.codec = publication.mimeType;
			for await (const { frame } of new VideoStream(track)) {
				seen.frames++;
				Object.assign(seen, { width: frame.width, height: frame.height });
			}
			return;
		}
		for await (const frame of new AudioStream(track)) {
			seen.samples += frame.samplesPerChannel;
			for (const s of frame.data) seen.energy += (s / 32768) ** 2;
		}
	});
	await room.connect(url, token, { autoSubscribe: true, dynacast: false });
	t.after(() => room.disconnect());
	return seen;
}

const sdk = path.join(import.meta.dirname, "..", "node_modules", "livekit-client", "dist", "livekit-client.umd.js");

/**
 * Joins with livekit-client on a page of the node's own origin; `options` are those of its room. `seenBy(page)` then
 * tells what it has decoded, and `page.complaints` what the SDK logs as errors.
 */
export async function joinWithBrowser(t, browser, url, token, options = {}) {
	const page = await browser.newPage({ viewport: { width: 1000, height: 600 } });
	t.after(() => page.close());
	page.complaints = [];
	page.on("pageerror", (err) => page.complaints.push(err.message));
	page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
	await page.goto(`${url}/`);
	await page.addScriptTag({ path: sdk });
	await page.evaluate(
		async ({ url, token, options }) => {
			const { Room, RoomEvent } = window.LivekitClient;
			const room = new Room(options);
			const said = { came: [], left: [], over: [] };
			room.on(RoomEvent.ParticipantConnected, (p) => said.came.push(p.identity));
			room.on(RoomEvent.ParticipantDisconnected, (p) => said.left.push(p.identity));
			room.on(RoomEvent.Disconnected, (reason) => said.over.push(reason));
			room.on(RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach()));
			await room.connect(url, token);
			Object.assign(window, { room, said });
		},
		{ url, token, options },
	);
	return page;
}

/** What a page's livekit-client has decoded so far. */
export const seenBy = (page) =>
	page.evaluate(async () => {
		const seen = { ...window.said, frames: 0, width: 0, height: 0, codec: "", energy: 0, lost: 0 };
		for (const p of window.room.remoteParticipants.values()) {
			for (const publication of p.trackPublications.values()) {
				const report = await publication.track?.getRTCStatsReport();
				for (const s of report?.values() ?? []) {
					if (s.type !== "inbound-rtp") continue;
					seen.lost += s.packetsLost ?? 0;
					if (s.kind === "audio") seen.energy += s.totalAudioEnergy ?? 0;
					else Object.assign(seen, { frames: seen.frames + (s.framesDecoded ?? 0), width: s.frameWidth ?? 0, height: s.frameHeight ?? 0, codec: publication.mimeType });
				}
			}
		}
		return seen;
	});

/** Calls a method of the publication of a page's one remote picture, as applications do. */
export const adjust = (page, method, ...args) =>
	page.evaluate(
		({ method, args }) => {
			const [publication] = [...window.room.remoteParticipants.values()].flatMap((p) => [...p.videoTrackPublications.values()]);
			publication[method](...args);
		},
		{ method, args },
	);
