// Watching by MoQ over WebTransport, with the unmodified @moq/watch element.

import type MoqWatch from "@moq/watch/element";
import "@moq/watch/element";
import { Level } from "./level";
import type { Viewer, ViewerStats } from "./viewer";

export class MoqViewer implements Viewer {
	readonly element: MoqWatch;
	#began = performance.now();
	#firstPictureMs: number | undefined;
	#level: Level | undefined;
	#dispose: Array<() => void> = [];
	#stopped = false;

	constructor(url: string, broadcast: string) {
		const element = document.createElement("moq-watch");
		element.append(document.createElement("canvas"));
		element.setAttribute("visible", "always");
		element.muted = true;
		element.connection.delay = { ...element.connection.delay, timeout: 0 }; // a node that restarts is worth waiting for
		element.url = url;
		element.name = broadcast;
		this.element = element;
		this.#dispose.push(
			element.renderer.out.frame.subscribe((frame) => {
				if (frame) this.#firstPictureMs ??= performance.now() - this.#began;
			}),
			element.audio.out.root.subscribe((root) => this.#listen(root)),
		);
	}

	#listen(root: AudioNode | undefined): void {
		this.#level?.close();
		this.#level = root ? new Level(root.context, root) : undefined;
	}

	sound(on: boolean): void {
		this.element.muted = !on;
		if (on && this.element.volume === 0) this.element.volume = 0.8;
	}

	async stats(): Promise<ViewerStats> {
		const { video, audio, broadcast, connection } = this.element;
		const session = connection.established.peek();
		const display = video.out.display.peek();
		const catalog = broadcast.out.catalog.peek();
		const rtt = session?.probe.peek().rtt;
		const state = session ? broadcast.out.status.peek() : connection.status.peek();
		const videoBytes = video.out.stats.peek()?.bytesReceived ?? 0;
		const audioBytes = audio.out.stats.peek()?.bytesReceived ?? 0;
		return {
			via: "moq",
			state: this.#stopped ? "stopped" : state,
			...(this.#firstPictureMs === undefined ? {} : { firstPictureMs: this.#firstPictureMs }),
			frames: video.out.stats.peek()?.frameCount ?? 0,
			width: display?.width ?? 0,
			height: display?.height ?? 0,
			codec: firstCodec(catalog?.video?.renditions),
			bytes: videoBytes + audioBytes,
			...(rtt === undefined ? {} : { rttMs: rtt }),
			audio: { codec: firstCodec(catalog?.audio?.renditions), bytes: audioBytes, level: this.#level?.rms() ?? 0 },
			transport: session ? `${session.version}, ${session.transport}` : "",
		};
	}

	async stop(): Promise<void> {
		this.#stopped = true;
		for (const dispose of this.#dispose) dispose();
		this.#level?.close();
		this.element.remove(); // which ends its session
	}
}

function firstCodec(renditions: Record<string, { codec: string }> | undefined): string {
	return Object.values(renditions ?? {})[0]?.codec ?? "";
}
