// Package whip is the door for WHIP publishers (RFC 9725) and WHEP viewers
// (draft-ietf-wish-whep-03): HTTP in front of edge/rtc.
//
//	POST   /whip/<broadcast>   SDP offer of a publisher; 201 with the answer
//	POST   /whep/<broadcast>   SDP offer of a viewer; 201 with the answer
//	PATCH  /rtc/<id>           trickle ICE (204) or ICE restart (200)
//	DELETE /rtc/<id>           the end (200)
//	OPTIONS, GET               what is accepted; alive or not
//
// A node that drains or is full, or knows one that is clearly nearer to a client
// that says where it is, answers 307, or refuses with a Link of rel "alternate".
//
// Sessions have a prefix of their own, because everything below /whip/ and
// /whep/ may be the name of a broadcast. Their ids have 128 random bits.
//
// Every refusal carries a problem body (RFC 9457) that says what is wrong and
// what would be right.
package whip
