package rtc

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/allocate"
	"trellis/internal/relay"
)

// refusal says why a session was not made.
type refusal uint8

const (
	refusedNodeLimit refusal = iota
	refusedIdentityLimit
	refusedBadOffer
	refusedCodec
	refusedNotLive
	refusedOther
	numRefusals
)

func (r refusal) String() string {
	switch r {
	case refusedNodeLimit:
		return "node_limit"
	case refusedIdentityLimit:
		return "identity_limit"
	case refusedBadOffer:
		return "bad_offer"
	case refusedCodec:
		return "codec"
	case refusedNotLive:
		return "not_live"
	case refusedOther, numRefusals:
	}
	return "other"
}

// skip says why something that could have been sent or stored was not.
type skip uint8

const (
	skipWaitKey     skip = iota // ingress: no key frame yet, or none since a loss
	skipGroupRefuse             // ingress: the relay refused the group or object
	skipLate                    // egress: the group came after a newer one had been sent
	skipStalled                 // egress: the group stood still while a newer one was there
	skipMalformed               // egress: bytes that are no frame of the codec
	skipAborted                 // egress: the group was given up by the relay
	skipBehind                  // egress: a viewer fell out of the packet history
	skipWriteFailed             // egress: the viewer's transport refused the packet
	skipFeedback                // egress: more feedback than the lane can handle
	skipHistory                 // egress: asked again for a packet that is no longer kept
	skipResendLimit             // egress: a viewer asked for more than its share
	skipResendSoon              // egress: a viewer asked again for what is on its way
	skipRestartSoon             // egress: a viewer asked again for a key frame that it was just sent
	skipAskLimit                // egress: a viewer asked for more than anybody could have lost
	skipUnknownSSRC             // egress: feedback on a stream that the viewer is not sent
	skipReports                 // egress: feedback on more packets than can have been sent
	skipNeverSent               // egress: feedback on packets that were not sent, or long ago
	skipBadFeedback             // egress: feedback that cannot be read
	skipUnprotected             // egress: a group of packets is gone before repairs were made for it
	skipICERestart              // a client restarted ICE too often
	skipNoStream                // ingress: a packet that nothing assigns to a stream
	skipNoFormat                // ingress: of a payload type that was not negotiated
	skipLeftBehind              // ingress: of an SSRC whose stream goes on with another
	numSkips
)

func (s skip) String() string {
	switch s {
	case skipWaitKey:
		return "wait_key"
	case skipGroupRefuse:
		return "group_refused"
	case skipLate:
		return "late"
	case skipStalled:
		return "stalled"
	case skipMalformed:
		return "malformed"
	case skipAborted:
		return "aborted"
	case skipBehind:
		return "behind"
	case skipWriteFailed:
		return "write_failed"
	case skipFeedback:
		return "feedback_overflow"
	case skipHistory:
		return "not_in_history"
	case skipResendSoon:
		return "resend_soon"
	case skipResendLimit:
		return "resend_limit"
	case skipRestartSoon:
		return "restart_soon"
	case skipAskLimit:
		return "ask_limit"
	case skipUnknownSSRC:
		return "unknown_ssrc"
	case skipReports:
		return "report_limit"
	case skipNeverSent:
		return "never_sent"
	case skipBadFeedback:
		return "malformed_feedback"
	case skipUnprotected:
		return "unprotected"
	case skipICERestart:
		return "ice_restart_limit"
	case skipNoStream:
		return "no_stream"
	case skipNoFormat:
		return "no_format"
	case skipLeftBehind:
		return "left_behind"
	case numSkips:
	}
	return "unknown"
}

// keyframeReason says why a publisher was asked for a key frame.
type keyframeReason uint8

const (
	keyframeStart  keyframeReason = iota // frames arrive, and none was a key frame yet
	keyframeLoss                         // packets were lost beyond repair
	keyframeLength                       // the group has become long
	keyframeDemand                       // somebody wants to begin, and no group is cached
	keyframeFresh                        // somebody wants to begin, and the cached group is too much for its path
	numKeyframeReasons
)

func (r keyframeReason) String() string {
	switch r {
	case keyframeStart:
		return "start"
	case keyframeLoss:
		return "loss"
	case keyframeLength:
		return "group_length"
	case keyframeDemand:
		return "demand"
	case keyframeFresh:
		return "fresh"
	case numKeyframeReasons:
	}
	return "unknown"
}

// endings are the values of the cause label of ended sessions.
const (
	endHungUp = iota
	endSetup
	endSilent
	endExpired
	endReplaced
	endNothingLeft
	endShutdown
	endOther
	numEndings
)

func endingOf(cause error) int {
	for i, err := range []error{
		endHungUp: ErrHungUp, endSetup: ErrSetupTimeout, endSilent: ErrSilent, endExpired: ErrExpired,
		endReplaced: relay.ErrReplaced, endNothingLeft: ErrNothingLeft, endShutdown: ErrClosed,
	} {
		if errors.Is(cause, err) {
			return i
		}
	}
	return endOther
}

// metrics holds the package's collectors, with all labels resolved.
type metrics struct {
	setup        prometheus.Histogram
	age          prometheus.Histogram
	captureAge   prometheus.Histogram
	captured     [numCaptureSources]prometheus.Counter // objects, by what viewers are told of their capture
	resume       prometheus.Histogram
	endings      [numRoles][numEndings]prometheus.Counter
	refused      [numRefusals]prometheus.Counter
	skipped      [numSkips]prometheus.Counter
	keyRequests  [numKeyframeReasons]prometheus.Counter // sent to publishers
	keyRequested prometheus.Counter                     // received from viewers
	restarts     prometheus.Counter                     // of those, answered from the cache
	packetsOut   prometheus.Counter
	bytesOut     prometheus.Counter
	resent       prometheus.Counter
	probes       prometheus.Counter
	redViewers   prometheus.Counter                      // began to be sent sound twice
	switches     [allocate.NumReasons]prometheus.Counter // of viewers between layers
	fecViewers   prometheus.Counter                      // began to be sent repair packets
	fecChoices   [numFECReasons]prometheus.Counter
	fecPackets   prometheus.Counter
	fecBytes     prometheus.Counter
	lanes        prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, sessions func(Role) int) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	ages := []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5}
	m := &metrics{
		setup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trellis_rtc_session_setup_seconds", Help: "Time from the offer until media can flow.",
			Buckets: []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10},
		}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trellis_rtc_egress_age_seconds", Help: "Age of objects when their packets were sent to viewers.",
			Buckets: ages,
		}),
		captureAge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trellis_rtc_egress_capture_age_seconds",
			Help: "Time since objects were captured when their packets were sent to viewers, where the publisher's clock is known.", Buckets: ages,
		}),
		resume: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trellis_rtc_layer_resume_seconds", Help: "Time from when a held layer was wanted until it came again.",
			Buckets: []float64{0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 3},
		}),
		keyRequested: counter("trellis_rtc_keyframe_requests_received_total", "Key frames asked for by viewers."),
		restarts:     counter("trellis_rtc_egress_restarts_total", "Viewers sent the cached group again instead of a key frame request."),
		packetsOut:   counter("trellis_rtc_egress_packets_total", "RTP packets written to viewers."),
		bytesOut:     counter("trellis_rtc_egress_bytes_total", "RTP payload bytes written to viewers."),
		resent:       counter("trellis_rtc_egress_resent_total", "RTP packets written again on a viewer's NACK."),
		redViewers:   counter("trellis_rtc_egress_protected_total", "Times that a viewer began to be sent its sound twice, because of loss."),
		fecViewers:   counter("trellis_rtc_egress_fec_total", "Times that a viewer's pictures began to be protected by FlexFEC, because of loss on a long path."),
		fecPackets:   counter("trellis_rtc_egress_fec_packets_total", "Repair packets of FlexFEC written to viewers."),
		fecBytes:     counter("trellis_rtc_egress_fec_bytes_total", "RTP payload bytes of repair packets written to viewers."),
		probes:       counter("trellis_rtc_egress_probes_total", "Trains of packets sent to find out what a viewer's path can carry."),
		lanes:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_rtc_lanes", Help: "Tracks that are packetized for viewers."}),
	}
	endings := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_sessions_ended_total", Help: "Sessions that ended, by role and cause.",
	}, []string{"role", "cause"})
	causes := [numEndings]string{
		"hung_up", "setup_timeout", "silent", "expired", "replaced", "nothing_left", "shutdown", "other",
	}
	for r := range numRoles {
		for i, cause := range causes {
			m.endings[r][i] = endings.WithLabelValues(r.String(), cause)
		}
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_sessions_refused_total", Help: "Sessions that were not made, by reason.",
	}, []string{"reason"})
	for r := range numRefusals {
		m.refused[r] = refused.WithLabelValues(r.String())
	}
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_dropped_total", Help: "Frames, groups or packets that were not passed on, by reason.",
	}, []string{"reason"})
	for s := range numSkips {
		m.skipped[s] = skipped.WithLabelValues(s.String())
	}
	keyRequests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_keyframe_requests_sent_total", Help: "Key frames asked of publishers, by reason.",
	}, []string{"reason"})
	for r := range numKeyframeReasons {
		m.keyRequests[r] = keyRequests.WithLabelValues(r.String())
	}
	switches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_layer_switches_total", Help: "Viewers sent to another layer of a picture, by reason.",
	}, []string{"reason"})
	for r := range allocate.NumReasons {
		m.switches[r] = switches.WithLabelValues(r.String())
	}
	fecChoices := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_fec_choices_total", Help: "Changes of how many repair packets a viewer is sent, by reason.",
	}, []string{"reason"})
	for r := range numFECReasons {
		m.fecChoices[r] = fecChoices.WithLabelValues(r.String())
	}
	captured := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_rtc_egress_capture_total", Help: "Objects sent to viewers, by what these are told as the time of capture.",
	}, []string{"source"})
	for s := range numCaptureSources {
		m.captured[s] = captured.WithLabelValues(s.String())
	}
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{
		m.setup, m.age, m.resume, endings, refused, skipped, keyRequests, m.keyRequested, m.restarts,
		m.packetsOut, m.bytesOut, m.resent, m.probes, m.redViewers, m.lanes, switches,
		m.fecViewers, m.fecPackets, m.fecBytes, fecChoices, m.captureAge, captured,
	}
	for r := range numRoles {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trellis_rtc_sessions", Help: "Open sessions.", ConstLabels: prometheus.Labels{"role": r.String()},
		}, func() float64 { return float64(sessions(r)) }))
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) ended(r Role, cause error) { m.endings[r][endingOf(cause)].Inc() }

// refuse counts a request that failed with err, unless admit has done so.
func (m *metrics) refuse(err error) {
	var ce *CodecError
	switch {
	case errors.Is(err, ErrTooMany):
	case errors.Is(err, ErrBadOffer):
		m.refused[refusedBadOffer].Inc()
	case errors.As(err, &ce):
		m.refused[refusedCodec].Inc()
	case errors.Is(err, ErrNotLive):
		m.refused[refusedNotLive].Inc()
	default:
		m.refused[refusedOther].Inc()
	}
}
