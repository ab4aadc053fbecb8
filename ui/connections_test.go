package ui

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBodiesAreLimitedByRoute(t *testing.T) {
	ts := newTestServer(t, Options{})
	filled := func(size int) string { return `{"user":"` + strings.Repeat("x", size-11) + `"}` }
	for name := range ts.ui.changes {
		limit := smallBodyMax
		switch {
		case slices.Contains([]string{"queue/push", "stream/append", "publish", "key/set", "console"}, name):
			limit = bodyMax
		case slices.Contains([]string{"jobs/act", "group/unpark", "key/delete"}, name):
			limit = listBodyMax
		}
		if status, _, body := ts.request("POST", "/api/"+name, filled(limit+1)); status != 413 || code(body) != "TOOBIG" {
			t.Errorf("%s with %d bytes: %d %s", name, limit+1, status, body)
		}
		if status, _, body := ts.request("POST", "/api/"+name, filled(limit)); status == 413 {
			t.Errorf("%s with %d bytes: %d %s", name, limit, status, body)
		}
	}
	ts.source.password = "right"
	for _, name := range []string{"login", "logout"} {
		if status, _, body := ts.request("POST", "/api/"+name, filled(loginBodyMax+1)); status != 413 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _, body := ts.request("POST", "/api/queue/push", filled(bodyMax)); status != 401 {
		t.Errorf("a large body of a stranger: %d %s", status, body)
	}
}

// A stranger's body without an end is not read on.
func TestLoginReadsLittle(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.password = "right"
	for _, path := range []string{"login", "logout", "queue/push"} {
		conn, err := net.Dial("tcp", ts.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "POST /api/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", path)
		sent := 0
		chunk := "1000\r\n" + strings.Repeat(" ", 0x1000) + "\r\n"
		for ; sent < 24<<20; sent += 0x1000 {
			if _, err := io.WriteString(conn, chunk); err != nil {
				break // the server has closed the connection
			}
		}
		if sent >= 24<<20 {
			t.Errorf("%s: %d bytes were read", path, sent)
		}
	}
}

func TestLargeBodiesTakeTurns(t *testing.T) {
	ts := newTestServer(t, Options{})
	for range largeBodiesMax {
		ts.ui.large <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	large := fmt.Sprintf(`{"name":"q","payload":%q}`, strings.Repeat("x", listBodyMax))
	r, _ := http.NewRequestWithContext(ctx, "POST", ts.http.URL+"/api/queue/push", strings.NewReader(large))
	r.Header.Set("Content-Type", "application/json")
	if response, err := ts.client.Do(r); err == nil {
		t.Errorf("a third large body: %d", response.StatusCode)
	}
	if status, _, body := ts.request("POST", "/api/queue/push", `{"name":"q","payload":"x"}`); status != 200 {
		t.Errorf("a small one beside them: %d %s", status, body)
	}
	<-ts.ui.large
	if status, _, body := ts.request("POST", "/api/queue/push", large); status != 200 {
		t.Errorf("after one has ended: %d %s", status, body)
	}
	if len(ts.ui.large) != largeBodiesMax-1 {
		t.Errorf("%d places are taken", len(ts.ui.large))
	}
}

// limited is a server with room for few connections. Its handler answers /hold when it is let.
func limited(t *testing.T, most int) (listener *limitedListener, hold chan struct{}) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, hold = &limitedListener{Listener: inner, most: most}, make(chan struct{})
	server := NewHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := peerOf(r)
		switch r.URL.Path {
		case "/known":
			p.known.Store(true)
		case "/wrong":
			p.wrongLogin.Store(true)
		case "/hold":
			p.known.Store(true)
			<-hold
		case "/wait":
			p.waits.Store(true)
			<-hold
			p.waits.Store(false)
		}
	}), nil)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener, hold
}

type rawClient struct {
	net.Conn
	answers *bufio.Reader
}

func (l *limitedListener) dial(t *testing.T) rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return rawClient{conn, bufio.NewReader(conn)}
}

func (c rawClient) ask(path string) {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
}

// status is that of the next answer, 0 when the connection was closed instead.
func (c rawClient) status() int {
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func (l *limitedListener) await(t *testing.T, what string, holds func(c *limitedConn) bool, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		n := 0
		for _, c := range l.conns {
			if holds(c) {
				n++
			}
		}
		l.mu.Unlock()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections %s, want %d", n, what, want)
		}
	}
}

func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	l, _ := limited(t, 8)
	silent := make([]rawClient, 100)
	for i := range silent {
		silent[i] = l.dial(t)
		fmt.Fprint(silent[i], "GET /known HTT")
	}
	c := l.dial(t)
	if c.ask("/known"); c.status() != 200 {
		t.Fatal("a hundred connections that say nothing keep another out")
	}
	for range 100 {
		l.dial(t)
	}
	l.await(t, "are open", func(*limitedConn) bool { return true }, 8)
	if c.ask("/known"); c.status() != 200 {
		t.Error("one that is known went before those that are not")
	}
	if silent[0].status() != 0 {
		t.Error("the oldest of them is still there")
	}
}

func TestConnectionsGoInOrder(t *testing.T) {
	l, hold := limited(t, 5)
	idle, wrong, stranger, waits, holds := l.dial(t), l.dial(t), l.dial(t), l.dial(t), l.dial(t)
	for c, path := range map[rawClient]string{idle: "/known", wrong: "/wrong", stranger: "/"} {
		if c.ask(path); c.status() != 200 {
			t.Fatal(path)
		}
	}
	waits.ask("/wait")
	holds.ask("/hold")
	l.await(t, "are idle", func(c *limitedConn) bool { return c.peer.idle.Load() }, 3)
	l.await(t, "are in use", func(c *limitedConn) bool { return c.peer.waits.Load() || c.peer.known.Load() && !c.peer.idle.Load() }, 2)
	for i, gone := range []rawClient{wrong, stranger, idle} {
		c := l.dial(t)
		if gone.status() != 0 {
			t.Fatalf("number %d is still there", i)
		}
		c.ask("/hold")
		l.await(t, "are held", func(c *limitedConn) bool { return c.peer.known.Load() && !c.peer.idle.Load() }, i+2)
	}
	if c := l.dial(t); c.status() != 503 {
		t.Error("one more than there is room for was not refused")
	}
	close(hold)
	if waits.status() != 200 || holds.status() != 200 {
		t.Error("one in use was closed")
	}
}

func TestSlowHeadersAreCut(t *testing.T) {
	t.Parallel()
	l, _ := limited(t, 8)
	c := l.dial(t)
	began := time.Now()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: loc")
	if status := c.status(); status == 200 || time.Since(began) > headerTimeout+3*time.Second {
		t.Errorf("%d after %v", status, time.Since(began))
	}
}

func TestPasswordsThatWaitAreLimited(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.password = "right"
	ts.ui.waiting.Store(waitingMax)
	if status, _, body := ts.request("POST", "/api/login", `{"password":"right"}`); status != 429 || code(body) != "WAIT" || len(ts.source.logins) != 0 {
		t.Errorf("%d %s, %d passwords were checked", status, body, len(ts.source.logins))
	}
	ts.ui.waiting.Store(waitingMax - 1)
	if status, _, body := ts.request("POST", "/api/login", `{"password":"right"}`); status != 200 || ts.ui.waiting.Load() != waitingMax-1 {
		t.Errorf("%d %s, %d wait", status, body, ts.ui.waiting.Load())
	}
}

func TestFramesOfASlowSocketAreLimited(t *testing.T) {
	s := &socket{out: make(chan []byte, queuedFrames)}
	if !s.queue(make([]byte, queuedBytes+1)) {
		t.Error("a frame alone was not taken")
	}
	if s.queue([]byte("x")) {
		t.Error("a frame was taken beside one that is over the limit")
	}
	s.held.Add(-int64(len(<-s.out)))
	for range 4 {
		if !s.queue(make([]byte, queuedBytes/4)) {
			t.Error("a frame within the limit was not taken")
		}
	}
	if s.queue([]byte("x")) || len(s.out) != 4 || s.held.Load() != queuedBytes {
		t.Errorf("%d frames, %d bytes", len(s.out), s.held.Load())
	}
}
