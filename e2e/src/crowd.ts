// Many viewers on one page, without pictures: WHEP ones that only receive, and MoQ ones that read every object of a
// broadcast's tracks with the unmodified @moq/net. Put onto the demo page by the tests.

import * as Moq from "@moq/net";
import { negotiate, type WishSession } from "../../web/src/wish";

interface Member {
	received(): Promise<number>;
	stop(): Promise<void>;
}

class WhepMember implements Member {
	#session: WishSession;

	private constructor(session: WishSession) {
		this.#session = session;
	}

	static async join(url: string, token: string): Promise<WhepMember> {
		const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
		pc.addTransceiver("video", { direction: "recvonly" });
		pc.addTransceiver("audio", { direction: "recvonly" });
		return new WhepMember(await negotiate(pc, url, token));
	}

	async received(): Promise<number> {
		let packets = 0;
		(await this.#session.pc.getStats()).forEach((entry) => {
			if (entry.type === "inbound-rtp" && entry.kind === "video") packets += entry.packetsReceived ?? 0;
		});
		return packets;
	}

	stop(): Promise<void> {
		return this.#session.stop();
	}
}

class MoqMember implements Member {
	#connection: Moq.Connection.Established;
	#objects = 0;

	private constructor(connection: Moq.Connection.Established) {
		this.#connection = connection;
	}

	static async join(url: string, broadcast: string, tracks: string[]): Promise<MoqMember> {
		const connection = await Moq.Connection.connect(new URL(url), { websocket: { enabled: false } });
		const member = new MoqMember(connection);
		const consumer = connection.consume(Moq.Path.from(broadcast));
		for (const name of tracks) void member.#read(consumer.subscribe(name, { priority: 50 }));
		return member;
	}

	async #read(track: Moq.Track.Subscriber): Promise<void> {
		for (;;) {
			const group = await track.recvGroup();
			if (!group) return;
			void this.#drain(group);
		}
	}

	async #drain(group: Moq.Group.Consumer): Promise<void> {
		// A group that falls behind is reset, which is no failure of the reader.
		try {
			while (await group.readFrame()) this.#objects++;
		} catch {
			return;
		}
	}

	async received(): Promise<number> {
		return this.#objects;
	}

	async stop(): Promise<void> {
		this.#connection.close();
	}
}

class Crowd {
	#members: Member[] = [];

	async addWhep(count: number, url: string, token: string): Promise<void> {
		for (let i = 0; i < count; i++) this.#members.push(await WhepMember.join(url, token));
	}

	async addMoq(count: number, url: string, broadcast: string, tracks: string[]): Promise<void> {
		for (let i = 0; i < count; i++) this.#members.push(await MoqMember.join(url, broadcast, tracks));
	}

	/** What each member has received: video packets, or objects. */
	received(): Promise<number[]> {
		return Promise.all(this.#members.map((m) => m.received()));
	}

	async stop(): Promise<void> {
		await Promise.all(this.#members.map((m) => m.stop()));
		this.#members = [];
	}
}

declare global {
	interface Window {
		crowd?: Crowd;
	}
}

window.crowd = new Crowd();
