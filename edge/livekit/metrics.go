package livekit

import "github.com/prometheus/client_golang/prometheus"

// outcome is how a request to join went.
type outcome string

const (
	joined         outcome = "joined"
	validated      outcome = "validated"
	refusedToken   outcome = "token"
	refusedGrant   outcome = "grant"
	refusedRequest outcome = "bad_request"
	refusedOffer   outcome = "bad_offer"
	refusedRate    outcome = "rate"
	refusedRoom    outcome = "room_limit"
	refusedNode    outcome = "node_limit"
	refusedBusy    outcome = "busy"
	refusedUpgrade outcome = "upgrade"
	refusedDual    outcome = "dual"
	failed         outcome = "failed"
)

func outcomes() []outcome {
	return []outcome{
		joined, validated, refusedToken, refusedGrant, refusedRequest, refusedOffer, refusedRate, refusedRoom, refusedNode,
		refusedBusy, refusedUpgrade, refusedDual, failed,
	}
}

// ending is why a session is over.
type ending string

const (
	endLeft      ending = "left"        // the client said so
	endHungUp    ending = "hung_up"     // or closed its media connection, as browsers do first
	endSocket    ending = "socket"      // its WebSocket closed
	endSilent    ending = "silent"      // or said nothing
	endSlow      ending = "slow"        // it did not read
	endFlood     ending = "flood"       // more messages or offers than anybody needs
	endMessage   ending = "bad_message" // that cannot be read, or is too large
	endText      ending = "text"        // JSON
	endOffer     ending = "bad_offer"
	endLimit     ending = "limit"     // of the node, or of ICE restarts
	endDuplicate ending = "duplicate" // its identity joined again
	endResume    ending = "resume"    // it wanted to go on with one that is over
	endMedia     ending = "media"     // its media connection is over
	endExpired   ending = "expired"   // its token is
	endShutdown  ending = "shutdown"  // we stop, or drain
	endFailed    ending = "failed"
)

func endings() []ending {
	return []ending{
		endLeft, endHungUp, endSocket, endSilent, endSlow, endFlood, endMessage, endText, endOffer, endLimit, endDuplicate, endResume, endMedia, endExpired,
		endShutdown, endFailed,
	}
}

// refused is something that clients ask for and we do not do.
type refused string

const (
	refusedPublish      refused = "publish"
	refusedPublishData  refused = "publish_data"
	refusedMetadata     refused = "metadata"
	refusedSubscription refused = "subscription" // a track in no codec of the client's
)

// metrics holds the package's collectors, resolved ahead.
type metrics struct {
	joins    map[outcome]prometheus.Counter
	ended    map[ending]prometheus.Counter
	refused  map[refused]prometheus.Counter
	hidden   prometheus.Counter
	sessions prometheus.Gauge
	rooms    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	joins := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_livekit_joins_total", Help: "Requests of LiveKit clients to join, by how they went.",
	}, []string{"result"})
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_livekit_sessions_ended_total", Help: "Sessions of LiveKit clients that are over, by reason.",
	}, []string{"reason"})
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_livekit_refused_total", Help: "What LiveKit clients asked for in a session and did not get, by kind.",
	}, []string{"what"})
	m := &metrics{
		joins: map[outcome]prometheus.Counter{}, ended: map[ending]prometheus.Counter{}, refused: map[refused]prometheus.Counter{},
		hidden: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trellis_livekit_hidden_broadcasts_total", Help: "Broadcasts that are not shown in their room, which has its number.",
		}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_livekit_sessions", Help: "Sessions of LiveKit clients."}),
		rooms:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_livekit_rooms", Help: "Rooms that LiveKit clients are in."}),
	}
	for _, o := range outcomes() {
		m.joins[o] = joins.WithLabelValues(string(o))
	}
	for _, e := range endings() {
		m.ended[e] = ended.WithLabelValues(string(e))
	}
	for _, r := range []refused{refusedPublish, refusedPublishData, refusedMetadata, refusedSubscription} {
		m.refused[r] = refusals.WithLabelValues(string(r))
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{joins, ended, refusals, m.hidden, m.sessions, m.rooms} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
