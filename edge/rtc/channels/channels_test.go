package channels

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/logging"
	"github.com/pion/sctp"
)

// end is a client's end of an association, and what ours has come to.
type end struct {
	*sctp.Association

	t            *testing.T
	ours, theirs net.Conn
	served       chan error
}

func factory() logging.LoggerFactory { return &logging.DefaultLoggerFactory{} }

// served has f act as a client that is served, in a bubble.
func served(t *testing.T, f func(c *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &end{t: t, served: make(chan error, 1)}
		c.ours, c.theirs = net.Pipe()
		go func() { c.served <- Serve(c.ours, factory()) }()
		var err error
		if c.Association, err = sctp.ClientWithOptions(sctp.WithNetConn(c.theirs), sctp.WithLoggerFactory(factory())); err != nil {
			t.Fatal(err)
		}
		defer func() { // also when the test has failed: timers of SCTP would go on for ever
			_ = c.Close()
			_ = c.ours.Close()
		}()
		f(c)
	})
}

// open opens a channel and returns it with whether that was acknowledged.
func (c *end) open(id uint16) (ch *datachannel.DataChannel, acknowledged *atomic.Bool) {
	c.t.Helper()
	ch, err := datachannel.Dial(c.Association, id, &datachannel.Config{Label: "_reliable", LoggerFactory: factory()})
	if err != nil {
		c.t.Fatal(err)
	}
	acknowledged = &atomic.Bool{}
	ch.OnOpen(func() { acknowledged.Store(true) })
	go func() { _, _ = ch.Read(make([]byte, 100)) }() // which takes the acknowledgement
	time.Sleep(time.Second)
	return ch, acknowledged
}

// TestServe: what a client opens is open until the association below ends.
func TestServe(t *testing.T) {
	served(t, func(c *end) {
		for id := range uint16(3) {
			if _, ok := c.open(2 * id); !ok.Load() {
				t.Errorf("channel %d is not open", id)
			}
		}
		if len(c.served) > 0 {
			t.Fatalf("it is over: %v", <-c.served)
		}
		_ = c.theirs.Close()
		time.Sleep(time.Second)
		if len(c.served) == 0 {
			t.Error("it goes on after the association")
		}
	})
}

// TestUnread: who sends all the same is stopped by the window.
func TestUnread(t *testing.T) {
	served(t, func(c *end) {
		ch, _ := c.open(0)
		const message, all = 1000, 200
		for range all {
			if _, err := ch.Write(make([]byte, message)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if sent := message*all - int(ch.BufferedAmount()); sent > 2*maxUnread {
			t.Errorf("%d bytes are kept that nobody reads", sent)
		}
	})
}

// TestTooMany: a client that opens too many has no channels any more, and the
// association is left for its other uses.
func TestTooMany(t *testing.T) {
	served(t, func(c *end) {
		for id := range uint16(maxChannels) {
			c.open(2 * id)
		}
		if len(c.served) == 0 {
			t.Fatal("it goes on")
		}
		if err := <-c.served; err != nil {
			t.Errorf("ended with %v", err)
		}
		go func() { _, _ = c.theirs.Write([]byte("hello")) }()
		b := make([]byte, 1<<16)
		for {
			n, err := c.ours.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(b[:n], []byte("hello")) {
				return
			}
		}
	})
}
