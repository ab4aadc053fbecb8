package resp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHalfACommandAndGone: thousands connect, send half a command and vanish; nothing is left of them.
func TestHalfACommandAndGone(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	witness := dial(t, s)
	witness.ping()
	goroutines := runtime.NumGoroutine()
	count := sockets(t, 10_000)
	var numbers atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for n := numbers.Add(1); n <= int64(count); n = numbers.Add(1) {
				nc, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				half := "*2\r\n$4\r\nECHO\r\n$5000\r\n" + strings.Repeat("x", 4000)
				_, _ = io.WriteString(nc, half[:1+int(n*37)%len(half)])
				if n%3 == 0 {
					_ = nc.(*net.TCPConn).SetLinger(0) // a reset
				}
				nc.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "all have ended", func() bool {
		n := s.Counters()
		return n.Accepted == uint64(count)+1 && n.Connected == 1 && h.closed.Load() == int64(count)
	})
	eventually(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	if n := s.Counters(); n.Memory != 0 || n.Commands != 1 || n.ProtocolErrors != 0 {
		t.Errorf("%+v", n)
	}
	witness.ping()
}

// TestNothingIsLeftOfAServer: goroutines and descriptors go with it, those of its loops too.
func TestNothingIsLeftOfAServer(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	dial(t, startServer(t, Options{}, newTestHandler())).ping() // so that the runtime's own descriptors are there
	goroutines, files := runtime.NumGoroutine(), open()
	for range 20 {
		h := newStepHandler()
		s, err := Listen(Options{Addr: "127.0.0.1:0", UnixSocket: t.TempDir() + "/s", Loops: loopsInTests}, h)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		for i, text := range []string{"PING\r\n", "BLOCK\r\n", "SUBSCRIBE\r\n", "*1\r\n$4\r\nPI", "SAVE ab x\r\n", "ELSEWHERETAKE\r\n"} {
			c := dial(t, s)
			c.send(text)
			if i == 0 {
				c.expect("+PONG")
			}
			defer c.Conn.Close()
		}
		eventually(t, "all have run", func() bool { return s.Counters().Blocked == 1 && h.b.behind() == 1 && h.running.Load() == 1 })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); err == nil {
			t.Error("nobody was cut")
		}
		h.a.all()
		h.b.all()
		close(h.wake)
		if err := <-served; err != nil {
			t.Error(err)
		}
		eventually(t, "all have ended", func() bool { return h.closed.Load() == 6 && isClosed(s.swept) })
		h.a.all() // a journal goes on when the door is closed
	}
	eventually(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	clients := 20 * 6
	eventually(t, "the descriptors are closed", func() bool { return open() <= files+clients })
}

// TestDescriptorsAreNotMixedUp opens and closes connections as fast as it can, with Kills and pushes from other goroutines, beside
// pipes that get the same numbers: each client reads its own bytes, and no pipe has any that nobody wrote.
func TestDescriptorsAreNotMixedUp(t *testing.T) {
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	rounds := 150
	if raceEnabled || testing.Short() {
		rounds = 60
	}
	var clients, others sync.WaitGroup
	stop := make(chan struct{})
	others.Go(func() { // kills
		r := rand.New(rand.NewPCG(1, 1))
		for !isClosed(stop) {
			s.Each(func(c *Conn) bool {
				if r.IntN(8) == 0 {
					c.Kill()
				}
				return true
			})
			time.Sleep(50 * time.Microsecond)
		}
	})
	others.Go(func() { // pushes, to each its name
		for !isClosed(stop) {
			h.names.Range(func(name, c any) bool {
				if !c.(*Conn).Push(NewMessage(fmt.Appendf(nil, "+%s\r\n", name))) {
					h.names.Delete(name)
				}
				return true
			})
			runtime.Gosched()
		}
	})
	others.Go(func() { // journals
		for !isClosed(stop) {
			h.a.all()
			h.b.all()
			time.Sleep(20 * time.Microsecond)
		}
	})
	others.Go(func() { // pipes
		for !isClosed(stop) {
			var ends [16]*os.File
			for i := 0; i < len(ends); i += 2 {
				in, out, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				ends[i], ends[i+1] = in, out
			}
			runtime.Gosched()
			for i := 0; i < len(ends); i += 2 {
				if err := ends[i+1].Close(); err != nil {
					t.Error("a pipe was closed by somebody else:", err)
				}
				if text, err := io.ReadAll(ends[i]); err != nil || len(text) > 0 {
					t.Errorf("a pipe has %q, %v", text, err)
				}
				ends[i].Close()
			}
		}
	})
	for worker := range 8 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 2))
			for round := range rounds {
				nc, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				name := fmt.Sprintf("w%d.%d", worker, round)
				pipeline := "NAME " + name + "\r\n"
				for range r.IntN(20) {
					pipeline += []string{"ECHO " + name, "SAVE ab " + name, "ELSEWHERE " + name, "PAUSE " + name, "TAKE"}[r.IntN(5)] + "\r\n"
				}
				_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
				_, _ = io.WriteString(nc, pipeline+"QUIT\r\n")
				if r.IntN(4) == 0 {
					nc.Close()
					continue
				}
				all, err := io.ReadAll(nc)
				if isTimeout(err) {
					t.Error(name, "is not ended")
				}
				nc.Close()
				lines := bytes.Split(all, []byte("\r\n"))
				for _, line := range lines[:len(lines)-1] { // the last one may be cut
					switch text := string(line); text {
					case "+" + name, name, "+JOB", "+OK", fmt.Sprintf("$%d", len(name)):
					default:
						t.Errorf("%s got %q", name, text)
					}
				}
			}
		})
	}
	clients.Wait()
	eventually(t, "all have ended", func() bool { n := s.Counters(); return n.Connected == 0 && n.Memory == 0 })
	close(stop)
	others.Wait()
	if n := h.closed.Load(); n != int64(8*rounds) {
		t.Errorf("%d of %d were closed", n, 8*rounds)
	}
}
