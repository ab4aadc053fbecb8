package resp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPipelineAndHalfClose(t *testing.T) {
	s := startServer(t, Options{}, newTestHandler())
	c := dial(t, s)
	c.send(strings.Repeat("PING\r\n", 5000))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil || string(all) != strings.Repeat("+PONG\r\n", 5000) {
		t.Fatalf("%d bytes, %v", len(all), err)
	}
}

func TestQuitDropsTheRest(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	c.send("PING\r\nQUIT\r\nPING\r\n")
	c.expect("+PONG", "+OK")
	c.expectClosed()
	eventually(t, "Closed", func() bool { return h.closed.Load() == 1 })
}

func TestPanicClosesOneConnection(t *testing.T) {
	s := startServer(t, Options{}, newTestHandler())
	other, c := dial(t, s), dial(t, s)
	c.send("PING\r\nPANIC\r\nPING\r\n")
	c.expect("+PONG", "-ERR internal error")
	c.expectClosed()
	other.send("PING\r\n")
	other.expect("+PONG")
	if n := s.Counters().Panics; n != 1 {
		t.Error(n)
	}
}

func TestAwaitedRepliesAreReplaced(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	c.send("AWAIT 1\r\nPING\r\nAWAIT 2\r\n")
	c.expect("+SAVED1", "+PONG", "+SAVED2")
	h.journal.failFrom.Store(2)
	c.send("PING\r\nAWAIT 1\r\nAWAIT 2\r\nPING\r\nAWAIT 3\r\nPING\r\n")
	c.expect("+PONG", "+SAVED1", "-IOERR the journal  failed", "+PONG", "-IOERR the journal  failed", "+PONG")
	h.journal.failFrom.Store(0)
	before := h.journal.waits.Load()
	c.send(strings.Repeat("AWAIT 1\r\n", 100) + "PING\r\n")
	for range 100 {
		c.expect("+SAVED1")
	}
	c.expect("+PONG")
	if n := h.journal.waits.Load() - before; n > 20 {
		t.Errorf("%d waits for one batch", n)
	}
}

func TestBlockWakes(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	blocked := func() bool { return s.Counters().Blocked == 1 }
	next := func() Wake { return <-h.wakes }

	c.send("BLOCKSHORT\r\nPING\r\n")
	c.expect(":1", "+PONG")
	c.send("PING\r\nBLOCK\r\nECHO after\r\n")
	c.expect("+PONG")
	eventually(t, "blocked", blocked)
	h.wake <- struct{}{}
	c.expect(":0", "$5", "after")
	conn := h.only(t)
	if conn.Unblock(false) {
		t.Error("unblocked what did not block")
	}
	for _, withError := range []bool{false, true} {
		c.send("BLOCK\r\n")
		eventually(t, "blocked", blocked)
		c.send("PING\r\n") // kept for afterwards
		eventually(t, "unblocked", func() bool { return conn.Unblock(withError) })
		if withError {
			c.expect(":4", "+PONG")
		} else {
			c.expect(":3", "+PONG")
		}
	}
	for range 4 {
		next()
	}
	c.send("BLOCK\r\nPING\r\n")
	eventually(t, "blocked", blocked)
	c.Conn.(*net.TCPConn).CloseWrite()
	if got := next(); got != Gone {
		t.Error("FIN:", got)
	}
	eventually(t, "closed", func() bool { return h.closed.Load() == 1 })

	c = dial(t, s)
	c.send("BLOCK\r\n")
	eventually(t, "blocked", blocked)
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	c.Conn.Close()
	if got := next(); got != Gone {
		t.Error("RST:", got)
	}
	eventually(t, "closed", func() bool { return h.closed.Load() == 2 })

	c = dial(t, s)
	c.send("BLOCK\r\n")
	eventually(t, "blocked", blocked)
	h.only(t).Kill()
	if got := next(); got != Gone {
		t.Error("Kill:", got)
	}
	c.expectClosed()
}

func TestBlockKeepsABoundedPipeline(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	c.send("BLOCK\r\n")
	eventually(t, "blocked", func() bool { return s.Counters().Blocked == 1 })
	const count = 60_000
	go func() { _, _ = c.Conn.Write([]byte(strings.Repeat("PING\r\n", count))) }()
	eventually(t, "bytes", func() bool { return h.only(t).Unblock(false) })
	c.expect(":3")
	for range count {
		c.expect("+PONG")
	}
}

func TestShutdownDrains(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	idle, blocked, subscribed := dial(t, s), dial(t, s), dial(t, s)
	idle.send("PING\r\n")
	idle.expect("+PONG")
	subscribed.send("SUBSCRIBE\r\n")
	subscribed.expect("+SUBSCRIBED", "+FIRST")
	blocked.send("BLOCK\r\n")
	eventually(t, "blocked", func() bool { return s.Counters().Blocked == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	blocked.expect(":5")
	for _, c := range []client{idle, blocked, subscribed} {
		c.expectClosed()
	}
	if n := h.closed.Load(); n != 3 {
		t.Errorf("%d closed", n)
	}
}

func TestUndelivered(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	c.send("DELIVER\r\nPING\r\n")
	c.expect("+JOB", "+PONG")
	c.send("DELIVERLATE\r\n")
	<-h.wakes // the command is running
	h.only(t).Kill()
	h.wake <- struct{}{}
	eventually(t, "undelivered", func() bool { return h.undelivered.Load() == 1 })
	c = dial(t, s)
	c.send("SUBSCRIBE\r\nDELIVER\r\n")
	c.expect("+SUBSCRIBED", "+FIRST", "+JOB")
	c.send("DELIVERLATE\r\n")
	<-h.wakes
	h.only(t).Kill()
	h.wake <- struct{}{}
	eventually(t, "undelivered through the outbox", func() bool { return h.undelivered.Load() == 2 })
}

func TestPanicWhenUndelivered(t *testing.T) {
	for _, first := range []string{"", "SUBSCRIBE\r\n"} { // written directly, and through the outbox
		h := newTestHandler()
		s := startServer(t, Options{}, h)
		c := dial(t, s)
		c.send(first + "DELIVERPANIC\r\n")
		<-h.wakes
		h.only(t).Kill()
		h.wake <- struct{}{}
		eventually(t, "the callback behind the one that panics runs", func() bool { return h.undelivered.Load() == 1 })
		eventually(t, "the connection has ended", func() bool { return s.Counters().Connected == 0 && h.closed.Load() == 1 })
		if n := s.Counters().Panics; n != 1 {
			t.Errorf("%q: %d panics are counted", first, n)
		}
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	before := runtime.NumGoroutine()
	for i := range 1000 {
		nc, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, []string{"PING\r\n", "BLOCK\r\n", "SUBSCRIBE\r\n", "*1\r\n$4\r\nPI", "*x\r\n"}[i%5])
		if i%2 == 0 && i%5 != 1 && i%5 != 3 { // these two answer nothing
			_, _ = nc.Read(make([]byte, 1))
		}
		nc.Close()
	}
	eventually(t, "the goroutines end", func() bool { return s.Counters().Connected == 0 && runtime.NumGoroutine() <= before+2 })
}

// TestManyBlocked uses one socket pair per connection, so the number is held to what file descriptors allow.
func TestManyBlocked(t *testing.T) {
	count := 9_000
	if testing.Short() || raceEnabled {
		count = 1_000
	}
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	conns := make([]net.Conn, count)
	for i := range conns {
		nc, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Skipf("%d connections: %v", i, err)
		}
		defer nc.Close()
		conns[i] = nc
		_, _ = io.WriteString(nc, "BLOCK\r\n")
	}
	eventually(t, "all blocked", func() bool { return s.Counters().Blocked == int64(count) })
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d blocked connections: %d bytes of heap and stacks each", count, (memory.HeapInuse+memory.StackInuse)/uint64(count))
	close(h.wake)
	for _, nc := range conns {
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMaxClients(t *testing.T) {
	s := startServer(t, Options{MaxClients: 1}, newTestHandler())
	first, second := dial(t, s), dial(t, s)
	second.expect("-ERR max number of clients reached")
	second.expectClosed()
	first.send("PING\r\n")
	first.expect("+PONG")
	s.SetMaxClients(2)
	third := dial(t, s)
	third.send("PING\r\n")
	third.expect("+PONG")
	if n := s.Counters(); n.Refused != 1 || n.Accepted != 2 {
		t.Errorf("%+v", n)
	}
}

// TestTimeLimits: a command that never ends, an idle client and one that does not read its replies are cut; a client that
// is subscribed or blocked is not idle.
func TestTimeLimits(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{CommandTimeout: 100 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, IdleTimeout: 400 * time.Millisecond}, h)
	loris := dial(t, s)
	began := time.Now()
	late := dial(t, s) // comes in two parts and then blocks for longer than a command may take to come
	late.send("*1\r\n$5\r\nBL")
	time.Sleep(30 * time.Millisecond) // so that the first part is read on its own; the test holds if it is not
	late.send("OCK\r\n")
	loris.send("*1\r\n$4\r\nPI")
	loris.expectClosed()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the incomplete command was cut after %v", took)
	}
	subscribed, blocked, idle := dial(t, s), dial(t, s), dial(t, s)
	subscribed.send("SUBSCRIBE\r\n")
	subscribed.expect("+SUBSCRIBED", "+FIRST")
	blocked.send("BLOCK\r\n")
	greedy := dial(t, s)
	greedy.send(strings.Repeat("BIG\r\n", 200))
	greedySubscriber := dial(t, s)
	greedySubscriber.send("SUBSCRIBE\r\n" + strings.Repeat("BIG\r\n", 200))
	idle.send("PING\r\n")
	idle.expect("+PONG")
	idle.expectClosed()
	eventually(t, "four cuts", func() bool { return s.Counters().CutForTime == 4 })
	h.wake <- struct{}{}
	h.wake <- struct{}{}
	blocked.expect(":0")
	late.expect(":0")
	subscribed.send("PING\r\n")
	subscribed.expect("+PONG")
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	s := startServer(t, Options{UnixSocket: path}, newTestHandler())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, _ = io.WriteString(nc, "PING\r\n")
	answer := make([]byte, 7)
	if _, err := io.ReadFull(nc, answer); err != nil || string(answer) != "+PONG\r\n" {
		t.Fatal(string(answer), err)
	}
	if _, err := Listen(Options{UnixSocket: path}, newTestHandler()); err == nil {
		t.Error("took the socket of a live server")
	}
	_ = s
}

// TestHostile sends what has stopped other servers; a good client is served all the while and memory stays bounded.
func TestHostile(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	good := dial(t, s)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	attacks := []string{
		"*1\r\n$9223372036854775807\r\nxx", "*1\r\n$-2\r\n", "*9223372036854775807\r\n", "*3000000000\r\n",
		"*65536\r\n$33554432\r\n", strings.Repeat("\r\n", 1<<20), strings.Repeat("a", 1<<20), "*1" + strings.Repeat("1", 1<<20),
		"POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n", strings.Repeat("BIG\r\n", 300), "*65536\r\n" + strings.Repeat("$0\r\n\r\n", 65536),
	}
	var open []net.Conn
	var sending sync.WaitGroup
	for _, attack := range attacks {
		for range 4 {
			nc, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, nc)
			sending.Go(func() {
				_ = nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
				_, _ = io.Copy(nc, bytes.NewReader([]byte(attack))) // many are closed in the middle
			})
		}
	}
	for range 200 {
		began := time.Now()
		good.send("PING\r\n")
		good.expect("+PONG")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("PING took %v", took)
		}
	}
	sending.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 100<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	for _, nc := range open {
		nc.Close()
	}
	eventually(t, "the attackers are gone", func() bool { return s.Counters().Connected == 1 })
	if n := s.Counters(); n.ProtocolErrors < 7*4 || n.Panics != 0 {
		t.Errorf("%+v", n)
	}
}

func TestProtocolErrorAfterGoodCommands(t *testing.T) {
	s := startServer(t, Options{}, newTestHandler())
	c := dial(t, s)
	c.send("PING\r\n*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n:1\r\nPING\r\n")
	c.expect("+PONG", "+PONG", "-ERR Protocol error: expected '$', got ':'")
	c.expectClosed()
	c = dial(t, s)
	c.send("PING\r\nPOST / HTTP/1.1\r\n\r\nPING\r\n")
	c.expect("+PONG")
	c.expectClosed()
	c = dial(t, s)
	c.send("STRANGER\r\n*11\r\n")
	c.expect("+OK", "-ERR Protocol error: unauthenticated multibulk length")
	c.expectClosed()
}

func TestStats(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	c.send("PING\r\n*1\r\n$4\r\nPI")
	c.expect("+PONG")
	conn := h.only(t)
	eventually(t, "a query buffer of 10", func() bool { return conn.Stats().QueryBuffer == 10 })
	stats := conn.Stats()
	if stats.BytesIn == 0 || stats.BytesOut != 7 || stats.Blocked || stats.Outbox != 0 {
		t.Errorf("%+v", stats)
	}
	if fmt.Sprint(conn.RemoteAddr()) != c.LocalAddr().String() {
		t.Error(conn.RemoteAddr())
	}
}
