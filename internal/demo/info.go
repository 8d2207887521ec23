package demo

import (
	"crypto/rand"
	"time"

	"trellis/internal/auth"
)

// Info is where everything is. As JSON it is the line that `trellis demo --json`
// prints when all is up.
type Info struct {
	Page      string       `json:"page"`
	Regions   []RegionInfo `json:"regions"`
	Broadcast string       `json:"broadcast"`
	Token     string       `json:"token"`
	LiveKit   LiveKitInfo  `json:"livekit"`
}

// LiveKitInfo is what signs access tokens of LiveKit's, for rooms below demo/.
type LiveKitInfo struct {
	Key    string `json:"key"`
	Secret string `json:"secret"`
}

// RegionInfo is where one region's node is. WHIP and WHEP take the name of a
// broadcast as further path.
type RegionInfo struct {
	Name    string `json:"name"`
	Node    string `json:"node"`
	WHIP    string `json:"whip"`
	WHEP    string `json:"whep"`
	MoQ     string `json:"moq"`
	LiveKit string `json:"livekit"`
	Status  string `json:"status"`
}

// WANInfo is what is applied to the links.
type WANInfo struct {
	Enabled bool    `json:"enabled"`
	Source  string  `json:"source,omitempty"`
	Delays  []Delay `json:"delays,omitempty"`
}

// tokens hands out real tokens of a key that exists only in this process.
type tokens struct {
	key      auth.PrivateKey
	verifier *auth.Verifier

	secret string // of apiKey
	access *auth.AccessVerifier
}

// apiKey signs access tokens of LiveKit's.
const apiKey = "APIdemo"

// newTokens makes the keys, for names below demo/ alone.
func newTokens() (t tokens, err error) {
	if t.key, err = auth.GenerateKey("demo", auth.EdDSA, "demo"); err != nil {
		return t, err
	}
	if t.verifier, err = auth.NewVerifier(auth.Config{Keys: t.key.KeySet()}); err != nil {
		return t, err
	}
	t.secret = rand.Text() + rand.Text()
	keys, err := auth.ParseAccessKeys([]byte(apiKey + ": " + t.secret + " demo"))
	if err != nil {
		return t, err
	}
	t.access = auth.NewAccessVerifier(keys)
	return t, nil
}

// tokenLifetime is a day: a page that is loaded again gets a new one.
const tokenLifetime = 24 * time.Hour

// forPage allows everything below demo/.
func (t tokens) forPage(now time.Time) (string, error) {
	return t.mint(auth.Claims{Root: "demo", Publish: []string{""}, Subscribe: []string{""}, Subject: "page"}, now)
}

// forFilm allows to publish the film, and nothing else.
func (t tokens) forFilm(now time.Time) (string, error) {
	return t.mint(auth.Claims{Publish: []string{broadcast}, Subject: "film"}, now)
}

func (t tokens) mint(c auth.Claims, now time.Time) (string, error) {
	c.Expires = now.Add(tokenLifetime)
	token, err := t.key.Mint(c, now)
	return token.Reveal(), err
}
