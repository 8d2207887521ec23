// The page's moving parts: small functions from values to elements.

import type { Demo } from "./demo";
import type { Stop } from "./status";

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
	const element = document.getElementById(id);
	if (!element) throw new Error(`the page has no #${id}`);
	return element as T;
}

export function make<K extends keyof HTMLElementTagNameMap>(
	tag: K,
	props: Partial<HTMLElementTagNameMap[K]> = {},
	...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
	const element = Object.assign(document.createElement(tag), props);
	element.append(...children);
	return element;
}

export function milliseconds(ms: number): string {
	return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function bitrate(bps: number): string {
	return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

/** Fills a select with names and keeps what was chosen, also when it is not among them. */
export function fillSelect(select: HTMLSelectElement, names: string[], chosen: string): void {
	const all = names.includes(chosen) || !chosen ? names : [chosen, ...names];
	const now = [...select.options].map((o) => o.value);
	if (now.length !== all.length || now.some((v, i) => v !== all[i])) {
		select.replaceChildren(...all.map((value) => make("option", { value, textContent: value })));
	}
	select.value = chosen;
}

export function showPath(list: HTMLElement, stops: Stop[], toYouMs: number | undefined): void {
	if (stops.length === 0) {
		list.replaceChildren(make("li", { className: "waiting", textContent: "The path appears when the node carries the broadcast." }));
		return;
	}
	const parts: HTMLElement[] = [];
	stops.forEach((stop, i) => {
		if (i > 0) parts.push(hop(stop.fromPreviousMs));
		const last = i === stops.length - 1;
		const role = stops.length === 1 ? "origin and edge" : i === 0 ? "origin" : last ? "edge" : "relay";
		const item = make("li", { className: last ? "stop edge" : "stop" }, stop.region, make("small", { textContent: role }));
		item.title = stop.node;
		item.dataset["node"] = stop.node;
		parts.push(item);
	});
	parts.push(hop(toYouMs), make("li", { className: "stop you" }, "You"));
	// Elements that did not change stay, so that their animation goes on.
	const same = list.children.length === parts.length;
	if (!same) return list.replaceChildren(...parts);
	parts.forEach((part, i) => {
		const old = list.children[i];
		if (old && old.outerHTML !== part.outerHTML) {
			const [was, is] = [old.querySelector("span"), part.querySelector("span")];
			if (was && is) was.textContent = is.textContent;
			else old.replaceWith(part);
		}
	});
}

function hop(ms: number | undefined): HTMLElement {
	return make("li", { className: "hop" }, make("i"), make("span", { textContent: ms === undefined ? "–" : milliseconds(ms) }));
}

export function showNumbers(list: HTMLElement, rows: [string, string][]): void {
	list.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

/** Draws the last values as a line that fills its box. */
export function showSpark(svg: Element, values: number[]): void {
	const line = svg.querySelector("polyline");
	const max = Math.max(...values, 1);
	const points = values.map((v, i) => `${((i / Math.max(values.length - 1, 1)) * 120).toFixed(1)},${(27 - (v / max) * 25).toFixed(1)}`);
	line?.setAttribute("points", values.length > 1 ? points.join(" ") : "");
}

/** Says plainly what is real about the distances on this page. */
export function wanSentence(demo: Demo): string {
	const wan = demo.wan;
	if (!wan?.enabled) {
		return "All nodes run on this machine, and no delay is applied between them: what you see is the cost of the software alone.";
	}
	const seen = new Set<string>();
	const pairs: string[] = [];
	for (const d of wan.delays ?? []) {
		const key = [d.from, d.to].sort().join(" ");
		if (seen.has(key)) continue;
		seen.add(key);
		pairs.push(`${d.from} to ${d.to} ${milliseconds(d.one_way_ms)}`);
	}
	const source = wan.source ? ` (${wan.source})` : "";
	const list = pairs.length > 0 ? ` One way: ${pairs.join(", ")}.` : "";
	return `All nodes run on this machine. The delays between regions are applied to the links by a userspace network impairment, with real measurements between these regions${source}.${list} Start with --no-wan to turn it off.`;
}
