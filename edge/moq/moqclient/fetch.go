package moqclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// Fetch returns the objects of a group that exists already. CodeOf the error is
// wire.CodeNotFound if the node does not have it any more. It exists from 05 on.
func (s *Session) Fetch(ctx context.Context, broadcast, track string, group uint64) ([]Object, error) {
	objects, err := s.fetch(ctx, moqlite.Fetch{Broadcast: broadcast, Track: track, Group: group})
	if err != nil {
		return nil, fmt.Errorf("fetch group %d of %s:%s: %w", group, broadcast, track, err)
	}
	return objects, nil
}

func (s *Session) fetch(ctx context.Context, m moqlite.Fetch) ([]Object, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	st, err := s.open(ctx, moqlite.StreamFetch, m)
	if err != nil {
		return nil, err
	}
	defer st.finish()
	defer st.resetOn(ctx, wire.CodeTimeout)()
	var objects []Object
	var at int64
	for {
		h, err := st.in.FrameHeader(s.version, s.cfg.MaxFrameBytes)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		if at, err = moqlite.NextTime(at, h.Delta); err != nil {
			return nil, err
		}
		payload, err := readFrame(st.in, h.Size)
		if err != nil {
			return nil, err
		}
		objects = append(objects, Object{
			Group: m.Group, Index: uint64(len(objects)), Time: at, Payload: payload, Begun: begun, Arrived: time.Now(),
		})
	}
}

// Probe follows what the node believes the path to this client can carry. Next
// is for one goroutine at a time.
type Probe struct {
	session *Session
	stream  *stream
}

// Probe asks for reports. Close it when done.
func (s *Session) Probe(ctx context.Context) (*Probe, error) {
	st, err := s.open(ctx, moqlite.StreamProbe, nil)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return &Probe{session: s, stream: st}, nil
}

// Next waits for the next report. When ctx ends, so do the reports.
func (p *Probe) Next(ctx context.Context) (moqlite.Probe, error) {
	defer p.stream.resetOn(ctx, wire.CodeCancel)()
	body, err := p.stream.in.Message()
	if err != nil {
		return moqlite.Probe{}, err
	}
	return moqlite.ParseProbe(body, p.session.version)
}

// Close ends the reports.
func (p *Probe) Close() { p.stream.finish() }
