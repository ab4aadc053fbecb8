package resp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testHandler serves a few words, enough to drive every part of the door.
type testHandler struct {
	mu          sync.Mutex
	conns       map[uint64]*Conn
	wake        chan struct{}
	wakes       chan Wake
	closed      atomic.Int64
	undelivered atomic.Int64
	journal     fakeJournal
	heavy, most atomic.Int64 // HEAVY commands under way, and the most that ever were
}

// fakeJournal fails every wait from failFrom on.
type fakeJournal struct {
	failFrom atomic.Uint64
	waits    atomic.Int64
}

func (j *fakeJournal) WaitSynced(seq uint64) error {
	j.waits.Add(1)
	if from := j.failFrom.Load(); from != 0 && seq >= from {
		return errors.New("IOERR the journal\r\nfailed")
	}
	return nil
}
func (j *fakeJournal) WaitWritten(seq uint64) error { return j.WaitSynced(seq) }

func (j *fakeJournal) Reached(seq uint64, _ bool, _ time.Duration) (bool, error) {
	return true, j.WaitSynced(seq)
}
func (j *fakeJournal) Watch(func()) {}

func newTestHandler() *testHandler {
	return &testHandler{conns: map[uint64]*Conn{}, wake: make(chan struct{}), wakes: make(chan Wake, 20_000)}
}

func (h *testHandler) Open(c *Conn) {
	c.SetAuthenticated(true)
	h.mu.Lock()
	h.conns[c.ID()] = c
	h.mu.Unlock()
}

func (h *testHandler) Flush(*Conn) {}

func (h *testHandler) Refused(c *Conn, refusal *RefusedError) { c.Writer().Error(refusal.Text) }

func (h *testHandler) Closed(c *Conn) {
	h.mu.Lock()
	delete(h.conns, c.ID())
	h.mu.Unlock()
	h.closed.Add(1)
}

func (h *testHandler) Command(c *Conn, args [][]byte) {
	w := c.Writer()
	switch strings.ToUpper(string(args[0])) {
	case "PING":
		w.SimpleString("PONG")
	case "ECHO":
		w.Bulk(args[1])
	case "COUNT":
		w.Int(int64(len(args)))
	case "BIG":
		w.Bulk(bytes.Repeat([]byte("v"), 1<<20))
	case "VALUE":
		w.BulkString(string(args[1]) + strings.Repeat("v", 500-len(args[1])))
	case "HOLD", "LETGO":
		holds := len(args[0]) == 4
		c.KeepWhile(func() bool { return holds })
		w.OK()
	case "AWAIT": // AWAIT seq digit
		c.Await(&h.journal, uint64(args[1][0]-'0'), true)
		w.SimpleString("SAVED" + string(args[1]))
	case "QUIT":
		w.OK()
		c.CloseAfterReply()
	case "PANIC":
		w.BulkString("half a reply")
		panic("asked for")
	case "STRANGER":
		c.SetAuthenticated(false)
		w.OK()
	case "HEAVY": // runs until wake
		c.Admit()
		h.mu.Lock()
		h.most.Store(max(h.most.Load(), h.heavy.Add(1)))
		h.mu.Unlock()
		<-h.wake
		h.heavy.Add(-1)
		w.OK()
	case "HEAVYPANIC":
		c.Admit()
		panic("asked for")
	case "BLOCK", "BLOCKSHORT", "BLOCKHEAVY":
		if strings.ToUpper(string(args[0])) == "BLOCKHEAVY" {
			c.Admit()
		}
		timeout := time.Duration(0)
		if strings.HasSuffix(strings.ToUpper(string(args[0])), "SHORT") {
			timeout = 20 * time.Millisecond
		}
		woken := c.Block(timeout, h.wake)
		h.wakes <- woken
		if woken == Gone {
			return
		}
		w.Int(int64(woken))
	case "DELIVER":
		c.OnUndelivered(func() { h.undelivered.Add(1) })
		w.SimpleString("JOB")
	case "DELIVERPANIC": // as DELIVERLATE, with a callback that panics before the one that counts
		c.OnUndelivered(func() { panic("asked for") })
		fallthrough
	case "DELIVERLATE": // the client has time to leave
		c.OnUndelivered(func() { h.undelivered.Add(1) })
		h.wakes <- Woken
		<-h.wake
		w.SimpleString("JOB")
	case "SUBSCRIBE":
		c.KeepWhile(func() bool { return true })
		w.SimpleString("SUBSCRIBED")
		c.FlushReplies()
		c.Push(NewMessage([]byte("+FIRST\r\n")))
	case "REPLAY":
		n := 0
		c.PullPushes(func(buf []byte) ([]byte, bool) {
			for i := 0; i < 100; i++ {
				n++
				buf = append(buf, "+OLD\r\n"...)
			}
			return buf, n == 1000
		})
		c.Push(NewMessage([]byte("+NEW\r\n")))
	default:
		w.Error("ERR unknown command")
	}
}

func (h *testHandler) only(t testing.TB) *Conn {
	t.Helper()
	var found *Conn
	eventually(t, "one connection", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range h.conns {
			found = c
		}
		return len(h.conns) == 1
	})
	return found
}

func startServer(t testing.TB, options Options, h Handler) *Server {
	t.Helper()
	if options.Addr == "" && options.UnixSocket == "" {
		options.Addr = "127.0.0.1:0"
	}
	options.Loops = loopsInTests
	s, err := Listen(options, h)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is a socket with a reader and a deadline for all that a test does with it.
type client struct {
	net.Conn
	*bufio.Reader
	t testing.TB
}

func (c client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func dial(t testing.TB, s *Server) client {
	t.Helper()
	nc, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return client{nc, bufio.NewReader(nc), t}
}

func (c client) send(text string) {
	c.t.Helper()
	if _, err := c.Conn.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) expect(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		got, err := c.ReadString('\n')
		if err != nil || got != want+"\r\n" {
			c.t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
}

func (c client) expectClosed() {
	c.t.Helper()
	if got, err := c.ReadString('\n'); err == nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		c.t.Fatalf("the connection is open: %q, %v", got, err)
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came: " + what)
		}
	}
}
