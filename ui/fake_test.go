package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/frames")

// fakeSource answers what a test puts into it. What is not overridden panics, which is a failed test.
type fakeSource struct {
	Source
	mu       sync.Mutex
	password string
	denied   bool
	readyErr error
	totals   Totals
	queues   []Queue
	streams  []Stream
	clients  []Client
	slow     []SlowCommand
	ran      []string
	logins   []bool // failedBefore of each
	reply    Reply
	asked    int // how often Totals was
	see      func(topic, payload []byte, retained bool)
	seeing   func(CommandSeen)
	entries  []Entry
}

func (f *fakeSource) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeSource) Run(_ context.Context, db int, args ...string) (Reply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ran = append(f.ran, fmt.Sprint(db)+" "+strings.Join(args, " "))
	return f.reply, nil
}
func (f *fakeSource) Commands() []Command { return nil }
func (f *fakeSource) Command(words []string) (Command, bool) {
	switch strings.ToLower(words[0]) {
	case "get":
		return Command{Name: "get", ReadOnly: true}, true
	case "set":
		return Command{Name: "set", Write: true}, true
	case "subscribe":
		return Command{Name: "subscribe", Subscribes: true}, true
	case "qpop":
		return Command{Name: "qpop", Blocks: len(words) > 2}, true
	}
	return Command{}, false
}
func (f *fakeSource) Credentials() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.password
}
func (f *fakeSource) Login(_ context.Context, _, user, password string, failedBefore bool) (right, checked bool) {
	f.locked(func() { f.logins = append(f.logins, failedBefore) })
	if password == "hurry" {
		return false, false
	}
	return user == "default" && password == f.Credentials(), true
}
func (f *fakeSource) Denies(net.Addr) bool { return f.denied }
func (f *fakeSource) Ready() error         { return f.readyErr }
func (f *fakeSource) Port() int            { return 7654 }
func (f *fakeSource) Totals() Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.totals
}
func (f *fakeSource) Clients() []Client           { return f.clients }
func (f *fakeSource) SlowCommands() []SlowCommand { return f.slow }
func (f *fakeSource) Settings() []Setting         { return nil }
func (f *fakeSource) Queues() []Queue {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Queue{}, f.queues...)
}
func (f *fakeSource) Queue(name string) (QueueDetail, error) {
	for _, q := range f.Queues() {
		if q.Name == name {
			return QueueDetail{Queue: q, Config: [][2]string{{"lease", "30000"}}, Priorities: [][2]int{{0, q.Ready}}, Counters: map[string]uint64{"pushed": q.Counts.Pushed}}, nil
		}
	}
	return QueueDetail{}, NotFound("NOQUEUE", "no such queue '%s'", name)
}
func (f *fakeSource) Streams() []Stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Stream{}, f.streams...)
}
func (f *fakeSource) Entries(_, from string, count int, _ bool) ([]Entry, uint64, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	high := uint64(len(f.entries))
	if from == "last" {
		return nil, high, 0, nil
	}
	var at uint64
	if _, err := fmt.Sscan(from, &at); err != nil {
		return nil, 0, 0, err
	}
	return f.entries[min(at-1, high):min(at-1+uint64(count), high)], high, 0, nil
}
func (f *fakeSource) Job(_ string, id uint64) (Job, error) {
	return Job{ID: id, State: "ready", Payload: NewPayload(strings.Repeat("x", 5000)), MaxAttempts: 5, PushedAt: 1700000000000}, nil
}
func (f *fakeSource) TailMessages(filter string, see func(topic, payload []byte, retained bool)) (func(), error) {
	if strings.HasPrefix(filter, "#/") {
		return nil, problem(400, "BADFILTER", "'%s' '#' must be last", filter)
	}
	f.locked(func() { f.see = see })
	return func() { f.locked(func() { f.see = nil }) }, nil
}
func (f *fakeSource) TailCommands(see func(CommandSeen)) func() {
	f.locked(func() { f.seeing = see })
	return func() { f.locked(func() { f.seeing = nil }) }
}

// testServer is a dashboard over a fake source, behind a real listener.
type testServer struct {
	t      *testing.T
	source *fakeSource
	ui     *Server
	http   *httptest.Server
	client *http.Client
	now    time.Time
	clock  sync.Mutex
}

func newTestServer(t *testing.T, options Options) *testServer {
	t.Helper()
	ts := &testServer{t: t, source: &fakeSource{totals: Totals{StoreLatency: Latency{Counts: make([]uint64, 4), Bound: func(b int) int64 { return 1 << b }}}}, now: time.UnixMilli(1700000000000)}
	options.Version = "0.1.0"
	options.Now = func() time.Time {
		ts.clock.Lock()
		defer ts.clock.Unlock()
		return ts.now
	}
	server, err := New(options, ts.source)
	if err != nil {
		t.Fatal(err)
	}
	server.boot = "b0071d5e00000000"
	ts.ui = server
	ts.http = httptest.NewUnstartedServer(server)
	ts.http.Config.ConnContext, ts.http.Config.ConnState = rememberPeer, noteState
	ts.http.Listener = &limitedListener{Listener: ts.http.Listener, most: connectionsMax}
	ts.http.Start()
	ts.client = ts.http.Client()
	t.Cleanup(func() {
		server.Close()
		ts.http.Close()
	})
	return ts
}

func (ts *testServer) advance(d time.Duration) {
	ts.clock.Lock()
	defer ts.clock.Unlock()
	ts.now = ts.now.Add(d)
}

// request sends one request and returns status, header and body. Headers are given as "Name: value"; Host counts.
func (ts *testServer) request(method, path, body string, headers ...string) (int, http.Header, string) {
	ts.t.Helper()
	r, err := http.NewRequest(method, ts.http.URL+path, strings.NewReader(body))
	if err != nil {
		ts.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	response, err := ts.client.Do(r)
	if err != nil {
		ts.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		ts.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// code is the code word of an error answer.
func code(body string) string {
	var answer struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal([]byte(body), &answer)
	return answer.Error.Code
}

// browser is a socket of the feed.
type browser struct {
	t    *testing.T
	conn *websocket.Conn
}

func (ts *testServer) open(headers http.Header) (*browser, *http.Response) {
	ts.t.Helper()
	if headers == nil {
		headers = http.Header{"Origin": {ts.http.URL}}
	}
	conn, response, err := websocket.DefaultDialer.Dial(strings.Replace(ts.http.URL, "http", "ws", 1)+"/api/ws?v=1", headers)
	if err != nil {
		if response == nil {
			ts.t.Fatal(err)
		}
		return nil, response
	}
	ts.t.Cleanup(func() { conn.Close() })
	return &browser{ts.t, conn}, response
}

func (b *browser) send(frame string) {
	b.t.Helper()
	if err := b.conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		b.t.Fatal(err)
	}
}

// frame is the next frame.
func (b *browser) frame() string {
	b.t.Helper()
	_ = b.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, text, err := b.conn.ReadMessage()
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// want compares the next frame with an example in testdata/frames.
func (b *browser) want(name string) {
	b.t.Helper()
	golden(b.t, name, b.frame())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(got), "", "  "); err != nil {
		t.Fatalf("%s is not JSON: %v\n%s", name, err, got)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", "frames", name+".json")
	if *rewrite {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, pretty.Bytes()) {
		t.Errorf("%s differs (go test ./ui -rewrite takes it over):\n%s\nwant\n%s", name, pretty.String(), want)
	}
}
