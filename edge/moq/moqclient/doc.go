// Package moqclient publishes and watches broadcasts over MoQ: moq-lite 05, 04
// and 03 on WebTransport. It is what trellis publish and trellis watch, the load
// generator and the tests are made of; it shares no code with the server but the
// codecs, so that the two check each other.
//
// A Session is one connection. To publish:
//
//	session, err := moqclient.Dial(ctx, moqclient.Config{URL: "https://edge:4443/?jwt=..."})
//	broadcast, err := session.Publish("room/alice")
//	track, err := broadcast.AddTrack("video/hd", moqlite.TrackInfo{Timescale: 1_000_000})
//	group, err := track.NewGroup()          // at each key frame
//	err = group.Write(ptsMicros, frame)     // for each frame
//	group.Close()
//
// To watch:
//
//	announced, err := session.Announcements("room")
//	event, err := announced.Next(ctx)       // {room/alice, Active}
//	sub, err := session.Subscribe(ctx, "room/alice", "video/hd", moqlite.Delivery{Priority: 60})
//	object, err := sub.Next(ctx)            // objects, group by group
//
// All names are relative to the path of the URL. Payloads are what the track's
// container says (package hang); the client does not look inside.
//
// Everything that a session hands out ends with it. Close waits until the
// session's goroutines are gone.
package moqclient
