package quality

// Layer is one of the layers that the publisher's browser encodes.
type Layer struct {
	RID        string  `json:"rid"`
	ScaleDown  float64 `json:"scaleResolutionDownBy"`
	MaxBitrate int     `json:"maxBitrate"`
}

// The picture that is published. Two cores must encode it in software, beside a
// browser that decodes it and a server.
const (
	cameraWidth  = 960
	cameraHeight = 540
	cameraRate   = 25
)

// layers are as livekit-client's for such a picture.
var layers = []Layer{{"q", 4, 150 * kbit}, {"h", 2, 500 * kbit}, {"f", 1, 1700 * kbit}}

// svc is the one stream of an encoder with layers.
type svc struct {
	Mode       string `json:"scalabilityMode"`
	MaxBitrate int    `json:"maxBitrate"`
}

// encodings returns what the browser that publishes to our node is asked to send.
func (c *Config) encodings() []any {
	all, sum := make([]any, 0, len(layers)), 0
	for _, l := range layers {
		all = append(all, l)
		sum += l.MaxBitrate
	}
	if c.Mode != "" {
		return []any{svc{c.Mode, sum}}
	}
	return all
}

// The share of a path that a layer may take at most to count as one that fits, and
// what else takes its part of the path.
const (
	fitShare = 0.9 // key frames are several times as large as the others
	sound    = 40.0 * kbit
	overhead = 1.06
)

// fits returns what the best layer that fits a path takes together with sound, in
// bit/s: what can be used of the path at best. sent is what the publisher sends of
// each layer, the smallest first.
func fits(rate, loss float64, sent []float64) float64 {
	best := sound
	for _, bps := range sent {
		if need := bps*overhead + sound; need <= rate*(1-loss)*fitShare {
			best = max(best, need)
		}
	}
	return best
}
