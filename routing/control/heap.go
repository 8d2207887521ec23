package control

// heap is a queue of nodes by delay, that allows a node more than once: who pops
// an entry that is worse than what it knows drops it.
type heap struct{ items []heapItem }

type heapItem struct {
	key  float64
	node int32
}

func (h *heap) len() int { return len(h.items) }

// reset empties the heap, and makes room for so many.
func (h *heap) reset(room int) {
	if cap(h.items) < room {
		h.items = make([]heapItem, 0, room)
	}
	h.items = h.items[:0]
}

func (h *heap) before(a, b heapItem) bool {
	return a.key < b.key || a.key == b.key && a.node < b.node
}

func (h *heap) push(node int32, key float64) {
	x := heapItem{key, node}
	h.items = append(h.items, x)
	i := len(h.items) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h.before(x, h.items[up]) {
			break
		}
		h.items[i] = h.items[up]
		i = up
	}
	h.items[i] = x
}

func (h *heap) pop() (node int32, key float64) {
	top := h.items[0]
	last := len(h.items) - 1
	x := h.items[last]
	h.items = h.items[:last]
	i := 0
	for {
		kid := 2*i + 1
		if kid >= last {
			break
		}
		if kid+1 < last && h.before(h.items[kid+1], h.items[kid]) {
			kid++
		}
		if !h.before(h.items[kid], x) {
			break
		}
		h.items[i] = h.items[kid]
		i = kid
	}
	if last > 0 {
		h.items[i] = x
	}
	return top.node, top.key
}
