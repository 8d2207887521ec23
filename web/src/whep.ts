// Watching by WHEP.

import { captureTime, offerCaptureTimes } from "./capture";
import { Level } from "./level";
import type { Viewer, ViewerStats } from "./viewer";
import { negotiate, WishError, type WishSession } from "./wish";

const retryMs = 1000;

export class WhepViewer implements Viewer {
	readonly element: HTMLVideoElement;
	#url: string;
	#token: string;
	#abort = new AbortController();
	#session: WishSession | undefined;
	#state = "connecting";
	#began = performance.now();
	#firstPictureMs: number | undefined;
	#context: AudioContext | undefined;
	#level: Level | undefined;
	#stream = new MediaStream();

	constructor(url: string, token: string) {
		this.#url = url;
		this.#token = token;
		this.element = document.createElement("video");
		this.element.autoplay = true;
		this.element.playsInline = true;
		this.element.muted = true;
		this.element.requestVideoFrameCallback(() => {
			this.#firstPictureMs = performance.now() - this.#began;
		});
		void this.#run();
	}

	/** Tries until it is stopped: a broadcast may not be live yet, or its publisher may come back. */
	async #run(): Promise<void> {
		const { signal } = this.#abort;
		while (!signal.aborted) {
			let wait = retryMs;
			try {
				await this.#connect(signal);
			} catch (err) {
				if (signal.aborted) return;
				this.#state = err instanceof Error ? err.message : String(err);
				if (err instanceof WishError) {
					wait = err.retryAfterMs ?? wait;
					if (err.status === 401 || err.status === 403) return;
				}
			}
			await this.#session?.stop();
			this.#session = undefined;
			await new Promise((resolve) => setTimeout(resolve, wait));
		}
	}

	/** Connects, and returns when the connection has failed. */
	async #connect(signal: AbortSignal): Promise<void> {
		const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
		const failed = new Promise<void>((resolve) => {
			pc.onconnectionstatechange = () => {
				this.#state = pc.connectionState;
				if (pc.connectionState === "failed" || pc.connectionState === "closed") resolve();
			};
		});
		pc.addTransceiver("video", { direction: "recvonly" });
		pc.addTransceiver("audio", { direction: "recvonly" });
		offerCaptureTimes(pc);
		const stream = new MediaStream();
		this.#stream = stream;
		pc.ontrack = (event) => {
			stream.addTrack(event.track);
			this.element.srcObject = stream;
			if (event.track.kind === "audio") this.#listen(stream);
		};
		try {
			this.#session = await negotiate(pc, this.#url, this.#token, signal);
		} catch (err) {
			pc.close();
			throw err;
		}
		if (signal.aborted) return void (await this.#session.stop());
		await failed;
	}

	#listen(stream: MediaStream): void {
		this.#level?.close();
		this.#context ??= new AudioContext();
		this.#level = new Level(this.#context, this.#context.createMediaStreamSource(stream));
	}

	sound(on: boolean): void {
		this.element.muted = !on;
		if (on) void this.#context?.resume();
		void this.element.play().catch(() => undefined);
	}

	async stats(): Promise<ViewerStats> {
		const stats: ViewerStats = {
			via: "whep",
			state: this.#state,
			...(this.#firstPictureMs === undefined ? {} : { firstPictureMs: this.#firstPictureMs }),
			frames: 0,
			width: this.element.videoWidth,
			height: this.element.videoHeight,
			codec: "",
			bytes: 0,
			lost: 0,
			dropped: 0,
			audio: { codec: "", bytes: 0, level: this.#level?.rms() ?? 0, energy: 0, concealed: 0 },
			transport: "",
		};
		const pc = this.#session?.pc;
		const report = await pc?.getStats();
		if (pc && report) {
			const [audio, video] = [captureTime(pc, report, "audio"), captureTime(pc, report, "video")];
			stats.capture = { ...(audio && { audio }), ...(video && { video }) };
		}
		report?.forEach((entry) => {
			if (entry.type === "inbound-rtp" && entry.kind === "video") {
				stats.frames = entry.framesDecoded ?? 0;
				stats.dropped = entry.framesDropped ?? 0;
				stats.lost = (stats.lost ?? 0) + (entry.packetsLost ?? 0);
				stats.bytes += entry.bytesReceived ?? 0;
				stats.codec = report.get(entry.codecId)?.mimeType?.replace("video/", "") ?? "";
			} else if (entry.type === "inbound-rtp" && entry.kind === "audio") {
				stats.lost = (stats.lost ?? 0) + (entry.packetsLost ?? 0);
				stats.bytes += entry.bytesReceived ?? 0;
				stats.audio.bytes = entry.bytesReceived ?? 0;
				stats.audio.energy = entry.totalAudioEnergy ?? 0;
				stats.audio.concealed = entry.concealedSamples ?? 0;
				stats.audio.codec = report.get(entry.codecId)?.mimeType?.replace("audio/", "") ?? "";
			} else if (entry.type === "candidate-pair" && entry.nominated) {
				if (entry.currentRoundTripTime !== undefined) stats.rttMs = entry.currentRoundTripTime * 1000;
				const remote = report.get(entry.remoteCandidateId);
				stats.transport = remote ? `DTLS-SRTP, ${remote.protocol}` : "DTLS-SRTP";
			}
		});
		return stats;
	}

	async stop(): Promise<void> {
		this.#abort.abort();
		this.#state = "stopped";
		this.#level?.close();
		for (const track of this.#stream.getTracks()) track.stop();
		this.element.srcObject = null;
		await this.#session?.stop();
		await this.#context?.close();
	}
}
