// A path between one browser and a node that delays and loses packets: a relay for UDP in this process.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";

/** Dice that fall the same way each time (mulberry32). */
function dice(seed) {
	return () => {
		seed = (seed + 0x6d2b79f5) | 0;
		let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

async function bound() {
	const socket = createSocket("udp4");
	socket.bind(0, "127.0.0.1");
	await once(socket, "listening");
	return socket;
}

/**
 * Opens a path for the test `t`. `lead` puts it into a node's answer; `impair` sets the share of packets that are lost on the way `up` to the
 * node and `down` to the browser, and the delay of each way. With `upEvery` one of so many is lost on the way up, and
 * never two in a row.
 */
export async function openPath(t, { seed = 1 } = {}) {
	const roll = dice(seed);
	const path = { up: 0, upEvery: 0, down: 0, delayMs: 0, passed: 0, lost: 0 };
	let ups = 0;
	const front = await bound();
	const backs = new Map(); // by the browser's address: it has several, and looks which serve
	let target, open = true;
	t.after(() => {
		open = false;
		for (const socket of [front, ...backs.values()]) socket.close();
	});
	const pass = (message, loss, send, turn = false) => {
		if (turn || roll() < loss) {
			path.lost++;
			return;
		}
		path.passed++;
		if (path.delayMs === 0) return send(message);
		setTimeout(() => open && send(message), path.delayMs);
	};
	front.on("message", (message, from) => {
		const key = `${from.address}:${from.port}`;
		let back = backs.get(key);
		if (!back) {
			back = createSocket("udp4");
			backs.set(key, back);
			back.on("message", (m) => pass(m, path.down, (out) => front.send(out, from.port, from.address)));
		}
		const turn = path.upEvery > 0 && ++ups % path.upEvery === 0;
		pass(message, path.up, (out) => back.send(out, target.port, target.address), turn);
	});
	path.impair = (how) => Object.assign(path, how);
	path.lead = (sdp) => {
		const lines = sdp.split("\r\n").filter((line) => {
			if (!line.startsWith("a=candidate:")) return true;
			const fields = line.split(" "); // RFC 8839, Section 5.1
			if (fields[2].toLowerCase() !== "udp" || target) return false;
			target = { address: fields[4], port: Number(fields[5]) };
			return true;
		});
		assert.ok(target, "an answer with a UDP candidate");
		return lines
			.map((line) => {
				if (!line.startsWith("a=candidate:")) return line;
				const fields = line.split(" ");
				[fields[4], fields[5]] = ["127.0.0.1", String(front.address().port)];
				return fields.join(" ");
			})
			.join("\r\n");
	};
	return path;
}
