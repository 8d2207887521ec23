// A publisher of this browser's camera and microphone: the same face for both ways to publish.

export type Codec = "H264" | "VP8" | "VP9" | "AV1";

export const codecs: Codec[] = ["H264", "VP8", "VP9", "AV1"];

export interface PublisherStats {
	via: "whip" | "moq";
	state: string;
	codec: string;
	width: number;
	height: number;
	/** Bytes sent, picture and sound (WHIP). */
	bytes?: number;
	/** Pictures handed to the network (WHIP). */
	frames?: number;
	/** Key frames made, and the requests for them that arrived (WHIP). */
	keyFrames?: number;
	keyFrameRequests?: number;
	/** Packets that the node reported lost (WHIP). */
	lost?: number;
	transport: string;
}

export interface Publisher {
	/** The preview. */
	readonly element: HTMLElement;
	stats(): Promise<PublisherStats>;
	stop(): Promise<void>;
}
