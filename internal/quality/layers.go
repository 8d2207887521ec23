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

// encodings returns what the publisher's browser is asked to send.
func (c *Config) encodings() []any {
	var all []any
	sum := 0
	for _, l := range layers {
		all = append(all, l)
		sum += l.MaxBitrate
	}
	if c.Mode != "" {
		return []any{svc{c.Mode, sum}}
	}
	return all
}

// fits returns what the best layer that fits a path takes together with sound, in
// bit/s: what can be used of the path at best.
func fits(rate float64) float64 {
	const sound, overhead = 40 * kbit, 1.06
	best := 0.0
	for _, l := range layers {
		if need := float64(l.MaxBitrate)*overhead + sound; need <= rate {
			best = need
		}
	}
	return min(rate, max(best, sound))
}
