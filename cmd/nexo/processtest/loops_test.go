package processtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestDrainAnswersEveryPush stops the server in the middle of durable pushes of many clients: each reply that a client was sent comes
// whole, then the end, nothing that was answered is missing afterwards, and of each pipeline it is the front that was answered.
func TestDrainAnswersEveryPush(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--fsync", "always", "--log-level", "error"}
	s := start(t, dir, flags...)
	s.await(t)
	mustDo(t, s, "QCREATE", "q")
	const clients, pipeline = 40, 64
	answered := make([]int, clients)
	var running sync.WaitGroup
	begun := make(chan struct{}, clients)
	for number := range clients {
		c, err := dial(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			for pushed := 0; ; pushed += pipeline {
				var send []byte
				for n := range pipeline {
					send = appendCommand(send, "QPUSH", "q", fmt.Sprintf("%d.%d", number, pushed+n))
				}
				if _, err := c.Write(send); err != nil {
					return
				}
				for range pipeline {
					if _, err := c.read(); err != nil {
						var reply replyError
						if errors.As(err, &reply) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("client %d: %v after %d replies", number, err, answered[number])
						}
						return
					}
					answered[number]++
				}
				if pushed == pipeline {
					begun <- struct{}{}
				}
			}
		})
	}
	for range clients {
		<-begun
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.done
	running.Wait()
	if s.err != nil {
		t.Fatalf("%v\n%s", s.err, s.log)
	}
	s = start(t, dir, flags...)
	s.await(t)
	found := popAll(t, s, "q")
	total := 0
	for number, n := range answered {
		total += n
		for i := range n {
			if !found[fmt.Sprintf("%d.%d", number, i)] {
				t.Fatalf("job %d of client %d was answered and is missing", i, number)
			}
		}
	}
	t.Logf("%d answered, %d found", total, len(found))
}

// TestNextConsumerAtOnce: the job of a consumer that dies while it waits goes to the one behind it, at once and not after a lease.
func TestNextConsumerAtOnce(t *testing.T) {
	s := start(t, t.TempDir())
	s.await(t)
	mustDo(t, s, "QCREATE", "q", "LEASE", "1h")
	block := appendCommand(nil, "QPOP", "q", "BLOCK", "1h")
	waiting := func(n int64) {
		t.Helper()
		until(t, s, fmt.Sprint(n, " clients are blocked"), func() bool { return figure(t, s, "blocked_clients") == n })
	}
	for _, way := range []struct {
		name string
		die  func(c *client)
	}{
		{"end", func(c *client) { c.Close() }},
		{"reset", func(c *client) { _ = c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }},
		{"half close", func(c *client) { _ = c.Conn.(*net.TCPConn).CloseWrite() }},
		{"killed", func(c *client) {
			mustDo(t, s, "CLIENT", "KILL", "ADDR", c.LocalAddr().String())
		}},
	} {
		first, err := dial(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if _, err := first.Write(block); err != nil {
			t.Fatal(err)
		}
		waiting(1)
		second, err := dial(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if _, err := second.Write(block); err != nil {
			t.Fatal(err)
		}
		waiting(2)
		way.die(first)
		waiting(1)
		mustDo(t, s, "QPUSH", "q", way.name)
		_ = second.SetReadDeadline(time.Now().Add(10 * time.Second))
		reply, err := second.read()
		if jobs, ok := reply.([]any); err != nil || !ok || len(jobs) != 1 || jobs[0].([]any)[1] != way.name {
			t.Fatalf("%s: the second consumer got %v, %v", way.name, reply, err)
		}
		waiting(0)
	}
}

// TestThousandsVanishInHalfACommand, and so do some that wait for a job or have subscribed: the process is as it was.
func TestThousandsVanishInHalfACommand(t *testing.T) {
	s := start(t, t.TempDir(), "--maxclients", "20000", "--log-level", "error")
	s.await(t)
	mustDo(t, s, "QCREATE", "q")
	files := func() int {
		t.Helper()
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := files()
	texts := [][]byte{
		[]byte("*3\r\n$5\r\nQPUSH\r\n$1\r\nq\r\n$100000\r\n" + strings.Repeat("x", 5000)),
		[]byte("*1"),
		appendCommand(appendCommand(nil, "QPUSH", "q", "whole"), "QPOP", "q", "BLOCK", "0"),
		append(appendCommand(nil, "SUBSCRIBE", "topic"), "*2\r\n$4"...),
		bytes.Repeat(appendCommand(nil, "QPUSH", "q", "whole"), 50),
	}
	const count = 10_000
	var clients sync.WaitGroup
	for worker := range 8 {
		clients.Go(func() {
			for n := worker; n < count; n += 8 {
				nc, err := net.DialTimeout("tcp", s.addr, 10*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = nc.Write(texts[n%len(texts)])
				if n%3 == 0 {
					_ = nc.(*net.TCPConn).SetLinger(0)
				}
				nc.Close()
			}
		})
	}
	clients.Wait()
	end := time.Now().Add(30 * time.Second)
	for figure(t, s, "connected_clients") != 1 || files() > before+2 {
		time.Sleep(5 * time.Millisecond)
		if time.Now().After(end) {
			t.Fatalf("%d clients are connected, %d files are open, %d were", figure(t, s, "connected_clients"), files(), before)
		}
	}
	if n := figure(t, s, "blocked_clients"); n != 0 {
		t.Errorf("%d clients are blocked", n)
	}
}
