package resp

import (
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

func command(words ...string) string {
	var text strings.Builder
	text.WriteString("*" + strconv.Itoa(len(words)) + "\r\n")
	for _, word := range words {
		text.WriteString("$" + strconv.Itoa(len(word)) + "\r\n" + word + "\r\n")
	}
	return text.String()
}

// TestCommandsOverALimitAreReadPast: each is answered in its place, and those around it run.
func TestCommandsOverALimitAreReadPast(t *testing.T) {
	s := startServer(t, Options{BulkMax: 1000, ArgumentsMax: 20, QueryBufferMax: 10_000}, newTestHandler())
	words := func(n, size int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = strings.Repeat("x", size)
		}
		return all
	}
	sent := command("PING") +
		command("ECHO", strings.Repeat("x", 1001)) +
		command("ECHO", strings.Repeat("x", 300_000), "after it") +
		command("COUNT", "a") +
		command(words(21, 3)...) +
		command(words(5000, 100)...) +
		command(words(20, 1000)...) +
		command(strings.Repeat("x", 1001)) +
		command("ECHO", "last")
	want := []string{
		"+PONG",
		"-ERR an argument of 1001 bytes is over proto-max-bulk-len, which is 1000",
		"-ERR an argument of 300000 bytes is over proto-max-bulk-len, which is 1000",
		":2",
		"-ERR a command of 21 arguments is over the limit of 20",
		"-ERR a command of 5000 arguments is over the limit of 20",
		"-ERR the command is over client-query-buffer-limit, which is 10000 bytes",
		"-ERR an argument of 1001 bytes is over proto-max-bulk-len, which is 1000",
		"$4", "last",
	}
	for round := range 20 {
		c := dial(t, s)
		for rest := sent; len(rest) > 0; {
			n := len(rest)
			if round > 0 {
				n = min(n, 1+rand.IntN(20_000))
			}
			c.send(rest[:n])
			rest = rest[n:]
		}
		c.expect(want...)
		c.Conn.Close()
	}
	c := dial(t, s)
	c.send("*2\r\n$4\r\nECHO\r\n$1001\r\n" + strings.Repeat("x", 1001) + "yy")
	c.expect("-ERR Protocol error: expected CRLF after bulk")
	c.expectClosed()
}

// TestRedisLimits: what Redis takes is taken, by default.
func TestRedisLimits(t *testing.T) {
	s := startServer(t, Options{}, newTestHandler())
	c := dial(t, s)
	c.send("*1048576\r\n$5\r\nCOUNT\r\n" + strings.Repeat("$1\r\nx\r\n", 1<<20-1))
	c.expect(":1048576")
	c.send("*1048577\r\n$5\r\nCOUNT\r\n" + strings.Repeat("$1\r\nx\r\n", 1<<20))
	c.expect("-ERR a command of 1048577 arguments is over the limit of 1048576")
	large := strings.Repeat("v", 40<<20)
	go func() { _, _ = io.WriteString(c.Conn, command("ECHO", large)) }()
	c.expect("$"+strconv.Itoa(len(large)), large)
	eventually(t, "nothing but a read under way is held", func() bool { return s.Counters().Memory <= aheadChunkMax })
}

// TestMemoryOfAllClients: those who hold most go first, and one that has not sent the whole of its command is answered instead.
func TestMemoryOfAllClients(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{MemoryMax: 16 << 20}, h)
	quiet := dial(t, s)
	quiet.send("PING\r\n")
	quiet.expect("+PONG")
	small, large := dial(t, s), dial(t, s)
	small.send("*2\r\n$4\r\nECHO\r\n$600000\r\n" + strings.Repeat("x", 400_000))
	eventually(t, "the small one is held", func() bool { return s.Counters().Memory > 400_000 })
	go func() {
		_, _ = io.WriteString(large.Conn, command("ECHO", strings.Repeat("x", 64<<20))+command("PING"))
	}()
	large.expect("-"+errMemory.Error(), "+PONG")
	small.send(strings.Repeat("x", 200_000) + "\r\n")
	small.expect("$600000", strings.Repeat("x", 600_000))
	if n := s.Counters(); n.CutForMemory != 0 || n.Connected != 3 {
		t.Errorf("%+v", n)
	}

	// Input ahead is not read further than the budget, and its owner goes once it does not move.
	go func() { _, _ = io.WriteString(large.Conn, strings.Repeat("BIG\r\n", 16<<20)) }()
	eventually(t, "the one that never reads is cut", func() bool { n := s.Counters(); return n.CutForMemory == 1 && n.Connected == 2 })
	for _, c := range []client{quiet, small} {
		c.send("PING\r\n")
		c.expect("+PONG")
	}

	// What a handler keeps counts, too: the budget is for all.
	held := 0
	for _, c := range []client{quiet, small} {
		c.send("PING\r\n")
		c.expect("+PONG")
	}
	s.Each(func(c *Conn) bool {
		held++
		c.Hold(5<<20 + held<<20)
		return true
	})
	eventually(t, "nobody needs to go", func() bool { return s.Counters().Memory == 13<<20 })
	s.Each(func(c *Conn) bool { c.Hold(2 << 20); return true })
	eventually(t, "the larger one goes", func() bool { n := s.Counters(); return n.CutForMemory == 2 && n.Connected == 1 && n.Memory == 8<<20 })
}

// TestPushesCountForAll: the outboxes of all clients together are bounded, and one message in many of them counts once.
func TestPushesCountForAll(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{MemoryMax: 24 << 20}, h)
	var clients []net.Conn
	for range 10 {
		clients = append(clients, dial(t, s).Conn)
	}
	eventually(t, "connected", func() bool { return s.Counters().Connected == 10 })
	var conns []*Conn
	s.Each(func(c *Conn) bool { conns = append(conns, c); return true })
	for range 12 {
		shared := NewMessage([]byte(strings.Repeat("m", 1<<20)))
		for _, c := range conns {
			c.Push(shared)
		}
	}
	if n := s.Counters(); n.CutForMemory != 0 || n.Connected != 10 {
		t.Fatalf("%+v", n)
	}
	for i := range 40 {
		conns[i%4].Push(NewMessage([]byte(strings.Repeat("m", 1<<20))))
	}
	eventually(t, "those who hold most go", func() bool { n := s.Counters(); return n.CutForMemory > 0 && n.Memory <= 24<<20 })
	for _, nc := range clients {
		nc.Close()
	}
	eventually(t, "nothing is held", func() bool { n := s.Counters(); return n.Connected == 0 && n.Memory == 0 })
}

// TestStrangersHoldLittle: a client that is not authenticated is not read far ahead.
func TestStrangersHoldLittle(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{WriteTimeout: 300 * time.Millisecond}, h)
	c := dial(t, s)
	c.send("STRANGER\r\n")
	c.expect("+OK")
	conn := h.only(t)
	go func() { _, _ = io.WriteString(c.Conn, strings.Repeat("BIG\r\n", 8<<20)) }()
	eventually(t, "it is held up", func() bool { return conn.QueryBuffer() > 0 })
	most := 0
	eventually(t, "it is cut", func() bool {
		most = max(most, conn.QueryBuffer())
		return s.Counters().CutForTime == 1
	})
	if most > 2*readBufferMax {
		t.Errorf("%d bytes were held", most)
	}
}
