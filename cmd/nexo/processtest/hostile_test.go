package processtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// residentBytes is the resident set of the process.
func (s *server) residentBytes(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// pinger measures PING from a good client until stopped and returns the 99th percentile.
func pinger(t *testing.T, s *server) (stop func() time.Duration) {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	ending := make(chan struct{})
	result := make(chan time.Duration, 1)
	go func() {
		defer c.Close()
		var times []time.Duration
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			began := time.Now()
			if reply, err := c.do("PING"); reply != "PONG" {
				t.Errorf("a good client's PING: %v %v", reply, err)
				result <- time.Hour
				return
			}
			times = append(times, time.Since(began))
			select {
			case <-ending:
				slices.Sort(times)
				result <- times[len(times)*99/100]
				return
			case <-tick.C:
			}
		}
	}()
	return func() time.Duration { close(ending); return <-result }
}

// TestHostileBytes runs the attacks one after the other: the server lives, a good client's PING stays below 50 ms at the
// 99th percentile, and memory stays bounded.
func TestHostileBytes(t *testing.T) {
	s := start(t, t.TempDir(), "--log-level", "error")
	s.await(t)
	mustDo(t, s, "SET", "big", strings.Repeat("v", 1<<20))
	attacks := []struct {
		name string
		run  func(t *testing.T, s *server)
	}{
		{"announced sizes", func(t *testing.T, s *server) {
			for _, bytes := range []string{
				"*1\r\n$9223372036854775807\r\nxx", "*1\r\n$-2\r\n", "*9223372036854775807\r\n", "*1000000000\r\n$1\r\nx\r\n",
				"*1\r\n$2147483647\r\n", "*-9223372036854775808\r\n", "*1\r\n$99999999999999999999999\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n",
			} {
				many(t, s, 20, []byte(bytes))
			}
		}},
		{"endless lines", func(t *testing.T, s *server) {
			many(t, s, 10, bytes.Repeat([]byte("a"), 1<<20))
			many(t, s, 10, append([]byte("*1"), bytes.Repeat([]byte("1"), 1<<20)...))
			many(t, s, 10, bytes.Repeat([]byte("\r\n"), 1<<20))
		}},
		{"many arguments", func(t *testing.T, s *server) {
			many(t, s, 4, append([]byte("*1048576\r\n"), bytes.Repeat([]byte("$0\r\n\r\n"), 1<<20)...))
		}},
		{"HTTP", func(t *testing.T, s *server) {
			for _, request := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET smuggled 1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nSET smuggled 1\r\n"} {
				many(t, s, 5, []byte(request))
			}
			if value := mustDo(t, s, "EXISTS", "smuggled"); value != int64(0) {
				t.Error("a command smuggled through HTTP ran")
			}
		}},
		{"tiny reads", func(t *testing.T, s *server) {
			var attackers sync.WaitGroup
			for n := 0; n < 4; n++ { // more would measure how the attackers starve the pinger of the same two cores
				attackers.Go(func() {
					conn, err := net.Dial("tcp", s.addr)
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					command := appendCommand(nil, "SET", "tiny", strings.Repeat("t", 20_000))
					for i := range command {
						if _, err := conn.Write(command[i : i+1]); err != nil {
							t.Errorf("byte %d: %v", i, err)
							return
						}
					}
				})
			}
			attackers.Wait()
		}},
		{"200 big GETs without reading", func(t *testing.T, s *server) {
			request := bytes.Repeat(appendCommand(nil, "GET", "big"), 200)
			var conns []net.Conn
			for n := 0; n < 20; n++ {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
				_, _ = conn.Write(request)
			}
			for n := 0; n < 20; n++ { // while they hang, others are served
				mustDo(t, s, "GET", "big")
			}
			for _, conn := range conns {
				conn.Close()
			}
		}},
		{"slow loris", func(t *testing.T, s *server) {
			var conns []net.Conn
			for n := 0; n < 1000; n++ {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
				_, _ = conn.Write([]byte("*3\r\n$3\r\nSET\r\n$1000\r\n"))
			}
			for i := 0; i < 3; i++ {
				for _, conn := range conns {
					_, _ = conn.Write([]byte("x"))
				}
			}
			for _, conn := range conns {
				conn.Close()
			}
		}},
		{"glob bombs", func(t *testing.T, s *server) {
			mustDo(t, s, "SET", strings.Repeat("a", 5000), "x")
			bomb := strings.Repeat("*a", 2000) + "b"
			for _, command := range [][]any{
				{"KEYS", bomb}, {"SCAN", "0", "MATCH", bomb, "COUNT", "1000"}, {"NSCAN", "0", "MATCH", bomb}, {"QLIST", "MATCH", bomb},
				{"XLIST", "MATCH", bomb}, {"PUBSUB", "CHANNELS", bomb}, {"CONFIG", "GET", bomb}, {"COMMAND", "LIST", "FILTERBY", "PATTERN", bomb},
			} {
				c, err := dial(s.addr)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, _ = c.do(command...)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%v took %v", command[0], took)
				}
				c.Close()
			}
		}},
		{"1,000 subscriptions x 1,000 clients", func(t *testing.T, s *server) {
			var conns []*client
			request := []any{"SUBSCRIBE"}
			for n := 0; n < 1000; n++ {
				request = append(request, fmt.Sprintf("channel/%d", n))
			}
			encoded := appendCommand(nil, request...)
			for range 1000 {
				c, err := dial(s.addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
				_ = c.SetDeadline(time.Now().Add(time.Minute))
			}
			for _, c := range conns { // in one burst
				if _, err := c.Write(encoded); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range conns { // all confirmations are in
				for range 1000 {
					if _, err := c.read(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n := mustDo(t, s, "PUBLISH", "channel/7", "x"); n != int64(1000) {
				t.Errorf("PUBLISH reached %v of 1000", n)
			}
			for _, c := range conns {
				c.Close()
			}
		}},
	}
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			stop := pinger(t, s)
			attack.run(t, s)
			p99 := stop()
			resident := s.residentBytes(t) >> 20
			t.Logf("PING p99 %v, resident %d MiB", p99, resident)
			if p99 > 50*time.Millisecond {
				t.Errorf("PING p99 was %v", p99)
			}
			if resident > 1500 {
				t.Errorf("the server holds %d MiB", resident)
			}
		})
	}
	if mustDo(t, s, "PING") != "PONG" {
		t.Error("the server does not answer any more")
	}
}

// many sends the same bytes on several connections at once and reads what comes until the end or a second passes.
func many(t *testing.T, s *server, n int, payload []byte) {
	var attackers sync.WaitGroup
	for ; n > 0; n-- {
		attackers.Go(func() {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Errorf("the server does not accept: %v", err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write(payload) // a cut connection is a right answer
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	attackers.Wait()
}

// TestNothingLeaks opens and closes 1,000 connections of every habit: file handles and threads come back.
func TestNothingLeaks(t *testing.T) {
	s := start(t, t.TempDir(), "--log-level", "error")
	s.await(t)
	handles := func() int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	round := func() {
		for n := 0; n < 1000; n++ {
			c, err := dial(s.addr)
			if err != nil {
				t.Fatal(err)
			}
			switch n % 4 {
			case 0:
				_, err = c.do("PING")
			case 1:
				_, err = c.do("SUBSCRIBE", fmt.Sprint("c", n), "d")
			case 2:
				_, err = c.Write(appendCommand(nil, "QPOP", "q", "BLOCK", "0"))
			case 3:
				_, err = c.Write([]byte("*2\r\n$4\r\nECHO\r\n$100\r\nhalf"))
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	}
	mustDo(t, s, "QCREATE", "q")
	round()
	settled := func(limit int) (n int) {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if n = handles(); n <= limit {
				return n
			}
		}
		return n
	}
	before := settled(24)
	round()
	after := settled(before)
	t.Logf("file handles: %d, then %d after 1,000 more connections", before, after)
	if before > 24 || after > before {
		t.Errorf("file handles stay open: %d, then %d", before, after)
	}
	if info, ok := mustDo(t, s, "INFO", "clients").(string); !ok || !strings.Contains(info, "blocked_clients:0") {
		t.Errorf("blocked clients stay: %s", info)
	}
}
