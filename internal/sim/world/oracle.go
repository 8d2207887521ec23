package world

// oracle judges what was seen.
type oracle struct{ w *World }

func newOracle(w *World) *oracle { return &oracle{w: w} }
