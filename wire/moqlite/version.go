package moqlite

// Version is a version of moq-lite.
type Version uint8

// The versions that clients of today choose. 02 is for those whose browser offers no
// WebTransport subprotocols: it is agreed on by messages (Agree), not by name.
const (
	Version02 Version = 2
	Version03 Version = 3
	Version04 Version = 4
	Version05 Version = 5
)

// protocolPrefix and two digits make the WebTransport subprotocol of a version.
const protocolPrefix = "moq-lite-"

// Versions returns the versions that are agreed on by name, newest first.
func Versions() []Version { return []Version{Version05, Version04, Version03} }

// String returns the WebTransport subprotocol of v, such as "moq-lite-05".
func (v Version) String() string {
	return protocolPrefix + string([]byte{'0' + byte(v)/10, '0' + byte(v)%10})
}

// Spoken returns all versions that are spoken here, newest first.
func Spoken() []Version { return append(Versions(), Version02) }

// Valid reports whether v is spoken here.
func (v Version) Valid() bool { return v >= Version02 && v <= Version05 }

// ParseVersion finds the version of a WebTransport subprotocol. It reports
// false for every protocol not spoken here.
func ParseVersion(protocol string) (Version, bool) {
	for _, v := range Versions() {
		if v.String() == protocol {
			return v, true
		}
	}
	return 0, false
}

// HasTimestamps reports whether frames of v carry their presentation time, and
// tracks therefore a timescale that is asked for with TRACK.
func (v Version) HasTimestamps() bool { return v >= Version05 }

// HasSetup reports whether each side of a session opens a Setup stream.
func (v Version) HasSetup() bool { return v >= Version05 }

// HasHops reports whether announcements say how many hops they passed.
func (v Version) HasHops() bool { return v >= Version03 }

// HasInitial reports whether the broadcasts that are there when somebody asks for
// announcements come in one message.
func (v Version) HasInitial() bool { return v < Version03 }

// HasDelivery reports whether subscriptions say more of how they want groups
// delivered than their priority, and are told of what does not come.
func (v Version) HasDelivery() bool { return v >= Version03 }

// HasProbe reports whether there are streams for fetching and probing.
func (v Version) HasProbe() bool { return v >= Version03 }

// HasHopIDs reports whether announcements name the hops they passed.
func (v Version) HasHopIDs() bool { return v >= Version04 }

// HasGoaway reports whether a side may announce that it leaves.
func (v Version) HasGoaway() bool { return v >= Version04 }

// HasDatagrams reports whether groups of one frame may travel in datagrams.
func (v Version) HasDatagrams() bool { return v >= Version05 }
