package whipclient

import (
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
)

// references remembers the time that the server last told of, which the next report answers: the
// server learns the round trip by that (RFC 3611, Sections 4.4 and 4.5).
type references struct {
	interceptor.NoOp

	mu   sync.Mutex
	ssrc uint32
	ntp  uint32 // the middle of it; zero before there is one
	at   time.Time
}

// NewInterceptor implements interceptor.Factory.
func (r *references) NewInterceptor(string) (interceptor.Interceptor, error) { return r, nil }

// BindRTCPReader implements interceptor.Interceptor.
func (r *references) BindRTCPReader(reader interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err == nil {
			r.read(b[:n], time.Now())
		}
		return n, a, err
	})
}

func (r *references) read(b []byte, now time.Time) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return // who else reads it says so
	}
	for _, p := range packets {
		xr, ok := p.(*rtcp.ExtendedReport)
		if !ok {
			continue
		}
		for _, block := range xr.Reports {
			if t, ok := block.(*rtcp.ReceiverReferenceTimeReportBlock); ok {
				r.mu.Lock()
				if ntp := uint32(t.NTPTimestamp >> 16); ntp != r.ntp { // each track reads it
					r.ssrc, r.ntp, r.at = xr.SenderSSRC, ntp, now
				}
				r.mu.Unlock()
			}
		}
	}
}

// answer returns what goes with a report of ours, nil if there is nothing to answer.
func (r *references) answer(ssrc uint32, now time.Time) *rtcp.ExtendedReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ntp == 0 {
		return nil
	}
	waited := uint32(now.Sub(r.at) * 65536 / time.Second)
	return &rtcp.ExtendedReport{SenderSSRC: ssrc, Reports: []rtcp.ReportBlock{
		&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: r.ssrc, LastRR: r.ntp, DLRR: waited}}},
	}}
}
