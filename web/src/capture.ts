// When what is seen was captured: the header extension abs-capture-time.

const uri = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/** NTP times count from 1900, the browser's from 1970. */
const ntpToUnixMs = 2_208_988_800_000;

interface HeaderExtension {
	uri: string;
	direction: string;
}

/** What browsers have beyond the standard library's types: W3C webrtc-extensions. */
interface ExtendedTransceiver extends RTCRtpTransceiver {
	getHeaderExtensionsToNegotiate?: () => HeaderExtension[];
	setHeaderExtensionsToNegotiate?: (all: HeaderExtension[]) => void;
}

interface TimedSource extends RTCRtpSynchronizationSource {
	captureTimestamp?: number;
	senderCaptureTimeOffset?: number;
}

/** What the newest frame that was played says of its capture. */
export interface CaptureTime {
	/** On the capturer's clock, ms of the Unix epoch. */
	atMs: number;
	/** When it was played, on the clock of this page. */
	playedMs: number;
	/** How far that clock is ahead of the clock of the sender's reports; absent where the node does not know. */
	offsetMs?: number;
	/** From capture until it was played, whatever clocks say. */
	ageMs?: number;
}

/** Offers the extension, which browsers have and do not offer by themselves. */
export function offerCaptureTimes(pc: RTCPeerConnection): void {
	for (const transceiver of pc.getTransceivers() as ExtendedTransceiver[]) {
		const all = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
		const ours = all.find((e) => e.uri === uri);
		if (!ours) continue;
		ours.direction = "sendrecv";
		transceiver.setHeaderExtensionsToNegotiate?.(all);
	}
}

/** Reads it for one kind of track. The sender's clock is known by its last report, and by half of a round trip. */
export function captureTime(pc: RTCPeerConnection, report: RTCStatsReport, kind: "audio" | "video"): CaptureTime | undefined {
	const receiver = pc.getReceivers().find((r) => r.track.kind === kind);
	const source = receiver?.getSynchronizationSources()[0] as TimedSource | undefined;
	if (source?.captureTimestamp === undefined) return undefined;
	const capture: CaptureTime = { atMs: source.captureTimestamp - ntpToUnixMs, playedMs: source.timestamp };
	if (source.senderCaptureTimeOffset === undefined) return capture;
	capture.offsetMs = source.senderCaptureTimeOffset;
	let rttMs = 0;
	let said: { remote: number; here: number } | undefined;
	report.forEach((entry) => {
		if (entry.type === "candidate-pair" && entry.nominated) rttMs = (entry.currentRoundTripTime ?? 0) * 1000;
		if (entry.type === "remote-outbound-rtp" && entry.kind === kind) said = { remote: entry.remoteTimestamp, here: entry.timestamp };
	});
	if (said) capture.ageMs = said.remote + rttMs / 2 + (source.timestamp - said.here) + capture.offsetMs - capture.atMs;
	return capture;
}
