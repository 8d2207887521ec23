// Package whipclient publishes by WHIP (RFC 9725) and plays by WHEP
// (draft-ietf-wish-whep-03). It is the client of the operator's tools, of the
// benchmark harness and of the tests.
//
// Publish connects, and frames with presentation times are written to it:
//
//	pub, err := whipclient.Publish(ctx, whipclient.PublishConfig{
//		Config: whipclient.Config{URL: "https://node/whip/room/alice", Token: token},
//		Tracks: []whipclient.Source{{Codec: framing.H264}, {Codec: framing.Opus}},
//	})
//	err = pub.Write(0, whipclient.Frame{PTS: pts, Key: true, Data: accessUnit})
//	err = pub.Close(ctx)
//
// Play connects, and whole frames are read from it:
//
//	player, err := whipclient.Play(ctx, whipclient.PlayConfig{
//		Config: whipclient.Config{URL: "https://node/whep/room/alice", Token: token},
//	})
//	for {
//		f, err := player.Next(ctx) // io.EOF when the session is over
//	}
//
// Frames have the bytes of the object model (docs/wire.md): Annex B for H.264,
// temporal units with size fields for AV1, raw frames for VP8, VP9 and Opus.
package whipclient
