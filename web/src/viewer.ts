// A viewer of one broadcast at one region: the same face for both ways to watch.

import type { CaptureTime } from "./capture";

export type Via = "whep" | "moq";

export interface ViewerStats {
	via: Via;
	state: string;
	/** From asking to the first picture on the page; absent until then. */
	firstPictureMs?: number;
	/** Pictures decoded since the start. */
	frames: number;
	width: number;
	height: number;
	codec: string;
	/** Bytes received, picture and sound. */
	bytes: number;
	/** Packets lost for good (WHEP); objects are never lost singly by MoQ. */
	lost?: number;
	/** Pictures that arrived and were not shown. */
	dropped?: number;
	/** Round trip between this page and the node. */
	rttMs?: number;
	/** When what is played now was captured (WHEP, where the browser tells). */
	capture?: { audio?: CaptureTime; video?: CaptureTime };
	audio: {
		codec: string;
		bytes: number;
		/** Loudness now, 0 to 1. */
		level: number;
		/** Sound received so far, as the decoder sums it up (WHEP). */
		energy?: number;
		concealed?: number;
	};
	/** What was negotiated: an ICE transport, or the MoQ version. */
	transport: string;
}

export interface Viewer {
	/** What goes onto the page. */
	readonly element: HTMLElement;
	/** Sound on or off. Browsers allow on only after a gesture. */
	sound(on: boolean): void;
	stats(): Promise<ViewerStats>;
	stop(): Promise<void>;
}
