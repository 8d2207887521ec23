package relay

// A waiter is a reader's bell. The reader puts itself on a list under Track.mu,
// looks once more, and then waits for ch; the writer rings every bell on the
// list. The list is threaded through the waiters, so waiting allocates nothing,
// and ch holds one token, so ringing never blocks.
type waiter struct {
	ch   chan struct{}
	next *waiter
	list *waiterList // the list it is on, nil if none; guarded by Track.mu
}

func newWaiter() waiter { return waiter{ch: make(chan struct{}, 1)} }

func (w *waiter) ring() {
	select {
	case w.ch <- struct{}{}:
	default: // a token is already there: the reader will look again anyway
	}
}

// waiterList is guarded by the Track.mu of the track it belongs to.
type waiterList struct{ head *waiter }

// add puts w on the list. A token left from a ring that its reader did not wait
// for is taken away: it knows by now what that was about.
func (l *waiterList) add(w *waiter) {
	if w.list == l {
		return
	}
	w.leave()
	select {
	case <-w.ch:
	default:
	}
	w.list, w.next, l.head = l, l.head, w
}

// leave takes w off its list. A waiter is on a list only while its reader waits
// or after the wait was cut short, so the walk is rare.
func (w *waiter) leave() {
	if w.list == nil {
		return
	}
	for p := &w.list.head; *p != nil; p = &(*p).next {
		if *p == w {
			*p = w.next
			break
		}
	}
	w.list, w.next = nil, nil
}

func (l *waiterList) ringAll() {
	w := l.head
	l.head = nil
	for w != nil {
		next := w.next
		w.list, w.next = nil, nil
		w.ring()
		w = next
	}
}
