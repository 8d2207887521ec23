package hang

import "encoding/json"

// Capture says, for a track, what its presentation times are on the clock of whoever
// captured it: an addition of ours to hang's renditions, which players skip. Times are in
// microseconds of the Unix epoch. The zero value says nothing.
type Capture struct {
	// OffsetUs: a frame was captured at its presentation time plus this.
	OffsetUs int64 `json:"offset"`
	// IngressUs: when a frame entered the backbone, that clock said its presentation time
	// plus this, as far as the origin can estimate it.
	IngressUs int64 `json:"ingress"`
	// ErrorUs bounds the error of IngressUs. Zero: nothing is known of it.
	ErrorUs int64 `json:"error,omitempty"`
}

// Known reports whether anything is said.
func (c Capture) Known() bool { return c != Capture{} }

// UnmarshalJSON reads what can be read: a field of that name may mean something else to
// another publisher, whose track is none the worse for it.
func (c *Capture) UnmarshalJSON(b []byte) error {
	type plain Capture // without this method
	var p plain
	if json.Unmarshal(b, &p) == nil {
		*c = Capture(p)
	}
	return nil
}
