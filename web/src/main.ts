// The demo page: one viewer, one publisher, and what the nodes say about them.

import { type Choice, readChoice, writeChoice } from "./choice";
import { type Demo, endpoint, loadDemo, moqAddress, type Region } from "./demo";
import { type Codec, codecs, type Publisher, type PublisherStats } from "./publisher";
import { fetchStatus, findBroadcast, findTrack, type NodeStatus, pathTo, type Stop } from "./status";
import { bitrate, byId, fillSelect, make, milliseconds, showNumbers, showPath, showSpark, wanSentence } from "./view";
import type { Viewer, ViewerStats } from "./viewer";

const refreshMs = 1000;
const sparkPoints = 60;

class Page {
	#demo: Demo;
	#choice: Choice;
	#viewer: Viewer | undefined;
	#publisher: Publisher | undefined;
	#soundOn = false;
	#turn = 0; // counts viewers, so that a player that loads late does not appear after its successor
	#statuses = new Map<string, NodeStatus>();
	#last: { at: number; bytes: number; frames: number } | undefined;
	#rates: number[] = [];

	constructor(demo: Demo) {
		this.#demo = demo;
		this.#choice = readChoice(location.search, demo);
	}

	get choice(): Choice {
		return { ...this.#choice };
	}

	start(): void {
		byId("wan").textContent = wanSentence(this.#demo);
		byId("regions").replaceChildren(
			...this.#demo.regions.map((r) => make("label", {}, make("input", { type: "radio", name: "region", value: r.name }), ` ${r.name}`)),
		);
		fillSelect(byId("publish-region"), this.#demo.regions.map((r) => r.name), this.#demo.regions[0]?.name ?? "");
		fillSelect(byId("codec"), codecs, "H264");
		const name = byId<HTMLFormElement>("publish").elements.namedItem("name") as HTMLInputElement;
		name.value = `${this.#demo.broadcast.split("/").slice(0, -1).join("/") || "demo"}/me`;
		if (!("WebTransport" in window)) disableMoq();
		this.#mark();

		byId("choices").addEventListener("change", (event) => {
			const { name: key, value } = event.target as HTMLInputElement | HTMLSelectElement;
			void this.watch({ [key]: value });
		});
		byId("choices").addEventListener("submit", (event) => event.preventDefault());
		byId("sound").addEventListener("click", () => this.sound(!this.#soundOn));
		byId("publish").addEventListener("submit", (event) => {
			event.preventDefault();
			void this.#togglePublish(new FormData(event.target as HTMLFormElement));
		});
		addEventListener("pagehide", () => {
			void this.#viewer?.stop();
			void this.#publisher?.stop();
		});
		void this.watch({});
		void this.#refreshForever();
	}

	/** Changes what is watched, from where, or how. */
	async watch(change: Partial<Choice>): Promise<void> {
		this.#choice = { ...this.#choice, ...change };
		writeChoice(this.#choice);
		this.#mark();
		await this.stop();
		const turn = this.#turn;
		const viewer = await this.#newViewer(this.#region(this.#choice.region));
		if (turn !== this.#turn) return void (await viewer.stop());
		this.#viewer = viewer;
		byId("player").prepend(viewer.element);
		viewer.sound(this.#soundOn);
	}

	async stop(): Promise<void> {
		this.#turn++;
		const viewer = this.#viewer;
		this.#viewer = undefined;
		this.#last = undefined;
		this.#rates = [];
		viewer?.element.remove();
		this.#veil("Connecting");
		await viewer?.stop();
	}

	async #newViewer(region: Region): Promise<Viewer> {
		const { broadcast } = this.#choice;
		if (this.#choice.via === "moq") {
			const { MoqViewer } = await import("./moqwatch");
			return new MoqViewer(moqAddress(region.moq, this.#demo.token), broadcast);
		}
		const { WhepViewer } = await import("./whep");
		return new WhepViewer(endpoint(region.whep, broadcast), this.#demo.token);
	}

	sound(on: boolean): void {
		this.#soundOn = on;
		this.#viewer?.sound(on);
		const button = byId("sound");
		button.setAttribute("aria-pressed", String(on));
		button.textContent = on ? "Sound is on" : "Sound is off";
	}

	/** Publishes this browser's camera and microphone; what was published before ends. */
	async publish(what: { region: string; via: "whip" | "moq"; codec: Codec; name: string }): Promise<void> {
		await this.unpublish();
		const region = this.#region(what.region);
		if (what.via === "moq") {
			const { MoqPublisher } = await import("./moqpublish");
			this.#publisher = new MoqPublisher(moqAddress(region.moq, this.#demo.token), what.name, what.codec);
		} else {
			const { WhipPublisher } = await import("./whip");
			this.#publisher = await WhipPublisher.start(endpoint(region.whip, what.name), this.#demo.token, what.codec);
		}
		const preview = byId("preview");
		preview.replaceChildren(this.#publisher.element);
		preview.hidden = false;
	}

	async unpublish(): Promise<void> {
		const publisher = this.#publisher;
		this.#publisher = undefined;
		await publisher?.stop();
		byId("preview").replaceChildren();
		byId("preview").hidden = true;
	}

	/** What the viewer, the publisher and the nodes count now. For people who script this page. */
	async stats(): Promise<{ viewer?: ViewerStats; publisher?: PublisherStats; path: Stop[]; statuses: Record<string, NodeStatus> }> {
		const viewer = await this.#viewer?.stats();
		const publisher = await this.#publisher?.stats();
		return {
			...(viewer ? { viewer } : {}),
			...(publisher ? { publisher } : {}),
			path: this.#path(),
			statuses: Object.fromEntries(this.#statuses),
		};
	}

	async #togglePublish(form: FormData): Promise<void> {
		const button = byId<HTMLButtonElement>("publish-button");
		const say = (words: string, bad = false): void => {
			byId("publish-state").textContent = words;
			byId("publish-state").classList.toggle("error", bad);
		};
		if (this.#publisher) {
			await this.unpublish();
			button.textContent = "Start";
			return say("");
		}
		const text = (key: string): string => String(form.get(key) ?? "");
		const name = text("name").trim();
		button.disabled = true;
		say("Connecting");
		try {
			await this.publish({ region: text("region"), via: text("via") === "moq" ? "moq" : "whip", codec: text("codec") as Codec, name });
			button.textContent = "Stop";
			say("");
			await this.watch({ broadcast: name });
		} catch (err) {
			say(err instanceof Error ? err.message : String(err), true);
		} finally {
			button.disabled = false;
		}
	}

	#region(name: string): Region {
		const region = this.#demo.regions.find((r) => r.name === name);
		if (!region) throw new Error(`no region ${name} here`);
		return region;
	}

	/** Puts the choice into the controls. */
	#mark(): void {
		for (const input of byId("choices").querySelectorAll<HTMLInputElement>("input[type=radio]")) {
			input.checked = input.value === (input.name === "region" ? this.#choice.region : this.#choice.via);
		}
		fillSelect(byId("broadcast"), this.#broadcasts(), this.#choice.broadcast);
	}

	#broadcasts(): string[] {
		const names = new Set<string>([this.#demo.broadcast]);
		for (const status of this.#statuses.values()) for (const b of status.broadcasts ?? []) names.add(b.name);
		return [...names].sort();
	}

	#veil(words: string): void {
		const veil = byId("veil");
		veil.textContent = words;
		veil.hidden = words === "";
	}

	async #refreshForever(): Promise<never> {
		for (;;) {
			const began = performance.now();
			await this.#refresh().catch((err: unknown) => console.warn("refresh", err));
			await new Promise((resolve) => setTimeout(resolve, Math.max(0, refreshMs - (performance.now() - began))));
		}
	}

	async #refresh(): Promise<void> {
		const signal = AbortSignal.timeout(5 * refreshMs);
		await Promise.all(
			this.#demo.regions.map(async (r) => {
				try {
					this.#statuses.set(r.node, await fetchStatus(r.status, signal));
				} catch {
					this.#statuses.delete(r.node); // a node that is gone says nothing more
				}
			}),
		);
		fillSelect(byId("broadcast"), this.#broadcasts(), this.#choice.broadcast);
		const viewer = await this.#viewer?.stats();
		if (viewer) this.#show(viewer);
		const publisher = await this.#publisher?.stats();
		if (publisher) byId("publish-state").textContent = publisherSentence(publisher);
	}

	#path(): Stop[] {
		const { node } = this.#region(this.#choice.region);
		const broadcast = findBroadcast(this.#statuses.get(node), this.#choice.broadcast);
		if (!broadcast) return [];
		return pathTo(broadcast, node, this.#statuses, (id) => this.#demo.regions.find((r) => r.node === id)?.name ?? id);
	}

	#show(viewer: ViewerStats): void {
		const now = performance.now();
		const last = this.#last;
		this.#last = { at: now, bytes: viewer.bytes, frames: viewer.frames };
		const seconds = last ? (now - last.at) / 1000 : 0;
		const rate = last && seconds > 0 ? Math.max(0, ((viewer.bytes - last.bytes) * 8) / seconds) : 0;
		const fps = last && seconds > 0 ? Math.max(0, (viewer.frames - last.frames) / seconds) : 0;
		if (last) this.#rates = [...this.#rates, rate].slice(-sparkPoints);

		const { node } = this.#region(this.#choice.region);
		const broadcast = findBroadcast(this.#statuses.get(node), this.#choice.broadcast);
		const video = findTrack(broadcast, "video");
		const age = video?.age;
		byId("age").textContent = age?.count ? milliseconds(age.p50_ms) : "–";
		byId("age-note").textContent =
			!age?.count && age?.unsynchronised
				? "clocks not synchronised yet: the age is unknown"
				: `age of the picture when it leaves the node for you${age?.count ? `; 95 % within ${milliseconds(age.p95_ms)}` : ""}`;
		showSpark(byId("spark"), this.#rates);
		showPath(byId("path"), this.#path(), viewer.rttMs === undefined ? undefined : viewer.rttMs / 2);

		const drops = (broadcast?.tracks ?? []).reduce((sum, t) => sum + Object.values(t.dropped).reduce((a, b) => a + b, 0), 0);
		showNumbers(byId("numbers"), [
			["Bitrate", bitrate(rate)],
			["Picture", viewer.width ? `${viewer.width} × ${viewer.height}, ${fps.toFixed(0)} fps` : "–"],
			["Codecs", [viewer.codec, viewer.audio.codec].filter(Boolean).join(", ") || "–"],
			["First picture after", viewer.firstPictureMs === undefined ? "–" : milliseconds(viewer.firstPictureMs)],
			["Captured", viewer.capture?.video?.ageMs === undefined ? "–" : `${milliseconds(viewer.capture.video.ageMs)} before it is shown`],
			["Lost on the last mile", viewer.lost === undefined ? "–" : `${viewer.lost} packets`],
			["Dropped at the node", `${drops} groups`],
			["Watching here", `${video?.viewers ?? 0}`],
			["Transport", viewer.transport || "–"],
		]);
		byId<HTMLMeterElement>("level").value = Math.min(1, viewer.audio.level * 4);
		this.#veil(viewer.firstPictureMs === undefined ? veilWords(viewer.state) : "");
		document.body.dataset["state"] = viewer.firstPictureMs === undefined ? "waiting" : "playing";
	}
}

/** Says in the controls what this browser cannot do. */
function disableMoq(): void {
	for (const input of document.querySelectorAll<HTMLInputElement | HTMLOptionElement>("[value=moq]")) {
		input.disabled = true;
		(input.closest("label") ?? input).title = "This browser has no WebTransport.";
	}
}

function veilWords(state: string): string {
	switch (state) {
		case "new":
		case "connecting":
		case "connected":
		case "loading":
		case "live":
			return "Connecting";
		case "offline":
			return "Nobody publishes this broadcast now. It will start by itself.";
		case "disconnected":
			return "No connection to this region. Trying again.";
		default:
			return state;
	}
}

function publisherSentence(p: PublisherStats): string {
	const size = p.width ? `, ${p.width} × ${p.height}` : "";
	const sent = p.frames === undefined ? "" : `, ${p.frames} pictures sent`;
	return `${p.state}: ${p.codec || "no codec yet"}${size}${sent}`;
}

declare global {
	interface Window {
		/** The page, for scripts and tests. */
		trellis?: Page;
	}
}

try {
	window.trellis = new Page(await loadDemo());
	window.trellis.start();
} catch (err) {
	byId("veil").textContent = `The demo does not answer: ${err instanceof Error ? err.message : String(err)}`;
}
