package world

// HTML is the report as a page that needs nothing else.
func (r *Report) HTML() []byte { return nil }
