package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/nexobroker/nexo/ui"
)

// TestWatchingChangesNothing: whatever a dashboard shows, the figures are those of a server that nobody looks at.
func TestWatchingChangesNothing(t *testing.T) {
	l := startLive(t, nil)
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(t.Context(), "worker")
	if err != nil {
		t.Fatal(err)
	}
	defer client.conn.Close()
	commands := 0
	do := func(line ...string) ui.Reply {
		t.Helper()
		commands++
		reply, err := client.do(line...)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return reply
	}
	do("SET", "key", "value")
	do("QPUSH", "jobs", "job")
	do("XAPPEND", "events", "entry")
	do("XGCREATE", "events", "group", "START", "first")
	do("NPUB", "kept", "x", "RETAIN")

	figures := func() (list []string) {
		t.Helper()
		for _, name := range []string{
			"connected_clients", "blocked_clients", "total_connections_received", "total_error_replies", "keyspace_hits", "keyspace_misses",
		} {
			for line := range strings.Lines(do("INFO", "everything").Text()) {
				if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
					list = append(list, name+" "+value)
				}
			}
		}
		for line := range strings.Lines(do("INFO", "commandstats").Text()) { // what the dashboard sends, and this test does not
			name, figures, _ := strings.Cut(strings.TrimSpace(line), ":")
			if name == "cmdstat_hello" || name == "cmdstat_select" {
				calls, _, _ := strings.Cut(figures, ",")
				list = append(list, name+" "+calls)
			}
		}
		list = append(list, words("patterns", do("PUBSUB", "NUMPAT").Int()), words("channels", len(do("PUBSUB", "CHANNELS").List())),
			words("who", len(do("NWHO", "#").List())),
			words("topics", len(do("NTOPICS").List()[0].List())), words("received by", do("NPUB", "a/b", "x").Int(), do("PUBLISH", "a", "x").Int(),
				do("NPUB", "kept", "y", "RETAIN").Int()))
		totals := l.s.source.Totals()
		totals.StoreLatency, totals.FsyncLatency, totals.Memory, totals.Disk = ui.Latency{}, ui.Latency{}, 0, 0
		totals.Commands -= uint64(commands)
		totals.Published = 0
		return append(list, fmt.Sprintf("%+v", totals))
	}
	before := figures()

	feed, _, err := websocket.DefaultDialer.Dial(strings.Replace(l.base, "http", "ws", 1)+"/api/ws?v=1", http.Header{"Origin": {l.base}})
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for i, topic := range []string{
		`"stats"`, `"queues"`, `"streams"`, `"clients"`, `"slowlog"`, `"queue","q":{"name":"jobs"}`, `"stream","q":{"name":"events"}`,
		`"tail:pubsub"`,
		`"tail:pubsub","q":{"filter":"a/+"}`, `"tail:commands"`, `"tail:stream","q":{"name":"events"}`,
	} {
		if err := feed.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"t":"sub","id":%d,"topic":%s}`, i+1, topic)); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 { // every read that a page makes, and those that it makes again and again
		for _, path := range []string{
			"counts", "queue?name=jobs", "jobs?queue=jobs&state=ready", "jobs?queue=jobs&state=ready&match=j", "job?queue=jobs&id=1&full=1",
			"stream?name=events",
			"entries?stream=events", "entry?stream=events&offset=1&full=1", "parked?stream=events&group=group", "keys?match=k", "tree",
			"key?key=key&full=1", "topics", "wildcards",
			"subscribers?topic=a/b", "retained", "clients", "slowlog", "config", "commands", "info", "session",
		} {
			response, err := http.Get(l.base + "/api/" + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != 200 {
				t.Errorf("%s: %d", path, response.StatusCode)
			}
		}
	}
	l.get(400, "subscribers", "topic", "a/#/b")
	if status := l.get(404, "key", "key", "nobody"); at(status, "error", "code") != "NOKEY" {
		t.Errorf("a key that is not there: %v", status)
	}
	for { // the tails have begun
		_, text, err := feed.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(text), `{"t":"ev","id":8,`) {
			break
		}
	}
	after := figures()
	if len(before) != len(after) {
		t.Fatalf("watching changed %q to %q", before, after)
	}
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("watching changed %s to %s", before[i], after[i])
		}
	}
}
