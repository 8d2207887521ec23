package rtc

// Wish is what a viewer wants to be sent of a track, at most. The zero Wish is the
// best that its path carries.
type Wish struct {
	// Off: the viewer wants nothing of it until it says otherwise.
	Off bool
	// Height, of a picture, is how many lines are enough: the smallest layer with as many is the
	// largest that is sent. Zero: as many as there are.
	Height int
}

// layers returns how many layers of those are enough, the smallest first; zero stands
// for all of them.
func (w Wish) layers(all []*layer) (n int) {
	enough := int64(0)
	for _, la := range all {
		if h := la.height.Load(); h >= int64(w.Height) && (enough == 0 || h < enough) {
			enough = h
		}
	}
	if w.Height == 0 || enough == 0 {
		return 0
	}
	for i, la := range all {
		if la.height.Load() <= enough {
			n = i + 1
		}
	}
	return n
}

// Prefer says what the viewer wants of a track from now on, if the Stage sends it.
func (st *Stage) Prefer(id string, w Wish) {
	st.negotiation.Lock()
	defer st.negotiation.Unlock()
	for _, s := range st.seats {
		if s.id == id {
			st.viewing.steering.prefer(s.track, w)
		}
	}
}
