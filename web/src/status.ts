// A node's GET /v1/status, as far as the page reads it.

export interface Age {
	count: number;
	p50_ms: number;
	p95_ms: number;
	p99_ms: number;
	unsynchronised: number;
}

export interface TrackStatus {
	name: string;
	kind: string;
	viewers: number;
	subscriptions: Record<string, number>;
	groups: number;
	objects: number;
	bytes: number;
	dropped: Record<string, number>;
	age: Age;
}

export interface BroadcastStatus {
	name: string;
	origin: string;
	local: boolean;
	path: string[] | null;
	tracks: TrackStatus[];
}

/** A link as its node measures it. */
export interface LinkStatus {
	peer: string;
	one_way_ms?: { p50?: number };
	rtt_ms?: { p50?: number };
}

export interface NodeStatus {
	links?: LinkStatus[];
	broadcasts?: BroadcastStatus[];
}

/** One stop of a path: a node, and the measured way to it from the stop before, where known. */
export interface Stop {
	node: string;
	region: string;
	fromPreviousMs?: number;
}

export async function fetchStatus(url: string, signal?: AbortSignal): Promise<NodeStatus> {
	const response = await fetch(url, { cache: "no-store", signal: signal ?? null });
	if (!response.ok) throw new Error(`status: ${response.status}`);
	return (await response.json()) as NodeStatus;
}

export function findBroadcast(status: NodeStatus | undefined, name: string): BroadcastStatus | undefined {
	return status?.broadcasts?.find((b) => b.name === name);
}

/** The media track of a kind that has viewers, or else the first of that kind. */
export function findTrack(broadcast: BroadcastStatus | undefined, kind: string): TrackStatus | undefined {
	const tracks = broadcast?.tracks.filter((t) => t.kind === kind) ?? [];
	return tracks.find((t) => t.viewers > 0) ?? tracks[0];
}

/** One way from `from` to `to`, as either end of the link measures it. */
export function linkDelayMs(statuses: Map<string, NodeStatus>, from: string, to: string): number | undefined {
	const there = statuses.get(to)?.links?.find((l) => l.peer === from);
	const back = statuses.get(from)?.links?.find((l) => l.peer === to);
	const oneWay = there?.one_way_ms?.p50 ?? back?.one_way_ms?.p50;
	if (oneWay !== undefined) return oneWay;
	const rtt = there?.rtt_ms?.p50 ?? back?.rtt_ms?.p50;
	return rtt === undefined ? undefined : rtt / 2;
}

/** The nodes from a broadcast's origin to `node`, which carries it. */
export function pathTo(
	broadcast: BroadcastStatus,
	node: string,
	statuses: Map<string, NodeStatus>,
	regionOf: (node: string) => string,
): Stop[] {
	const nodes = [...(broadcast.path ?? []).filter((n) => n !== node), node];
	return nodes.map((id, i) => {
		const previous = nodes[i - 1];
		const ms = previous === undefined ? undefined : linkDelayMs(statuses, previous, id);
		return { node: id, region: regionOf(id), ...(ms === undefined ? {} : { fromPreviousMs: ms }) };
	});
}
