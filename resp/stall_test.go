package resp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pipeListener lets a test connect without a socket.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// TestWholePipelineBeforeTheFirstRead is what a client does that is in one blocking write of all it has to say.
func TestWholePipelineBeforeTheFirstRead(t *testing.T) {
	pipe := pipeListener{make(chan net.Conn), make(chan struct{})}
	certificate, roots := selfSigned(t)
	path := filepath.Join(t.TempDir(), "s")
	plain := startServer(t, Options{Addr: "127.0.0.1:0", UnixSocket: path, Listeners: []net.Listener{pipe}}, newTestHandler())
	secure := startServer(t, Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}, newTestHandler())
	first := func(nc net.Conn, err error) net.Conn {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
		return nc
	}
	for _, way := range []struct {
		name, before string
		count        int
		dial         func() net.Conn
	}{
		{"tcp", "", 200_000, func() net.Conn { return first(net.Dial("tcp", plain.Addr().String())) }},
		{"unix", "", 50_000, func() net.Conn { return first(net.Dial("unix", path)) }},
		{"subscribed", "SUBSCRIBE\r\n", 200_000, func() net.Conn { return first(net.Dial("tcp", plain.Addr().String())) }},
		{"tls", "", 50_000, func() net.Conn {
			return first(tls.Dial("tcp", secure.Addr().String(), &tls.Config{RootCAs: roots}))
		}},
		{"pipe", "", 20_000, func() net.Conn {
			ours, theirs := net.Pipe()
			pipe.conns <- theirs
			return first(ours, nil)
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			nc := way.dial()
			var all bytes.Buffer
			all.WriteString(way.before)
			for i := range way.count {
				fmt.Fprintf(&all, "*2\r\n$5\r\nVALUE\r\n$8\r\n%08d\r\n", i)
			}
			if _, err := nc.Write(all.Bytes()); err != nil {
				t.Fatal("the pipeline is not taken:", err)
			}
			in := client{nc, bufio.NewReaderSize(nc, 1<<20), t}
			if way.before != "" {
				in.expect("+SUBSCRIBED", "+FIRST")
			}
			for i := range way.count {
				if line, err := in.ReadSlice('\n'); err != nil || string(line) != "$500\r\n" {
					t.Fatalf("reply %d: %q, %v", i, line, err)
				}
				if line, err := in.ReadSlice('\n'); err != nil || len(line) != 502 || string(line[:8]) != fmt.Sprintf("%08d", i) {
					t.Fatalf("reply %d: %q, %v", i, line, err)
				}
			}
		})
	}
	for _, s := range []*Server{plain, secure} {
		eventually(t, "the memory comes back but for a read under way", func() bool { return s.Counters().Memory <= 4*aheadChunkMax })
	}
}

// readSlowly takes most bytes a tick. The buffers of the kernel are kept small, so that it is the client's speed that counts.
func readSlowly(t *testing.T, c client, total, most int, tick time.Duration) {
	t.Helper()
	buf := make([]byte, most)
	for total > 0 {
		n, err := io.ReadAtLeast(c.Conn, buf[:min(most, total)], 1)
		if err != nil {
			t.Fatalf("cut with %d bytes to go: %v", total, err)
		}
		total -= n
		time.Sleep(tick)
	}
}

func TestSlowReaderIsServed(t *testing.T) {
	for _, before := range []string{"", "SUBSCRIBE\r\n"} {
		s := startServer(t, Options{WriteTimeout: 250 * time.Millisecond}, newTestHandler())
		c := dial(t, s)
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
		const reply = 10 + 1<<20 + 2
		c.send(before + "BIG\r\nBIG\r\nBIG\r\nBIG\r\n")
		total := 4 * reply
		if before != "" {
			total += len("+SUBSCRIBED\r\n+FIRST\r\n")
		}
		readSlowly(t, c, total, 64<<10, 20*time.Millisecond) // 1.3 s or more, five times the limit
		if n := s.Counters().CutForTime; n != 0 {
			t.Error(n, "cuts")
		}
	}
}

// TestNoProgressIsCut: a client that neither reads nor sends goes, and what it held with it.
func TestNoProgressIsCut(t *testing.T) {
	for _, before := range []string{"", "SUBSCRIBE\r\n"} {
		h := newTestHandler()
		s := startServer(t, Options{WriteTimeout: 300 * time.Millisecond, QueryBufferMax: 4 << 20}, h)
		c := dial(t, s)
		c.send(before)
		written := make(chan int, 1)
		go func() {
			n, _ := c.Conn.Write([]byte(strings.Repeat("BIG\r\n", 8<<20))) // 40 MB, of which 4 are taken
			written <- n
		}()
		conn := h.only(t)
		eventually(t, "it is read ahead to the limit", func() bool { return conn.QueryBuffer() > 3<<20 })
		if n := s.Counters().Memory; n > 6<<20 { // the input, and a reply
			t.Errorf("%d bytes are held", n)
		}
		eventually(t, "it is cut", func() bool { n := s.Counters(); return n.CutForTime == 1 && n.Connected == 0 })
		if n := s.Counters().Memory; n != 0 {
			t.Errorf("%d bytes are held for nobody", n)
		}
		if n := <-written; n > 24<<20 {
			t.Errorf("%d bytes were taken", n)
		}
	}
	s := startServer(t, Options{WriteTimeout: -1}, newTestHandler())
	c := dial(t, s)
	c.send(strings.Repeat("BIG\r\n", 64))
	time.Sleep(100 * time.Millisecond)
	if n := s.Counters(); n.CutForTime != 0 || n.Connected != 1 {
		t.Errorf("without a limit: %+v", n)
	}
}

// TestDeadClientBehindItsPipeline: what was sent behind a command that blocks does not hide that the client has gone.
func TestDeadClientBehindItsPipeline(t *testing.T) {
	for _, limit := range []int{0, 64 << 10} { // read on to the end, and held at the limit
		h := newTestHandler()
		s := startServer(t, Options{QueryBufferMax: limit, CommandTimeout: 400 * time.Millisecond}, h)
		c := dial(t, s)
		c.send("BLOCK\r\n" + strings.Repeat("PING\r\n", 20_000)) // 120 KB
		eventually(t, "blocked", func() bool { return s.Counters().Blocked == 1 })
		c.Conn.Close()
		eventually(t, fmt.Sprint("gone ", limit), func() bool { return h.closed.Load() == 1 })
		if got := <-h.wakes; got != Gone {
			t.Error(got)
		}
		if n := s.Counters().Memory; n != 0 {
			t.Errorf("%d bytes are held for nobody", n)
		}
	}
}

// TestIdleHoldsNothing: a client that has nothing to say for a while is not idle while it blocks, runs, is owed or holds something.
func TestIdleHoldsNothing(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{IdleTimeout: 200 * time.Millisecond}, h)
	blocked, running, holding, owed, idle := dial(t, s), dial(t, s), dial(t, s), dial(t, s), dial(t, s)
	blocked.send("BLOCK\r\n")
	running.send("HEAVY\r\n")
	holding.send("HOLD\r\n")
	holding.expect("+OK")
	_ = owed.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	owed.send(strings.Repeat("BIG\r\n", 16))
	idle.send("PING\r\n")
	idle.expect("+PONG")
	idle.expectClosed()
	time.Sleep(time.Second)
	if n := s.Counters(); n.Connected != 4 || n.CutForTime != 1 {
		t.Fatalf("%+v", n)
	}
	close(h.wake)
	blocked.expect(":0")
	running.expect("+OK")
	holding.send("LETGO\r\n")
	holding.expect("+OK")
	holding.expectClosed()
}

// TestShutdownDoesNotWaitForAStalledReader, but for one that reads.
func TestShutdownDoesNotWaitForAStalledReader(t *testing.T) {
	for _, before := range []string{"", "SUBSCRIBE\r\n"} {
		h := newTestHandler()
		s, err := Listen(Options{Addr: "127.0.0.1:0", Loops: loopsInTests, DrainTimeout: 500 * time.Millisecond}, h)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		stalled, reading := dial(t, s), dial(t, s)
		stalled.send(before + strings.Repeat("BIG\r\n", 64))
		_ = reading.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
		reading.send(strings.Repeat("BIG\r\n", 8))
		eventually(t, "both are held up", func() bool {
			waiting := 0
			s.Each(func(c *Conn) bool {
				if c.writingSince.Load() != 0 {
					waiting++
				}
				return true
			})
			return waiting == 2
		})
		read := make(chan int64, 1)
		go func() {
			var n int64
			for buf := make([]byte, 64<<10); ; time.Sleep(10 * time.Millisecond) {
				some, err := reading.Conn.Read(buf)
				if n += int64(some); err != nil {
					read <- n
					return
				}
			}
		}()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if n := <-read; n%(10+1<<20+2) != 0 || n == 0 {
			t.Errorf("the one that reads was cut within a reply: %d bytes", n)
		}
		if n := s.Counters().CutForTime; n != 1 {
			t.Error(n, "cuts")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// TestAStalledReaderIsNotIncomplete: what a client has sent of its next command does not make its time shorter while it is the client's
// reading that holds it up.
func TestAStalledReaderIsNotIncomplete(t *testing.T) {
	for _, before := range []string{"", "SUBSCRIBE\r\n"} {
		s := startServer(t, Options{CommandTimeout: 100 * time.Millisecond, WriteTimeout: -1}, newTestHandler())
		c := dial(t, s)
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		c.send(before + strings.Repeat("BIG\r\n", 32) + "*2\r\n$4\r\nECHO\r\n$5\r\nhe")
		time.Sleep(time.Second) // ten times the limit
		if n := s.Counters(); n.CutForTime != 0 || n.Connected != 1 {
			t.Fatalf("%+v", n)
		}
		c.send("llo\r\n")
		if before != "" {
			c.expect("+SUBSCRIBED", "+FIRST")
		}
		for range 32 {
			c.expect("$1048576", strings.Repeat("v", 1<<20))
		}
		c.expect("$5", "hello")
	}
}
