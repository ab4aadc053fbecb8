package resp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestRepliesWaitForTheirJournals: each batch comes when the journals that it depends on have got there, and nobody else waits.
func TestRepliesWaitForTheirJournals(t *testing.T) {
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	first, second, other := dial(t, s), dial(t, s), dial(t, s)
	first.send("SAVE a x\r\nPING\r\nSAVE b y\r\n")
	eventually(t, "the first has run", func() bool { return h.b.behind() == 1 })
	second.send("SAVE a z\r\n")
	eventually(t, "the second has run", func() bool { return h.a.behind() == 2 })
	other.ping()
	h.b.advance(1)
	other.ping()
	first.expectNothing()
	h.a.advance(1)
	first.expect("+x", "+PONG", "+y")
	second.expectNothing()
	h.a.advance(2)
	second.expect("+z")

	// What comes meanwhile is run afterwards, in order; a batch may await both journals in one reply.
	first.send("SAVE ab both\r\n")
	eventually(t, "it has run", func() bool { return h.b.behind() == 1 })
	first.send("PING\r\nSAVE a after\r\n")
	other.ping()
	h.a.all()
	h.b.all()
	first.expect("+both")
	eventually(t, "the next has run", func() bool { return h.a.behind() == 1 })
	h.a.all()
	first.expect("+PONG", "+after")

	// Many connections, one step.
	var many []client
	for i := range 100 {
		c := dial(t, s)
		c.send(fmt.Sprintf("SAVE a c%d\r\n", i))
		many = append(many, c)
	}
	eventually(t, "all have run", func() bool { return h.a.behind() == 100 })
	h.a.all()
	for i, c := range many {
		c.expect(fmt.Sprint("+c", i))
	}
}

// TestAJournalFailsWhileRepliesWait: what was durable by then stands, the rest becomes errors, and so does what comes later.
func TestAJournalFailsWhileRepliesWait(t *testing.T) {
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	c, other := dial(t, s), dial(t, s)
	c.send("SAVE a one\r\nPING\r\nSAVE ab two\r\nSAVE b three\r\n")
	eventually(t, "it has run", func() bool { return h.b.behind() == 2 })
	h.a.advance(1)
	h.b.all()
	other.ping()
	c.expectNothing()
	h.a.fail(errors.New("IOERR the disk has gone"))
	c.expect("+one", "+PONG", "-IOERR the disk has gone", "+three")
	c.send("SAVE a four\r\nPING\r\n")
	c.expect("-IOERR the disk has gone", "+PONG")

	// One that stands still lets go of those who wait, and serves again afterwards.
	h = newStepHandler()
	s = startServer(t, Options{}, h)
	c = dial(t, s)
	c.send("SAVE a one\r\n")
	eventually(t, "it has run", func() bool { return h.a.behind() == 1 })
	h.a.step(func() { h.a.stalled = true })
	c.expect("-" + errStalled.Error())
	h.a.step(func() { h.a.stalled = false })
	c.send("SAVE a two\r\n")
	eventually(t, "it has run", func() bool { return h.a.behind() == 2 })
	h.a.all()
	c.expect("+two")
}

// TestFlushedRepliesWait: a command that flushes in the middle of a batch waits for what came before, off the loop.
func TestFlushedRepliesWait(t *testing.T) {
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	c, other := dial(t, s), dial(t, s)
	c.send("SAVE a saved\r\nSUBSCRIBE\r\nSAVE a again\r\nBLOCK\r\nPING\r\n")
	eventually(t, "the first has run", func() bool { return h.a.behind() == 1 })
	other.ping()
	c.expectNothing()
	h.a.all()
	c.expect("+saved", "+SUBSCRIBED")
	line, err := c.ReadString('\n')
	if err != nil || line != "+FIRST\r\n" { // before the replies behind it, which wait
		t.Fatal(line, err)
	}
	eventually(t, "the second has run", func() bool { return h.a.behind() == 1 })
	if n := s.Counters().Blocked; n != 0 {
		t.Error("it blocks before its replies have left")
	}
	h.a.all()
	c.expect("+again")
	eventually(t, "it blocks", func() bool { return s.Counters().Blocked == 1 })
	other.ping()
	h.wake <- struct{}{}
	c.expect(":0", "+PONG")
}

// TestDrainDeliversWhatWaits: stopping lets the replies that wait for a journal come, then the end.
func TestDrainDeliversWhatWaits(t *testing.T) {
	h := newStepHandler()
	s, err := Listen(Options{Addr: "127.0.0.1:0", Loops: loopsInTests}, h)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	var waiting []client
	for range 50 {
		c := dial(t, s)
		c.send(strings.Repeat("SAVE ab saved\r\n", 20) + "PING\r\n")
		waiting = append(waiting, c)
	}
	elsewhere, idle := dial(t, s), dial(t, s)
	elsewhere.send("SAVE a saved\r\nELSEWHERE word\r\nBLOCK\r\nPING\r\n")
	eventually(t, "all have run", func() bool { return h.a.behind() == 1001 && h.b.behind() == 1000 })
	idle.ping()
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		stopped <- s.Shutdown(ctx)
	}()
	idle.expectClosed()
	eventually(t, "only those that wait are left", func() bool { return s.Counters().Connected == int64(len(waiting)+1) })
	waiting[0].expectNothing()
	h.b.all()
	h.a.all()
	for _, c := range waiting {
		all, err := io.ReadAll(c)
		if want := strings.Repeat("+saved\r\n", 20) + "+PONG\r\n"; err != nil || string(all) != want {
			t.Fatalf("%q, %v", all, err)
		}
	}
	elsewhere.expect("+saved", "+word", ":5", "+PONG")
	elsewhere.expectClosed()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if n := h.closed.Load(); n != int64(len(waiting)+2) {
		t.Errorf("%d were closed", n)
	}
}

// TestKillAtEachMoment: the client sees the end at once, the handler hears of it once, what was on its way to the client comes
// back, and nothing is held for it.
func TestKillAtEachMoment(t *testing.T) {
	filler := NewMessage([]byte("+" + strings.Repeat("f", 1<<20) + "\r\n"))
	for _, moment := range []struct {
		name, send  string
		undelivered int64
		reached     func(h *stepHandler, c *Conn) bool
		afterwards  func(h *stepHandler)
	}{
		{"idle", "PING\r\n", 0, func(h *stepHandler, c *Conn) bool { return c.Stats().BytesOut > 0 }, nil},
		{"half a command", "*2\r\n$4\r\nECHO\r\n$9\r\nhal", 0, func(h *stepHandler, c *Conn) bool { return c.QueryBuffer() > 0 }, nil},
		{"parked", "PING\r\nTAKE\r\nPING\r\n", 1, func(h *stepHandler, c *Conn) bool { return h.a.behind() == 1 },
			func(h *stepHandler) { h.a.all() }},
		{"parked with more to come", "TAKE\r\n" + strings.Repeat("SAVE ab x\r\n", 20_000), 1,
			func(h *stepHandler, c *Conn) bool { return h.a.behind() > 1 }, func(h *stepHandler) { h.a.all(); h.b.all() }},
		{"waiting for a journal in a flush", "TAKE\r\nSUBSCRIBE\r\n", 1, func(h *stepHandler, c *Conn) bool { return h.a.behind() == 1 },
			func(h *stepHandler) { h.a.all() }},
		{"blocked", "BLOCK\r\nPING\r\n", 0, func(h *stepHandler, c *Conn) bool { return c.Blocked() }, nil},
		{"blocked behind much input", "BLOCK\r\n" + strings.Repeat("PING\r\n", 30_000), 0,
			func(h *stepHandler, c *Conn) bool { return c.Blocked() && c.QueryBuffer() > 100_000 }, nil},
		{"running elsewhere", "ELSEWHERETAKE\r\nPING\r\n", 1, func(h *stepHandler, c *Conn) bool { return h.running.Load() == 1 },
			func(h *stepHandler) {
				select {
				case h.wake <- struct{}{}:
				default:
				}
			}},
		{"replies not read", strings.Repeat("BIG\r\n", 100), 0, func(h *stepHandler, c *Conn) bool { return c.writingSince.Load() != 0 }, nil},
		{"pushes and replies not read", "SUBSCRIBE\r\n", 0, func(h *stepHandler, c *Conn) bool {
			return c.Outbox() > 8<<20 && c.writingSince.Load() != 0 || !c.Push(filler)
		}, nil},
		{"its replay not read", "SUBSCRIBE\r\nPULL\r\n", 0, func(h *stepHandler, c *Conn) bool {
			c.PullPushes(func(buf []byte) ([]byte, bool) { return append(buf, filler.bytes...), false })
			return c.writingSince.Load() != 0
		}, nil},
	} {
		t.Run(moment.name, func(t *testing.T) {
			h := newStepHandler()
			s := startServer(t, Options{}, h)
			c := dial(t, s)
			_ = c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
			other := dial(t, s)
			other.ping()
			conn := func() (found *Conn) {
				s.Each(func(c *Conn) bool { found = c; return false }) // the oldest
				return found
			}()
			c.send(moment.send)
			eventually(t, "the moment", func() bool { return moment.reached(h, conn) })
			conn.Kill()
			conn.Kill()
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, c.Conn)
				ended <- err
			}()
			if err := <-ended; isTimeout(err) {
				t.Error("the connection is open")
			}
			eventually(t, "its end", func() bool {
				if moment.afterwards != nil {
					moment.afterwards(h) // again and again: what it was running may append after the kill
				}
				return h.closed.Load() == 1 && s.Counters().Connected == 1
			})
			if n := h.undelivered.Load(); n != moment.undelivered {
				t.Errorf("%d were told to be undelivered, want %d", n, moment.undelivered)
			}
			if conn.Push(filler) {
				t.Error("it takes pushes")
			}
			eventually(t, "nothing is held", func() bool { return s.Counters().Memory == 0 })
			other.ping()
		})
	}
}
