// What the page shows is in its address, so that a link leads to the same picture.

import type { Demo } from "./demo";
import type { Via } from "./viewer";

export interface Choice {
	region: string;
	via: Via;
	broadcast: string;
}

export function readChoice(search: string, demo: Demo): Choice {
	const params = new URLSearchParams(search);
	const region = params.get("region") ?? "";
	return {
		region: demo.regions.some((r) => r.name === region) ? region : (demo.regions.at(-1)?.name ?? ""),
		via: params.get("via") === "moq" && "WebTransport" in window ? "moq" : "whep",
		broadcast: params.get("broadcast") || demo.broadcast,
	};
}

export function writeChoice(choice: Choice): void {
	const params = new URLSearchParams({ ...choice });
	// A broadcast's slashes are legible in a query and allowed there.
	history.replaceState(null, "", `?${params.toString().replaceAll("%2F", "/")}`);
}
