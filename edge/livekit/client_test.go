package livekit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/livekit"
	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
	"trellis/edge/whip/whipclient"
	"trellis/internal/auth"
	"trellis/internal/relay"
	"trellis/wire"
)

const (
	apiKey    = "APItest"
	apiSecret = "a_secret_of_more_than_32_letters_"
)

// node is a node's WebRTC edge with its doors, and clients around it, on a simulated
// network in virtual time. All of it lives in one synctest bubble.
type node struct {
	t        *testing.T
	ctx      context.Context
	edge     *rtc.Edge
	registry *prometheus.Registry
	router   *vnet.Router
	hosts    int
	dark     atomic.Bool
	lost     atomic.Pointer[string] // an address whose packets are lost
	http     *http.Client           // reaches the doors by pipes
	stop     func()                 // ends the LiveKit door
	over     []func()               // for when the test is
	// channels has clients open one. pion's hold a lock while they wait for a time to pass if
	// they are closed after their node is gone, and with it hold up the bubble's clock.
	channels bool
}

// inNode runs f in a bubble with a node, and takes it down after it.
func inNode(t *testing.T, configure func(*livekit.Config), f func(n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		n := &node{t: t, ctx: ctx, registry: prometheus.NewRegistry()}
		var err error
		n.router, err = vnet.NewRouter(&vnet.RouterConfig{
			CIDR: "10.0.0.0/16", MinDelay: oneWay, QueueSize: 100_000, LoggerFactory: &logging.DefaultLoggerFactory{},
		})
		n.must(err)
		n.router.AddChunkFilter(func(c vnet.Chunk) bool {
			lost := n.lost.Load()
			return !n.dark.Load() && (lost == nil || c.SourceAddr().String() != *lost && c.DestinationAddr().String() != *lost)
		})
		host := n.host()
		n.must(n.router.Start())
		udp, err := host.ListenPacket("udp4", "10.0.0.1:3478")
		n.must(err)
		table, err := relay.NewTable(relay.Config{})
		n.must(err)
		n.edge, err = rtc.New(rtc.Config{Table: table, Origin: "us-east-1", UDP: udp, Net: host, Log: testLog(t)})
		n.must(err)
		keys, err := auth.ParseAccessKeys([]byte(apiKey + ": " + apiSecret + "\nAPIscoped: " + apiSecret + " only/here\n"))
		n.must(err)
		cfg := livekit.Config{
			Edge: n.edge, Table: table, Verifier: auth.NewAccessVerifier(keys), NodeID: "us-east-1-a", Region: "us-east-1",
			Metrics: n.registry, AllowedOrigins: []string{"https://app.example"}, Log: testLog(t),
		}
		if configure != nil {
			configure(&cfg)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if err := n.edge.Run(ctx); err != nil {
				t.Errorf("the edge ended with %v", err)
			}
		})
		n.serve(cfg, &running)
		defer func() { // also when the test has failed
			for _, over := range n.over {
				over()
			}
			n.stop()
			cancel()
			running.Wait()
			n.must(n.router.Stop())
			time.Sleep(10 * time.Second) // virtual: let pion's last timers run out
		}()
		f(n)
	})
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// blackout loses all packets of media from now on.
func (n *node) blackout() { n.dark.Store(true) }

// oneWay is the delay from every host to every other.
const oneWay = 10 * time.Millisecond

// serve opens the doors.
func (n *node) serve(cfg livekit.Config, running *sync.WaitGroup) {
	n.t.Helper()
	door, err := livekit.New(cfg)
	n.must(err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip/", n.serveWHIP)
	mux.HandleFunc("DELETE /sessions/{id}", func(_ http.ResponseWriter, r *http.Request) { n.edge.Session(r.PathValue("id")).End(rtc.ErrHungUp) })
	for _, path := range livekit.Paths() {
		mux.Handle(path, door)
	}
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	running.Go(func() { _ = server.Serve(l) })
	transport := &http.Transport{DialContext: l.dial, DisableKeepAlives: true}
	n.http = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(n.ctx)
	var doorRuns sync.WaitGroup
	doorRuns.Go(func() {
		if err := door.Run(ctx); !errors.Is(err, context.Canceled) {
			n.t.Errorf("the door ended with %v", err)
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		doorRuns.Wait()
		_ = server.Close()
	})
}

// serveWHIP is as much of WHIP as a publisher needs.
func (n *node) serveWHIP(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(r.Body)
	var s *rtc.Session
	if err == nil {
		s, err = n.edge.Publish(r.Context(), rtc.Request{Broadcast: wire.Broadcast(strings.TrimPrefix(r.URL.Path, "/whip/")), Offer: string(offer)})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/sessions/"+s.ID())
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, s.Answer())
}

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

// host adds a host: the first is the node's, 10.0.0.1.
func (n *node) host() transport.Net {
	n.t.Helper()
	n.hosts++
	h, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("10.0.0.%d", n.hosts)}})
	n.must(err)
	n.must(n.router.AddNet(h))
	return h
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// counted returns a counter's value, by its one label.
func (n *node) counted(name, label string) float64 {
	n.t.Helper()
	families, err := n.registry.Gather()
	n.must(err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// token signs claims as an application's server does. What is nil is left out.
func token(t *testing.T, change func(claims, video jwt.MapClaims)) string {
	t.Helper()
	video := jwt.MapClaims{"roomJoin": true, "room": "demo", "canPublish": false}
	claims := jwt.MapClaims{"iss": apiKey, "sub": "viewer", "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Unix(), "video": video}
	secret := apiSecret
	if change != nil {
		change(claims, video)
	}
	if s, ok := claims["secret"].(string); ok {
		secret = s
		delete(claims, "secret")
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func identity(name string) func(claims, video jwt.MapClaims) {
	return func(claims, _ jwt.MapClaims) { claims["sub"] = name }
}

// client speaks the protocol as the SDKs do, with a peer connection of pion's.
type client struct {
	*node

	ws     *websocket.Conn
	pc     *webrtc.PeerConnection
	data   *webrtc.DataChannel
	tracks chan *webrtc.TrackRemote
	offers uint32
	join   *signal.Join
	seats  map[string]string // of the last answer
}

// connect makes a peer connection that offers what an SDK does: three sections for each kind, and
// data where the test has channels.
func (c *client) connect() {
	c.t.Helper()
	n := c.node
	settings := webrtc.SettingEngine{}
	settings.SetNet(n.host())
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	n.must(err)
	c.pc = pc
	n.over = append(n.over, func() { n.must(pc.Close()) })
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		for range 3 {
			_, err = pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			n.must(err)
		}
	}
	if n.channels {
		c.data, err = pc.CreateDataChannel("_reliable", nil)
		n.must(err)
	}
	c.tracks = make(chan *webrtc.TrackRemote, 8)
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.tracks <- t })
}

func (c *client) offer(options *webrtc.OfferOptions) *signal.Description {
	c.t.Helper()
	d, err := c.pc.CreateOffer(options)
	c.must(err)
	c.must(c.pc.SetLocalDescription(d))
	c.offers++
	return &signal.Description{Type: "offer", SDP: d.SDP, ID: c.offers}
}

// enter joins and reads what comes first: the join, and the answer.
func (n *node) enter(token string, settings signal.Settings) *client {
	n.t.Helper()
	c := &client{node: n}
	c.connect()
	ws, status, err := n.dial(token, signal.JoinRequest{Settings: settings, Offer: c.offer(nil)}.Pack())
	if err != nil {
		n.t.Fatalf("join: %d, %v", status, err)
	}
	c.ws = ws
	first := c.read()
	if first.Kind != signal.ResponseJoin {
		n.t.Fatalf("the first message is %+v", first)
	}
	c.join = first.Join
	c.answered(c.read())
	return c
}

// dial opens a WebSocket. It returns the status if there is none.
func (n *node) dial(token, join string) (*websocket.Conn, int, error) {
	q := url.Values{"join_request": {join}, "access_token": {token}}
	ws, res, err := websocket.Dial(n.ctx, "ws://10.0.0.1/rtc/v1?"+q.Encode(), &websocket.DialOptions{HTTPClient: n.http}) //nolint:bodyclose // the library says not to
	if ws != nil {
		ws.SetReadLimit(1 << 20)
		n.over = append(n.over, func() { _ = ws.CloseNow() })
	}
	if res == nil {
		return ws, 0, err
	}
	return ws, res.StatusCode, err
}

// answered takes an answer.
func (c *client) answered(r signal.Response) {
	c.t.Helper()
	if r.Kind != signal.ResponseAnswer {
		c.t.Fatalf("%+v instead of an answer", r)
	}
	if r.Description.ID != c.offers || r.Description.Type != "answer" {
		c.t.Errorf("the answer to offer %d is %s %d", c.offers, r.Description.Type, r.Description.ID)
	}
	c.seats = r.Description.Tracks
	c.must(c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: r.Description.SDP}))
}

// negotiate makes another offer and takes its answer; what else is said meanwhile is returned.
func (c *client) negotiate() []signal.Response {
	c.t.Helper()
	return c.renegotiate(nil)
}

func (c *client) renegotiate(options *webrtc.OfferOptions) []signal.Response {
	c.t.Helper()
	c.say(signal.Request{Kind: signal.RequestOffer, Description: c.offer(options)})
	var others []signal.Response
	for {
		r := c.read()
		if r.Kind == signal.ResponseAnswer {
			c.answered(r)
			return others
		}
		others = append(others, r)
	}
}

func (c *client) say(r signal.Request) {
	c.t.Helper()
	c.must(c.ws.Write(c.ctx, websocket.MessageBinary, r.Append(nil)))
}

func (c *client) read() signal.Response {
	c.t.Helper()
	_, b, err := c.ws.Read(c.ctx)
	c.must(err)
	r, err := signal.ParseResponse(b)
	c.must(err)
	return r
}

// await reads until a message of a kind comes that is wanted.
func (c *client) await(kind signal.ResponseKind, want func(signal.Response) bool) signal.Response {
	c.t.Helper()
	for {
		if r := c.read(); r.Kind == kind && (want == nil || want(r)) {
			return r
		}
	}
}

// over reads to the end, and returns the leave and the close code.
func (c *client) over() (signal.Leave, websocket.StatusCode) {
	c.t.Helper()
	var leave signal.Leave
	for {
		_, b, err := c.ws.Read(c.ctx)
		if err != nil {
			return leave, websocket.CloseStatus(err)
		}
		r, err := signal.ParseResponse(b)
		c.must(err)
		if r.Kind == signal.ResponseLeave {
			leave = *r.Leave
		}
	}
}

// publish publishes a picture and a sound by WHIP, as long as the test lasts.
func (n *node) publish(name string, tracks ...whipclient.Source) *whipclient.Publisher {
	n.t.Helper()
	p, err := whipclient.Publish(n.ctx, whipclient.PublishConfig{Config: whipclient.Config{
		URL: "http://10.0.0.1/whip/" + name, HTTP: n.http, Net: n.host(),
	}, Tracks: tracks})
	n.must(err)
	return p
}
