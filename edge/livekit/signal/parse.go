package signal

import "trellis/internal/proto3"

// ParseResponse parses a message of a node, as a client does.
func ParseResponse(b []byte) (r Response, err error) {
	err = proto3.Fields(b, func(n int, f proto3.Field) error {
		r = Response{Kind: ResponseKind(n)} //nolint:gosec // the number of a field has 29 bits
		switch r.Kind {
		case ResponseJoin:
			r.Join = &Join{}
			return r.Join.parse(f.Bytes)
		case ResponseAnswer:
			r.Description = &Description{}
			return r.Description.parse(f.Bytes)
		case ResponseTrickle:
			r.Trickle = &Trickle{}
			return r.Trickle.parse(f.Bytes)
		case ResponseUpdate:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				if n != 1 {
					return nil
				}
				return parseParticipant(&r.Participants, f.Bytes)
			})
		case ResponseLeave:
			r.Leave = &Leave{}
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				switch n {
				case 2:
					r.Leave.Reason = Reason(f.Number)
				case 3:
					r.Leave.Action = Action(f.Number)
				}
				return nil
			})
		case ResponsePong:
			r.Pong.Now = f.Number
		case ResponsePongResp:
			return proto3.Fields(f.Bytes, numbers(&r.Pong.Last, &r.Pong.Now))
		case ResponseSubscription:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				switch n {
				case 1:
					r.Unsubscribed.Track = f.Text()
				case 2:
					r.Unsubscribed.Why = f.Number
				}
				return nil
			})
		case ResponseRequest:
			r.Refusal = &Refusal{}
			return r.Refusal.parse(f.Bytes)
		case ResponseSections:
			return proto3.Fields(f.Bytes, numbers(&r.Sections.Audio, &r.Sections.Video))
		}
		return nil
	})
	return r, err
}

// numbers reads fields 1, 2 and so on.
func numbers(to ...*uint64) func(int, proto3.Field) error {
	return func(n int, f proto3.Field) error {
		if n <= len(to) {
			*to[n-1] = f.Number
		}
		return nil
	}
}

func (j *Join) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			return j.Room.parse(f.Bytes)
		case 2:
			var all []Participant
			err := parseParticipant(&all, f.Bytes)
			j.Participant = all[0]
			return err
		case 3:
			return parseParticipant(&j.Others, f.Bytes)
		case 4:
			j.Version = f.Text()
		case 9:
			j.Region = f.Text()
		case 10:
			j.PingTimeout = f.Number
		case 11:
			j.PingInterval = f.Number
		case 12:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				switch n {
				case 3:
					j.Protocol = f.Number
				case 5:
					j.NodeID = f.Text()
				}
				return nil
			})
		}
		return nil
	})
}

func (r *Room) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			r.SID = f.Text()
		case 2:
			r.Name = f.Text()
		case 5:
			r.Created = f.Number
		case 9:
			r.Participants = f.Number
		case 11:
			r.Publishers = f.Number
		}
		return nil
	})
}

func parseParticipant(to *[]Participant, b []byte) error {
	var p Participant
	err := proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			p.SID = f.Text()
		case 2:
			p.Identity = f.Text()
		case 3:
			p.State = State(f.Number)
		case 4:
			var t Track
			err := t.parse(f.Bytes)
			p.Tracks = append(p.Tracks, t)
			return err
		case 5:
			p.Metadata = f.Text()
		case 6:
			p.Joined = f.Number
		case 9:
			p.Name = f.Text()
		case 10:
			p.Version = f.Number
		case 11:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				switch n {
				case 1:
					p.Permission.Subscribe = f.Bool()
				case 7:
					p.Permission.Hidden = f.Bool()
				}
				return nil
			})
		case 12:
			p.Region = f.Text()
		case 13:
			p.Publisher = f.Bool()
		}
		return nil
	})
	*to = append(*to, p)
	return err
}

func (t *Track) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			t.SID = f.Text()
		case 2:
			t.Video = f.Bool()
		case 3:
			t.Name = f.Text()
		case 5:
			t.Width = f.Number
		case 6:
			t.Height = f.Number
		case 7:
			t.Simulcast = f.Bool()
		case 9:
			t.Source = f.Number
		case 10:
			var q uint64
			var l Layer
			err := proto3.Fields(f.Bytes, numbers(&q, &l.Width, &l.Height, &l.Bitrate))
			l.Quality = Quality(q)
			t.Layers = append(t.Layers, l)
			return err
		case 11:
			t.MimeType = f.Text()
		case 14:
			t.Stereo = f.Bool()
		case 17:
			t.Stream = f.Text()
		}
		return nil
	})
}

func (r *Refusal) parse(b []byte) error {
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			r.ID = f.Number
		case 2:
			r.Reason = RefusalReason(f.Number)
		case 3:
			r.Message = f.Text()
		case 5:
			return proto3.Fields(f.Bytes, func(n int, f proto3.Field) error {
				if n == 1 {
					r.AddTrack = f.Text()
				}
				return nil
			})
		case 10:
			return proto3.Fields(f.Bytes, numbers(&r.PublishData))
		}
		return nil
	})
}
