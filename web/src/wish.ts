// WHIP and WHEP: one offer, one answer, one resource to delete. Both are the same exchange in opposite directions.

/** A refusal by the server, in the words of its problem body where it sent one. */
export class WishError extends Error {
	constructor(
		readonly status: number,
		message: string,
		readonly retryAfterMs?: number,
	) {
		super(message);
		this.name = "WishError";
	}
}

/** An established exchange. `stop` deletes the resource and closes the connection. */
export class WishSession {
	#resource: string;
	#token: string;
	#stopped = false;

	constructor(
		readonly pc: RTCPeerConnection,
		resource: string,
		token: string,
	) {
		this.#resource = resource;
		this.#token = token;
	}

	async stop(): Promise<void> {
		if (this.#stopped) return;
		this.#stopped = true;
		this.pc.close();
		if (!this.#resource) return;
		// keepalive lets the request outlive the page. A lost one is harmless: the node ends silent sessions by itself.
		await fetch(this.#resource, {
			method: "DELETE",
			headers: { Authorization: `Bearer ${this.#token}` },
			keepalive: true,
		}).catch(() => undefined);
	}
}

/**
 * Offers what `pc` has been given (its transceivers) to a WHIP or WHEP endpoint and applies the answer. Candidates
 * are not trickled: the node is ICE-lite, lists its own in the answer and learns ours from the first check.
 */
export async function negotiate(
	pc: RTCPeerConnection,
	url: string,
	token: string,
	signal?: AbortSignal,
): Promise<WishSession> {
	await pc.setLocalDescription();
	const response = await fetch(url, {
		method: "POST",
		headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
		body: pc.localDescription?.sdp ?? "",
		signal: signal ?? null,
	});
	if (response.status !== 201) throw await refusal(response);
	const location = response.headers.get("Location");
	const session = new WishSession(pc, location ? new URL(location, response.url).toString() : "", token);
	try {
		await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
		signal?.throwIfAborted();
	} catch (err) {
		await session.stop();
		throw err;
	}
	return session;
}

async function refusal(response: Response): Promise<WishError> {
	const text = await response.text().catch(() => "");
	let words = "";
	try {
		const problem = JSON.parse(text) as { title?: string; detail?: string };
		words = problem.detail ?? problem.title ?? "";
	} catch {
		words = text.slice(0, 200);
	}
	const seconds = Number(response.headers.get("Retry-After"));
	return new WishError(
		response.status,
		words || response.statusText || `status ${response.status}`,
		Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined,
	);
}

/** Puts one video codec ahead in an offer: the one called `name` ("H264"), with its retransmissions. */
export function preferCodec(transceiver: RTCRtpTransceiver, name: string): void {
	const all = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
	const helpers = new Set(["video/rtx", "video/red", "video/ulpfec", "video/flexfec-03"]);
	const wanted = all.filter((c) => c.mimeType.toLowerCase() === `video/${name.toLowerCase()}`);
	if (wanted.length === 0) throw new Error(`this browser cannot send ${name}`);
	transceiver.setCodecPreferences([...wanted, ...all.filter((c) => helpers.has(c.mimeType.toLowerCase()))]);
}
