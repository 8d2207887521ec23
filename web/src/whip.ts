// Publishing by WHIP.

import { offerCaptureTimes } from "./capture";
import type { Codec, Publisher, PublisherStats } from "./publisher";
import { negotiate, preferCodec, type WishSession } from "./wish";

const maxVideoBps = 2_500_000;

export class WhipPublisher implements Publisher {
	readonly element: HTMLVideoElement;
	#stream: MediaStream;
	#session: WishSession | undefined;

	private constructor(stream: MediaStream) {
		this.#stream = stream;
		this.element = document.createElement("video");
		this.element.autoplay = true;
		this.element.playsInline = true;
		this.element.muted = true;
		this.element.srcObject = stream;
	}

	/** Asks for camera and microphone and publishes them. Throws when either end refuses. */
	static async start(url: string, token: string, codec: Codec): Promise<WhipPublisher> {
		const stream = await navigator.mediaDevices.getUserMedia({
			video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
			audio: true,
		});
		const publisher = new WhipPublisher(stream);
		try {
			await publisher.#connect(url, token, codec);
		} catch (err) {
			await publisher.stop();
			throw err;
		}
		return publisher;
	}

	async #connect(url: string, token: string, codec: Codec): Promise<void> {
		const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
		for (const track of this.#stream.getTracks()) {
			const video = track.kind === "video";
			const transceiver = pc.addTransceiver(track, {
				direction: "sendonly",
				streams: [this.#stream],
				sendEncodings: video ? [{ maxBitrate: maxVideoBps }] : [{}],
			});
			if (video) preferCodec(transceiver, codec);
		}
		offerCaptureTimes(pc);
		try {
			this.#session = await negotiate(pc, url, token);
		} catch (err) {
			pc.close();
			throw err;
		}
	}

	async stats(): Promise<PublisherStats> {
		const pc = this.#session?.pc;
		const stats: PublisherStats = {
			via: "whip",
			state: pc?.connectionState ?? "stopped",
			codec: "",
			width: 0,
			height: 0,
			bytes: 0,
			frames: 0,
			keyFrames: 0,
			keyFrameRequests: 0,
			lost: 0,
			transport: "DTLS-SRTP",
		};
		const report = await pc?.getStats();
		report?.forEach((entry) => {
			if (entry.type === "outbound-rtp") {
				stats.bytes = (stats.bytes ?? 0) + (entry.bytesSent ?? 0);
				if (entry.kind !== "video") return;
				stats.frames = entry.framesSent ?? 0;
				stats.keyFrames = entry.keyFramesEncoded ?? 0;
				stats.keyFrameRequests = (entry.pliCount ?? 0) + (entry.firCount ?? 0);
				stats.width = entry.frameWidth ?? 0;
				stats.height = entry.frameHeight ?? 0;
				stats.codec = report.get(entry.codecId)?.mimeType?.replace("video/", "") ?? "";
			} else if (entry.type === "remote-inbound-rtp") {
				stats.lost = (stats.lost ?? 0) + (entry.packetsLost ?? 0);
			}
		});
		return stats;
	}

	async stop(): Promise<void> {
		for (const track of this.#stream.getTracks()) track.stop();
		this.element.srcObject = null;
		await this.#session?.stop();
	}
}
