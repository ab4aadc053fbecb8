package ui

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// step lets a second pass for the feed, as its ticker does.
func (ts *testServer) step() {
	ts.advance(time.Second)
	ts.ui.feed.refresh()
}

// still keeps the feed's own ticker from adding seconds to a test that steps by itself.
func (ts *testServer) still() {
	ts.ui.feed.mu.Lock()
	defer ts.ui.feed.mu.Unlock()
	ts.ui.feed.ticking = true
}

func queueRow(name string, ready int, pushed uint64) Queue {
	return Queue{Name: name, Ready: ready, Paused: "none", Counts: QueueCounts{Pushed: pushed}}
}

func TestFramesOfStateTopics(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.still()
	ts.source.queues = []Queue{queueRow("mails", 3, 10), queueRow("orders", 5, 20), queueRow("thumbnails", 0, 0)}
	b, _ := ts.open(nil)
	b.want("hello")

	b.send(`{"t":"sub","id":1,"topic":"stats"}`)
	b.want("stats.snap")
	b.send(`{"t":"sub","id":2,"topic":"queues","q":{"sort":"-ready","from":0,"n":2}}`)
	b.want("queues.snap")
	b.send(`{"t":"sub","id":3,"topic":"queue","q":{"name":"mails"}}`)
	b.want("queue.snap")
	b.send(`{"t":"sub","id":4,"topic":"queue","q":{"name":"nothing"}}`)
	b.want("err")
	b.send(`{"t":"ping"}`)

	ts.source.locked(func() {
		ts.source.queues = []Queue{queueRow("mails", 7, 14), queueRow("thumbnails", 6, 6)}
		ts.source.totals.Commands, ts.source.totals.StoreCommands, ts.source.totals.Published = 90, 60, 30
		ts.source.totals.StoreLatency.Counts = []uint64{0, 9, 1, 0}
		ts.source.totals.FsyncLatency = Latency{Counts: []uint64{0, 0, 5, 0}, Bound: ts.source.totals.StoreLatency.Bound}
	})
	ts.step()
	byID := map[string]string{}
	for range 3 {
		frame := b.frame()
		byID[frame[:strings.Index(frame, `,"rev"`)]] = frame
	}
	golden(t, "stats.delta", byID[`{"t":"delta","id":1`])
	golden(t, "queues.delta", byID[`{"t":"delta","id":2`])
	golden(t, "queue.delta", byID[`{"t":"delta","id":3`])

	// The rates fall back to zero, and then nothing changes but the time.
	ts.step()
	for range 3 {
		b.frame()
	}
	ts.step()
	if frame := b.frame(); !strings.HasPrefix(frame, `{"t":"delta","id":1,"rev":4,"prev":3,"up":[{`) {
		t.Errorf("after a second without change: %s", frame)
	}
	ts.source.locked(func() { ts.source.queues = ts.source.queues[1:] })
	ts.step()
	ended := false
	for range 3 {
		ended = ended || b.frame() == `{"t":"err","id":3,"code":"NOQUEUE","msg":"no such queue 'mails'"}`
	}
	if !ended {
		t.Error("the topic of a queue that was dropped goes on")
	}
}

func TestEqualWindowsAreOneTopic(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.still()
	ts.source.queues = []Queue{queueRow("a", 1, 0), queueRow("b", 2, 0)}
	first, _ := ts.open(nil)
	second, _ := ts.open(nil)
	first.frame()
	second.frame()
	first.send(`{"t":"sub","id":1,"topic":"queues","q":{"sort":"name"}}`)
	first.frame()
	ts.source.locked(func() { ts.source.queues[0].Ready = 9 })
	ts.step()
	first.frame()
	second.send(`{"t":"sub","id":8,"topic":"queues","q":{"n":60,"sort":"name"}}`)
	if frame := second.frame(); !strings.HasPrefix(frame, `{"t":"snap","id":8,"rev":2,"data":{"rows":[{"name":"a","ready":9,`) {
		t.Errorf("the second watcher's snapshot: %s", frame)
	}
	if len(ts.ui.feed.states) != 1 {
		t.Errorf("%d topics", len(ts.ui.feed.states))
	}
	ts.source.locked(func() { ts.source.queues[1].Ready = 5 })
	ts.step()
	a, b := first.frame(), second.frame()
	if a != strings.Replace(b, `"id":8`, `"id":1`, 1) || !strings.Contains(a, `"rev":3,"prev":2`) {
		t.Errorf("the watchers differ:\n%s\n%s", a, b)
	}
}

func TestWindowsAreSortedFilteredAndCut(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.still()
	for i := range 1000 {
		ts.source.queues = append(ts.source.queues, queueRow(fmt.Sprintf("queue-%03d", i), i%10, 0))
	}
	b, _ := ts.open(nil)
	b.frame()
	b.send(`{"t":"sub","id":1,"topic":"queues","q":{"sort":"-ready","filter":"-9","from":1,"n":3}}`)
	var frame struct {
		Data struct {
			Total int
			Rows  []Queue
		}
	}
	if err := json.Unmarshal([]byte(b.frame()), &frame); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, q := range frame.Data.Rows {
		names = append(names, q.Name)
	}
	if got := fmt.Sprint(frame.Data.Total, names); got != "100 [queue-989 queue-979 queue-969]" && got != "100 [queue-919 queue-929 queue-939]" {
		t.Errorf("the window is %s", got)
	}
	for _, q := range []string{`{"sort":"colour"}`, `{"n":501}`, `{"from":-1}`} {
		b.send(`{"t":"sub","id":2,"topic":"queues","q":` + q + `}`)
		if frame := b.frame(); !strings.Contains(frame, `"id":2,"code":"BADQUERY"`) {
			t.Errorf("%s: %s", q, frame)
		}
	}
	b.send(`{"t":"sub","id":3,"topic":"nothing"}`)
	if frame := b.frame(); !strings.Contains(frame, `"NOTOPIC"`) {
		t.Errorf("an unknown topic: %s", frame)
	}
	b.send(`{"t":"dance","id":3}`)
	if frame := b.frame(); !strings.Contains(frame, `"BADFRAME"`) {
		t.Errorf("an unknown frame: %s", frame)
	}
	b.send(`{`)
	if frame := b.frame(); !strings.Contains(frame, `"id":0,"code":"BADFRAME"`) {
		t.Errorf("no JSON: %s", frame)
	}
}

// waitUntil asks again until something is so; what takes ten seconds will not come.
func waitUntil(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so after ten seconds: " + what)
		}
	}
}

func TestTheTickerAloneCollectsWhileItRuns(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.still()
	b, _ := ts.open(nil)
	b.frame()
	b.send(`{"t":"sub","id":1,"topic":"stats"}`)
	b.frame()
	ts.advance(950 * time.Millisecond)
	b.send(`{"t":"sub","id":2,"topic":"queues"}`)
	b.frame()
	ts.request("GET", "/api/snapshot?topic=streams", "")
	ts.source.locked(func() {
		if ts.source.asked != 1 {
			t.Errorf("collected %d times within one second", ts.source.asked)
		}
	})
}

func TestNothingIsCollectedWithoutWatchers(t *testing.T) {
	ts := newTestServer(t, Options{})
	b, _ := ts.open(nil)
	b.frame()
	b.send(`{"t":"sub","id":1,"topic":"stats"}`)
	b.frame()
	b.frame() // the ticker runs
	b.send(`{"t":"unsub","id":1}`)
	waitUntil(t, "the ticker has ended", func() bool {
		ts.ui.feed.mu.Lock()
		defer ts.ui.feed.mu.Unlock()
		return !ts.ui.feed.ticking
	})
	asked := 0
	ts.source.locked(func() { asked = ts.source.asked })
	time.Sleep(1200 * time.Millisecond) // longer than a tick: a ticker that goes on would show
	ts.source.locked(func() {
		if ts.source.asked != asked {
			t.Errorf("asked %d times more with nobody watching", ts.source.asked-asked)
		}
	})
	b.send(`{"t":"sub","id":1,"topic":"stats"}`)
	b.frame()
	b.frame()
	b.conn.Close()
	waitUntil(t, "a closed socket watches nothing", func() bool {
		ts.ui.feed.mu.Lock()
		defer ts.ui.feed.mu.Unlock()
		return len(ts.ui.feed.states) == 0 && len(ts.ui.feed.sockets) == 0
	})
}

func TestSlowSocketGetsASnapshotInsteadOfDeltas(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.still()
	ts.source.queues = []Queue{queueRow("a", 1, 0)}
	s := &socket{feed: ts.ui.feed, out: make(chan []byte, 2), done: make(chan struct{}), subscriptions: map[int]*subscription{}}
	if err := ts.ui.feed.subscribe(s, 1, "queues", topicQuery{}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		ts.source.locked(func() { ts.source.queues[0].Ready = 10 + i })
		ts.step()
	}
	first, second := string(<-s.out), string(<-s.out)
	if !strings.HasPrefix(first, `{"t":"snap","id":1,"rev":1,`) || !strings.HasPrefix(second, `{"t":"delta","id":1,"rev":2,"prev":1,`) || len(s.out) != 0 {
		t.Fatalf("before it was slow:\n%s\n%s", first, second)
	}
	ts.step() // nothing changes, but it is behind
	if frame := string(<-s.out); !strings.HasPrefix(frame, `{"t":"snap","id":1,"rev":6,"data":{"rows":[{"name":"a","ready":14,`) {
		t.Errorf("after it was slow: %s", frame)
	}
	ts.source.locked(func() { ts.source.queues[0].Ready = 99 })
	ts.step()
	if frame := string(<-s.out); !strings.HasPrefix(frame, `{"t":"delta","id":1,"rev":7,"prev":6,`) {
		t.Errorf("and then: %s", frame)
	}
	ts.ui.feed.leave(s)
}

func TestSubscriptionsAndSocketsAreLimited(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.still()
	b, _ := ts.open(nil)
	b.frame()
	for id := range subsPerSocket {
		b.send(fmt.Sprintf(`{"t":"sub","id":%d,"topic":"clients"}`, id))
		b.frame()
	}
	b.send(`{"t":"sub","id":999,"topic":"clients"}`)
	if frame := b.frame(); !strings.Contains(frame, `"id":999,"code":"TOOMANY"`) {
		t.Errorf("one too many: %s", frame)
	}
	b.send(`{"t":"sub","id":5,"topic":"stats"}`) // takes the place of another
	if frame := b.frame(); !strings.HasPrefix(frame, `{"t":"snap","id":5,`) {
		t.Errorf("a replacement: %s", frame)
	}
	b.send(`{"t":"sub","id":1,"topic":"` + strings.Repeat("x", frameMax) + `"}`)
	if _, _, err := b.conn.ReadMessage(); err == nil {
		t.Error("a huge frame was taken")
	}
	waitUntil(t, "the socket is gone", func() bool {
		ts.ui.feed.mu.Lock()
		defer ts.ui.feed.mu.Unlock()
		return len(ts.ui.feed.sockets) == 0
	})
	for range socketsMax {
		one, _ := ts.open(nil)
		one.frame()
	}
	if _, response := ts.open(nil); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one socket too many: %d", response.StatusCode)
	}
}

func TestTailOfMessages(t *testing.T) {
	ts := newTestServer(t, Options{})
	b, _ := ts.open(nil)
	b.frame()
	b.send(`{"t":"sub","id":9,"topic":"tail:pubsub","q":{"filter":"#/x"}}`)
	if frame := b.frame(); !strings.Contains(frame, `"id":9,"code":"BADFILTER"`) {
		t.Errorf("a bad filter: %s", frame)
	}
	see := func() func(topic, payload []byte, retained bool) {
		ts.source.mu.Lock()
		defer ts.source.mu.Unlock()
		return ts.source.see
	}
	b.send(`{"t":"sub","id":9,"topic":"tail:pubsub","q":{"filter":"sensors/#"}}`)
	waitUntil(t, "the tail watches", func() bool { return see() != nil })
	show := see()
	show([]byte("sensors/1"), []byte("21.5"), true)
	show([]byte("sensors/2"), []byte{0xff, 0x00}, false)
	var items []json.RawMessage
	for len(items) < 2 {
		var frame struct{ Items []json.RawMessage }
		text := b.frame()
		if err := json.Unmarshal([]byte(text), &frame); err != nil {
			t.Fatal(err)
		}
		items = append(items, frame.Items...)
	}
	text, _ := json.Marshal(map[string]any{"t": "ev", "id": 9, "items": items, "dropped": 0, "rate": 8})
	golden(t, "pubsub.ev", string(text))

	const flood = 50_000
	for range flood {
		show([]byte("sensors/3"), []byte("x"), false)
	}
	shown, dropped := 0, 0
	for shown+dropped < flood {
		var frame struct {
			Items   []json.RawMessage
			Dropped int
		}
		if err := json.Unmarshal([]byte(b.frame()), &frame); err != nil {
			t.Fatal(err)
		}
		if len(frame.Items) > flushMax {
			t.Fatalf("%d items in a frame", len(frame.Items))
		}
		shown += len(frame.Items)
		dropped += frame.Dropped
	}
	if shown+dropped != flood || shown == 0 {
		t.Errorf("%d shown and %d dropped of %d", shown, dropped, flood)
	}
	b.send(`{"t":"unsub","id":9}`)
	waitUntil(t, "the tail has ended", func() bool { return see() == nil })
}

func TestTailOfCommandsHidesPasswords(t *testing.T) {
	ts := newTestServer(t, Options{})
	tail := &commandTail{server: ts.ui}
	words := func(secret bool, args ...string) string {
		c := CommandSeen{Client: 7, Addr: &net.TCPAddr{}, Secret: secret, Naming: 2}
		for _, arg := range args {
			c.Args = append(c.Args, []byte(arg))
		}
		return strings.Join(tail.words(c), " ")
	}
	if got := words(true, "AUTH", "hunter2"); got != "AUTH (redacted)" {
		t.Errorf("AUTH: %s", got)
	}
	if got := words(false, "SET", "a", strings.Repeat("x", 300)); got != "SET a "+strings.Repeat("x", 256)+"... (44 more bytes)" {
		t.Errorf("SET: %s", got)
	}
	if got := words(false, append([]string{"MGET"}, make([]string, 40)...)...); !strings.HasSuffix(got, " ... (9 more)") {
		t.Errorf("MGET: %s", got)
	}
	ts.ui.options.HidePayloads = true
	if got := words(false, "SET", "a", "b"); got != "SET a (hidden)" {
		t.Errorf("hidden: %s", got)
	}
}

func TestTailOfAStreamSkipsWhatIsTooMuch(t *testing.T) {
	ts := newTestServer(t, Options{})
	tail := &streamTail{server: ts.ui, name: "s"}
	add := func(n int) {
		ts.source.locked(func() {
			for range n {
				offset := uint64(len(ts.source.entries) + 1)
				ts.source.entries = append(ts.source.entries, Entry{Offset: offset, MS: 1700000000000, ID: "1700000000000-0", Payload: NewPayload("x")})
			}
		})
	}
	add(5)
	if _, err := tail.start(); err != nil {
		t.Fatal(err)
	}
	expect := func(items, dropped, seen int, first string) {
		t.Helper()
		got, gotDropped, gotSeen, err := tail.drain()
		if err != nil || len(got) != items || gotDropped != dropped || gotSeen != seen || items > 0 && !strings.HasPrefix(string(got[0]), `{"offset":"`+first+`"`) {
			t.Errorf("%d items, %d dropped, %d seen, %v, want %d, %d, %d from %s: %.60s", len(got), gotDropped, gotSeen, err, items, dropped, seen, first, got)
		}
	}
	expect(0, 0, 0, "")
	add(2)
	expect(2, 0, 2, "6")
	add(1000)
	expect(200, 800, 1000, "808")
	expect(0, 0, 0, "")
	ts.source.locked(func() { ts.source.entries = nil })
	add(1)
	expect(1, 0, 1, "1")
}

func TestPayloadsAreCutAndHidden(t *testing.T) {
	ts := newTestServer(t, Options{})
	size := func(path string) int {
		var job struct{ Payload struct{ B64 []byte } }
		_, _, body := ts.request("GET", path, "")
		if err := json.Unmarshal([]byte(body), &job); err != nil {
			t.Fatal(err)
		}
		return len(job.Payload.B64)
	}
	if a, b := size("/api/job?queue=q&id=7"), size("/api/job?queue=q&id=7&full=1"); a != 4096 || b != 5000 {
		t.Errorf("%d and %d bytes", a, b)
	}
	ts.ui.options.HidePayloads = true
	if n := size("/api/job?queue=q&id=7&full=1"); n != 0 {
		t.Errorf("%d bytes of a hidden payload", n)
	}
	if status, _, body := ts.request("POST", "/api/console", `{"args":["GET","a"]}`); status != 403 || code(body) != "HIDDEN" {
		t.Errorf("the console of a dashboard that hides payloads: %d %s", status, body)
	}
	ts.source.slow = []SlowCommand{{ID: "1", Args: []string{"SET", "a", "secret"}, Naming: 2}, {ID: "2", Args: []string{"ECHO", "secret"}, Naming: 1}}
	if _, _, body := ts.request("GET", "/api/slowlog", ""); !strings.Contains(body, `"args":["SET","a"]`) || strings.Contains(body, "secret") {
		t.Errorf("the slow log of a dashboard that hides payloads: %s", body)
	}
}

func TestRepliesAsJSON(t *testing.T) {
	reply := Reply{Kind: Array, Value: []Reply{
		{Kind: Status, Value: "OK"}, {Kind: Failure, Value: "ERR no"}, {Kind: Integer, Value: int64(9007199254740993)}, {Kind: Bulk, Value: []byte("text")},
		{Kind: Bulk, Value: []byte{0xff}}, {Kind: Null}, {Kind: Double, Value: "1.5"}, {Kind: Boolean, Value: false},
		{Kind: Map, Value: []Reply{{Kind: Bulk, Value: []byte("a")}, {Kind: Integer, Value: int64(1)}}}, {Kind: Array, Value: []Reply(nil)},
	}}
	golden(t, "reply", string(encode(map[string]Reply{"reply": reply})))
	golden(t, "error", `{"error":{"code":"NOQUEUE","message":"no such queue 'x'"}}`)
}

func TestLoginThatEndsClosesTheSocket(t *testing.T) {
	ts := newTestServer(t, Options{})
	b, _ := ts.open(nil)
	b.frame()
	ts.ui.feed.mu.Lock()
	for s := range ts.ui.feed.sockets {
		s.end()
	}
	ts.ui.feed.mu.Unlock()
	if _, _, err := b.conn.ReadMessage(); err == nil || !strings.Contains(err.Error(), "1001") {
		t.Errorf("the socket ended with %v", err)
	}
}

func TestSnapshotsOverHTTP(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.queues = []Queue{queueRow("a", 1, 0), queueRow("b", 2, 0)}
	for _, c := range []struct {
		query  string
		status int
		want   string
	}{
		{`topic=queues&q={"sort":"-ready","n":1}`, 200, `{"rows":[{"name":"b","ready":2,`},
		{`topic=queue&q={"name":"a"}`, 200, `"priorities":[[0,1]]`},
		{`topic=stats`, 200, `{"points":[{"at":1700000000000,`},
		{`topic=queue&q={"name":"gone"}`, 404, `NOQUEUE`},
		{`topic=tail:pubsub`, 400, `NOTOPIC`},
		{`topic=queues&q=7`, 400, `BADQUERY`},
		{``, 400, `BADQUERY`},
	} {
		query := strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22").Replace(c.query)
		if status, _, body := ts.request("GET", "/api/snapshot?"+query, ""); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.query, status, body)
		}
	}
	for range 3 {
		ts.advance(2 * time.Second)
		_, _, body := ts.request("GET", "/api/snapshot?topic=stats&q=%7B%22n%22:2%7D", "")
		if points := strings.Count(body, `"at":`); points != 2 {
			t.Errorf("%d points: %s", points, body)
		}
	}
	if len(ts.ui.feed.states) != 0 || ts.ui.feed.ticking {
		t.Error("a snapshot began to watch")
	}
}
