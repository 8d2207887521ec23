package routing

// heap is a 4-ary heap of nodes by key, each node in it at most once. Four
// children per level halve its height, and their keys share a cache line;
// container/heap would allocate an interface for every entry.
type heap struct {
	node []int32
	key  []float64
	at   []int32 // position of a node, -1 if it is not in the heap
}

func newHeap(n int) *heap {
	h := &heap{at: make([]int32, n)}
	for i := range h.at {
		h.at[i] = -1
	}
	return h
}

func (h *heap) len() int { return len(h.node) }

// clear empties the heap.
func (h *heap) clear() {
	for _, v := range h.node {
		h.at[v] = -1
	}
	h.node, h.key = h.node[:0], h.key[:0]
}

// push adds a node, or lowers its key.
func (h *heap) push(v int32, key float64) {
	i := int(h.at[v])
	if i < 0 {
		i = len(h.node)
		h.node, h.key = append(h.node, v), append(h.key, key)
	}
	for i > 0 {
		up := (i - 1) / 4
		if h.key[up] <= key {
			break
		}
		h.set(i, h.node[up], h.key[up])
		i = up
	}
	h.set(i, v, key)
}

func (h *heap) set(i int, v int32, key float64) {
	h.node[i], h.key[i] = v, key
	h.at[v] = int32(i)
}

// pop removes and returns the node with the least key.
func (h *heap) pop() (v int32, key float64) {
	v, key = h.node[0], h.key[0]
	h.at[v] = -1
	last := len(h.node) - 1
	moved, movedKey := h.node[last], h.key[last]
	h.node, h.key = h.node[:last], h.key[:last]
	if last == 0 {
		return v, key
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= last {
			break
		}
		for c := child + 1; c < min(child+4, last); c++ {
			if h.key[c] < h.key[child] {
				child = c
			}
		}
		if h.key[child] >= movedKey {
			break
		}
		h.set(i, h.node[child], h.key[child])
		i = child
	}
	h.set(i, moved, movedKey)
	return v, key
}
