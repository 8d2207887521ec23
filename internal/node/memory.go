package node

// GCPercent is the GOGC (runtime/debug.SetGCPercent) of a process that runs a node, unless the
// operator says otherwise. Go's default lets garbage grow to what is in use, stacks
// included, and a node makes little of it: the media that it relays, once, however many watch it. It would be
// half of the process, and a minute old; at half of that a collection comes twice as often,
// which with 100 viewers is twice a minute for some 10 ms.
const GCPercent = 50
