package impair

import "time"

// Queue holds what is under way, ordered by time; what is due at the same
// instant comes out in the order in which it went in. The zero Queue is empty.
type Queue[T any] struct {
	heap []item[T]
	seq  uint64
}

type item[T any] struct {
	at    time.Time
	seq   uint64
	value T
}

func (i item[T]) before(j item[T]) bool {
	if c := i.at.Compare(j.at); c != 0 {
		return c < 0
	}
	return i.seq < j.seq
}

// Len returns how many values are under way.
func (q *Queue[T]) Len() int { return len(q.heap) }

// Next returns when the first value is due, or false if there is none.
func (q *Queue[T]) Next() (time.Time, bool) {
	if len(q.heap) == 0 {
		return time.Time{}, false
	}
	return q.heap[0].at, true
}

// Push adds a value that is due at a time, and reports whether it is now the
// first.
func (q *Queue[T]) Push(at time.Time, value T) bool {
	q.seq++
	q.heap = append(q.heap, item[T]{at: at, seq: q.seq, value: value})
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !q.heap[i].before(q.heap[parent]) {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
	return i == 0
}

// Pop removes and returns the first value if it is due by now.
func (q *Queue[T]) Pop(now time.Time) (T, bool) {
	var zero T
	if len(q.heap) == 0 || q.heap[0].at.After(now) {
		return zero, false
	}
	value, last := q.heap[0].value, len(q.heap)-1
	q.heap[0] = q.heap[last]
	q.heap[last] = item[T]{} // do not keep the buffer alive
	q.heap = q.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.heap[child].before(q.heap[least]) {
				least = child
			}
		}
		if least == i {
			return value, true
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
