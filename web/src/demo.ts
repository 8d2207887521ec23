// What the page learns from the process that serves it.

/** One region of the demo: a node and its addresses. `whip` and `whep` take a broadcast's name as further path. */
export interface Region {
	name: string;
	node: string;
	whip: string;
	whep: string;
	moq: string;
	status: string;
}

/** The delay that the userspace impairment applies from one region to another. */
export interface Delay {
	from: string;
	to: string;
	one_way_ms: number;
}

/** /demo.json: the line that `trellis demo --json` prints, and what is applied between the regions. */
export interface Demo {
	page: string;
	regions: Region[];
	broadcast: string;
	token: string;
	wan?: { enabled: boolean; source?: string; delays?: Delay[] };
}

export async function loadDemo(): Promise<Demo> {
	const response = await fetch("demo.json", { cache: "no-store" });
	if (!response.ok) throw new Error(`demo.json: ${response.status} ${response.statusText}`);
	return (await response.json()) as Demo;
}

/** The address of a broadcast at a WHIP or WHEP endpoint. */
export function endpoint(base: string, broadcast: string): string {
	const url = new URL(base);
	const path = broadcast.split("/").map(encodeURIComponent).join("/");
	url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path}`;
	return url.toString();
}

/** The address of a MoQ session: the token travels in the query, which is where these clients look for it. */
export function moqAddress(base: string, token: string): string {
	const url = new URL(base);
	url.searchParams.set("jwt", token);
	return url.toString();
}
