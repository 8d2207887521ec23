// What the pages at livekit-server share.
"use strict";

/** Joins the room. Tracks are told to subscribed, unless it is missing. */
async function enter(subscribed) {
	const room = new LivekitClient.Room({ adaptiveStream: false });
	if (subscribed) room.on(LivekitClient.RoomEvent.TrackSubscribed, subscribed);
	room.on(LivekitClient.RoomEvent.Disconnected, (reason) => tell("problem", { text: `disconnected: ${LivekitClient.DisconnectReason[reason] ?? reason}` }));
	room.on(LivekitClient.RoomEvent.Reconnecting, () => tell("problem", { text: "reconnecting" }));
	await room.connect(params.get("url"), params.get("token"), { autoSubscribe: Boolean(subscribed) });
	return room;
}

/** Puts the path's address into what the server says of its own, and takes TCP out. */
function lead(path) {
	const led = (line) => {
		const f = line.split(" "); // RFC 8839, Section 5.1
		if (f.length < 8 || f[2].toLowerCase() !== "udp") return undefined;
		[f[4], f[5]] = [path.ip, String(path.port)];
		return f.join(" ");
	};
	const pc = RTCPeerConnection.prototype;
	const { addIceCandidate, setRemoteDescription } = pc;
	pc.addIceCandidate = function (c) {
		if (!c?.candidate) return addIceCandidate.call(this, c);
		const candidate = led(c.candidate);
		if (!candidate) return Promise.resolve();
		return addIceCandidate.call(this, { candidate, sdpMid: c.sdpMid, sdpMLineIndex: c.sdpMLineIndex, usernameFragment: c.usernameFragment });
	};
	pc.setRemoteDescription = function (d) {
		const lines = d.sdp.split("\r\n").map((l) => (l.startsWith("a=candidate:") ? led(l) : l));
		return setRemoteDescription.call(this, { type: d.type, sdp: lines.filter((l) => l !== undefined).join("\r\n") });
	};
}
