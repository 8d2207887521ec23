package transport

// MaxTouched is how many clients Touch takes. What it reads of them, some kilobytes, must
// still be near when the last one's packets are sealed.
const MaxTouched = 16

// Touch reads the memory that it takes to send packets to clients. A lane comes back to a
// client after megabytes have passed through the caches, so this memory is far away, in
// places each of which is found by way of the one before: transport, keys, cipher. Who
// comes to the clients one by one waits four times for each, for longer than it takes to
// seal a packet of sound. The processor fetches at once what does not depend on one
// another: the same place of all clients.
//
// What is returned means nothing, but that the compiler cannot leave anything out.
func Touch(conns []*Conn) (sum uint64) {
	var all [MaxTouched]struct {
		keys   *keys
		dest   *dest
		cipher *gcm
		state  []byte
	}
	for i, c := range conns {
		all[i].keys, all[i].dest = c.keys.Load(), c.dest.Load()
	}
	for i := range conns {
		if t := &all[i]; t.keys != nil && t.dest != nil {
			t.cipher, _ = t.keys.media.(*gcm)
			sum += uint64(t.dest.addr.Port())
		}
	}
	for i := range conns {
		if t := &all[i]; t.cipher != nil {
			t.state = t.cipher.state
		}
	}
	const line = 64 // bytes come from memory together
	for i := range conns {
		state := all[i].state
		for at := 0; at < len(state); at += line {
			sum += uint64(state[at])
		}
	}
	return sum
}
