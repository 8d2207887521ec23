// Package client is what the operator's publish and watch commands do, without
// flags and terminals: Publish sends media files in real time by WHIP or MoQ, Watch
// receives a broadcast by WHEP or MoQ, measures it and may write it to files.
//
// Both end with a report. Its figures are taken at this end of the wire, and only
// what can be known is stated: the age of a frame is there when the frame says
// when it was made, in a clock that agrees with ours or that is told, and else it is
// absent and called unsynchronised. Three sources of it are known (docs/operating.md):
//
//   - WebRTC: the absolute capture time that an edge sends with packets, on the publisher's
//     clock and with what that says now, where the edge knows it;
//   - WebRTC: else the time when the frame entered the backbone;
//   - MoQ: presentation times that are times of day in microseconds, as this
//     package's publisher makes them. A clock that started with the publisher's page
//     or session is never near the time of day, which tells the two apart.
package client
