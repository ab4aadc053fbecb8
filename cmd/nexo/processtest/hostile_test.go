package processtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
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

// processorTime is what the process has used of all processors.
func (s *server) processorTime(t testing.TB) time.Duration {
	clock := uintptr(^s.cmd.Process.Pid<<3 | 2) // clock_getcpuclockid(3)
	var used syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&used)), 0); errno != 0 {
		t.Error("clock of the process:", errno)
	}
	return time.Duration(used.Nano())
}

// pinger sends PING from good clients and keeps what the server worked before it answered each. That is what keeps a good client
// waiting on a machine of its own; how long it takes here is up to who else has the processors.
type pinger struct {
	clients sync.WaitGroup
	ending  atomic.Bool

	mu   sync.Mutex
	work []time.Duration
	err  error
}

func startPinger(t *testing.T, s *server) *pinger {
	t.Helper()
	p := &pinger{}
	for range 4 {
		c, err := dial(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		p.clients.Go(func() {
			defer c.Close()
			for tick := time.Tick(time.Millisecond); !p.ending.Load(); <-tick {
				began := s.processorTime(t)
				reply, err := c.do("PING")
				work := s.processorTime(t) - began
				p.mu.Lock()
				p.work = append(p.work, work)
				if reply != "PONG" {
					p.err = fmt.Errorf("a good client's PING: %v %w, behind %v of work", reply, err, work)
				}
				p.mu.Unlock()
				if reply != "PONG" {
					return
				}
			}
		})
	}
	return p
}

// enough tells whether a percentile means something by now, or an error has come.
func (p *pinger) enough() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil || len(p.work) >= 200
}

// stop returns the 99th percentile.
func (p *pinger) stop(t *testing.T) time.Duration {
	t.Helper()
	p.ending.Store(true)
	p.clients.Wait()
	if p.err != nil {
		t.Fatal(p.err)
	}
	slices.Sort(p.work)
	return p.work[len(p.work)*99/100]
}

// TestHostileBytes runs the attacks one after the other: the server lives, a good client's PING comes before 50 ms of work of each
// processor at the 99th percentile, and memory stays bounded.
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
				"*1\r\n$2147483647\r\n", "*-9223372036854775808\r\n", "*1\r\n$99999999999999999999999\r\n",
				"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n",
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
			for _, request := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET smuggled 1\r\n",
				"GET / HTTP/1.1\r\nHost: x\r\n\r\nSET smuggled 1\r\n"} {
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
				began := s.processorTime(t)
				_, _ = c.do(command...)
				if took := s.processorTime(t) - began; took > 2*time.Second {
					t.Errorf("%v took %v of work", command[0], took)
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
			pings := startPinger(t, s)
			attack.run(t, s)
			for !pings.enough() && !t.Failed() {
				attack.run(t, s)
			}
			p99 := pings.stop(t)
			resident := s.residentBytes(t) >> 20
			t.Logf("PING p99 behind %v of work, resident %d MiB", p99, resident)
			if p99 > time.Duration(runtime.NumCPU())*50*time.Millisecond {
				t.Errorf("PING p99 came behind %v of work", p99)
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
	before := 0
	settled := func(limit int) {
		t.Helper()
		until(t, s, fmt.Sprint("no more than ", limit, " file handles are open"), func() bool { before = handles(); return before <= limit })
	}
	settled(24)
	round()
	settled(before)
	until(t, s, "no client is blocked any more", func() bool { // a handle may be closed before what it was for is cleared
		info, ok := mustDo(t, s, "INFO", "clients").(string)
		return ok && strings.Contains(info, "blocked_clients:0")
	})
}
