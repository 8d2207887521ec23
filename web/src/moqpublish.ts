// Publishing by MoQ over WebTransport, with the unmodified @moq/publish element.

import type MoqPublish from "@moq/publish/element";
import "@moq/publish/element";
import type { Codec, Publisher, PublisherStats } from "./publisher";

/** How WebCodecs' names of each codec begin. */
const prefixes: Record<Codec, string> = { H264: "avc1", VP8: "vp8", VP9: "vp09", AV1: "av01" };

const maxVideoBps = 2_500_000;

export class MoqPublisher implements Publisher {
	readonly element: MoqPublish;
	#stopped = false;

	constructor(url: string, broadcast: string, codec: Codec) {
		const element = document.createElement("moq-publish");
		const preview = document.createElement("video");
		preview.autoplay = true;
		preview.playsInline = true;
		preview.muted = true;
		element.append(preview);
		element.connection.delay = { ...element.connection.delay, timeout: 0 }; // a node that restarts is worth waiting for
		element.url = url;
		element.name = broadcast;
		element.source = "camera";
		element.broadcast.video.hd.config.set({ codec: prefixes[codec], maxBitrate: maxVideoBps });
		this.element = element;
	}

	async stats(): Promise<PublisherStats> {
		const { connection, broadcast } = this.element;
		const session = connection.established.peek();
		const catalog = broadcast.video.hd.catalog.peek();
		const display = broadcast.video.display.peek();
		return {
			via: "moq",
			state: this.#stopped ? "stopped" : connection.status.peek(),
			codec: catalog?.codec ?? "",
			width: display?.width ?? 0,
			height: display?.height ?? 0,
			transport: session?.version ?? "",
		};
	}

	async stop(): Promise<void> {
		this.#stopped = true;
		// The element holds on to camera and microphone until its source goes.
		this.element.source = undefined;
		this.element.remove();
	}
}
