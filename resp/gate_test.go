package resp

import (
	"sync/atomic"
	"testing"
)

func TestHeavyWorkLeavesRoomForLightWork(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	slots := cap(s.gate)
	var heavy []client
	for range slots + 3 {
		c := dial(t, s)
		c.send("ECHO a\r\nHEAVY\r\nPING\r\n")
		heavy = append(heavy, c)
	}
	eventually(t, "every slot is taken", func() bool { return h.heavy.Load() == int64(slots) })
	light := dial(t, s)
	for range 100 {
		light.send("PING\r\n")
		light.expect("+PONG")
	}
	close(h.wake)
	for _, c := range heavy {
		c.expect("$1", "a", "+OK", "+PONG")
	}
	if most := h.most.Load(); most != int64(slots) {
		t.Errorf("%d ran at a time, there are %d slots", most, slots)
	}
}

func TestSlotsComeBack(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	for range cap(s.gate) + 1 {
		c := dial(t, s)
		c.send("HEAVYPANIC\r\n")
		c.expect("-ERR internal error")
		c.expectClosed()
	}
	var blocked []client
	for range cap(s.gate) + 1 {
		c := dial(t, s)
		c.send("BLOCKHEAVY\r\n")
		blocked = append(blocked, c)
	}
	eventually(t, "all block, more than there are slots", func() bool { return s.Counters().Blocked == int64(len(blocked)) })
	if n := len(s.gate); n != 0 {
		t.Errorf("%d slots are held by those who block", n)
	}
	close(h.wake)
	for _, c := range blocked {
		c.expect(":0")
	}
	gone := dial(t, s)
	gone.send("HEAVY\r\nQUIT\r\n")
	gone.expect("+OK", "+OK")
	eventually(t, "no slot is held", func() bool { return len(s.gate) == 0 })
}

// longEnds takes as long for each that has left as the test wants.
type longEnds struct {
	*testHandler
	ending, most atomic.Int64
	let          chan struct{}
}

func (h *longEnds) Closed(c *Conn) {
	c.AdmitEnd()
	h.most.Store(max(h.most.Load(), h.ending.Add(1))) // one at a time writes it
	<-h.let
	h.ending.Add(-1)
	h.testHandler.Closed(c)
}

// TestLongEndsGoInLine: of many that vanish together one is taken back at a time, and neither light nor heavy commands wait for it.
func TestLongEndsGoInLine(t *testing.T) {
	h := &longEnds{testHandler: newTestHandler(), let: make(chan struct{})}
	s := startServer(t, Options{}, h)
	witness := dial(t, s)
	witness.ping()
	const count = 50
	for range count {
		c := dial(t, s)
		c.ping()
		c.Conn.Close()
	}
	eventually(t, "one is being taken back", func() bool { return h.ending.Load() == 1 })
	close(h.wake)
	for range 100 {
		witness.send("HEAVY\r\nPING\r\n")
		witness.expect("+OK", "+PONG")
	}
	if n := h.closed.Load(); n != 0 {
		t.Errorf("%d have been taken back", n)
	}
	close(h.let)
	eventually(t, "all are taken back", func() bool { return h.closed.Load() == count && len(s.ends) == 0 })
	if most := h.most.Load(); most != 1 {
		t.Errorf("%d were taken back at a time", most)
	}
}
