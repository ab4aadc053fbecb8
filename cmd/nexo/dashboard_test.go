package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/ui"
)

// liveServer is a whole server on free ports, in this process.
type liveServer struct {
	t    testing.TB
	s    *server
	base string
}

func startLive(t testing.TB, change func(*options)) *liveServer {
	t.Helper()
	o := options{
		host: "127.0.0.1", data: t.TempDir(), fsync: brokers.Always, fsyncInterval: 50 * time.Millisecond, protected: true, maxClients: 100,
		maxMemoryPolicy: "noeviction", maxPayload: 10 << 20, minFreeDisk: 1 << 20,
		dashboard: dashboardOptions{enabled: true, host: "127.0.0.1", portGiven: true},
	}
	if change != nil {
		change(&o)
	}
	s, err := openDoors(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.door.Serve() }()
	go s.pages.serve()
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return &liveServer{t, s, "http://" + s.pages.listener.Addr().String()}
}

// get and post return the decoded answer; its status must be the wanted one.
func (l *liveServer) get(want int, path string, parameters ...string) map[string]any {
	l.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	response, err := http.Get(l.base + "/api/" + path + "?" + values.Encode())
	return l.answer(want, path, response, err)
}

func (l *liveServer) post(want int, path, body string) map[string]any {
	l.t.Helper()
	response, err := http.Post(l.base+"/api/"+path, "application/json", strings.NewReader(body))
	return l.answer(want, path+" "+body, response, err)
}

func (l *liveServer) answer(want int, what string, response *http.Response, err error) (decoded map[string]any) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if response.StatusCode != want {
		l.t.Fatalf("%s: %d %s, want %d", what, response.StatusCode, text, want)
	}
	if err := json.Unmarshal(text, &decoded); err != nil {
		l.t.Fatalf("%s: %v in %s", what, err, text)
	}
	return decoded
}

// at follows names and indexes into an answer.
func at(value any, path ...any) string {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, _ := value.(map[string]any)
			value = fields[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return "(no such row)"
			}
			value = list[step]
		}
	}
	return fmt.Sprint(value)
}

func (l *liveServer) expect(what, got, want string) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// words puts a space between any two values.
func words(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }

func (l *liveServer) awaitTask(answer map[string]any) map[string]any {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		task := l.get(200, "task", "id", at(answer, "task"))
		if task["finished"] == true {
			return task
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the task does not end: %v", task)
		}
	}
}

func TestDashboardQueues(t *testing.T) {
	l := startLive(t, nil)
	l.post(200, "queue/create", `{"name":"mails","options":["LEASE","20s","MAXATTEMPTS","1"]}`)
	l.post(409, "queue/create", `{"name":"mails","options":["LEASE","10s"]}`)
	l.get(404, "queue", "name", "nothing")
	for i := range 50 {
		l.post(200, "queue/push", fmt.Sprintf(`{"name":"mails","payload":"mail %d","priority":%d}`, i, i%2))
	}
	first := l.post(200, "queue/push", `{"name":"mails","b64":"/wAB","dedup":"k"}`)
	again := l.post(200, "queue/push", `{"name":"mails","b64":"/wAB","dedup":"k"}`)
	l.expect("duplicate", words(first["duplicate"], again["duplicate"], first["id"] == again["id"]), "false true true")
	detail := l.get(200, "queue", "name", "mails")
	l.expect("ready", at(detail, "ready"), "51")
	l.expect("priorities", at(detail, "priorities"), "[[1 25] [0 26]]")
	l.expect("config", at(detail, "config", 0), "[lease 20000]")
	l.post(200, "queue/config", `{"name":"mails","set":{"lease":"5s"}}`)
	l.expect("config set", at(l.get(200, "queue", "name", "mails"), "config", 0), "[lease 5000]")

	page := l.get(200, "jobs", "queue", "mails", "state", "ready", "offset", "40", "count", "20")
	l.expect("total", at(page, "total"), "51")
	l.expect("rows", words(len(page["rows"].([]any)), page["next"]), "11 <nil>")
	l.expect("next", at(l.get(200, "jobs", "queue", "mails", "state", "ready", "count", "20"), "next"), "20")
	found := l.get(200, "jobs", "queue", "mails", "state", "ready", "match", "mail 4", "count", "3")
	l.expect("found", words(len(found["rows"].([]any))), "3")
	rest := l.get(200, "jobs", "queue", "mails", "state", "ready", "match", "mail 4", "cursor", at(found, "next"))
	l.expect("the rest", words(len(rest["rows"].([]any)), rest["next"]), "8 <nil>")
	l.expect("progress", words(found["total"], found["scanned"].(float64)+rest["scanned"].(float64)), "51 51")
	for _, cursor := range []string{"3", "8.0.0", "1.0.x"} {
		refused := l.get(400, "jobs", "queue", "mails", "state", "ready", "match", "mail 4", "cursor", cursor)
		l.expect("cursor "+cursor, at(refused, "error", "code"), "BADCURSOR")
	}
	job := l.get(200, "job", "queue", "mails", "id", at(first, "id"))
	l.expect("payload", at(job, "payload", "b64")+" "+at(job, "payload", "size"), "/wAB 3")
	l.get(404, "job", "queue", "mails", "id", "999999")
	l.get(400, "job", "queue", "mails", "id", "x")
	l.get(400, "jobs", "queue", "mails", "state", "gone")
	l.get(400, "jobs", "queue", "mails", "state", "ready", "count", "501")

	l.post(200, "queue/pause", `{"name":"mails","side":"in"}`)
	l.expect("paused", at(l.get(200, "queue", "name", "mails"), "paused"), "in")
	l.expect("push while paused", at(l.post(400, "queue/push", `{"name":"mails","payload":"x"}`), "error", "code"), "QPAUSED")
	l.post(200, "queue/resume", `{"name":"mails"}`)
	l.expect("acted", at(l.post(200, "jobs/act", fmt.Sprintf(`{"queue":"mails","action":"delete","ids":[%q]}`, at(first, "id"))), "count"),
		"1")

	bulk := `{"queue":"mails","state":"ready","action":"delete","match":"mail 4","dryRun":%v}`
	l.expect("dry run", at(l.post(200, "bulk", fmt.Sprintf(bulk, true)), "count"), "11")
	task := l.awaitTask(l.post(200, "bulk", fmt.Sprintf(bulk, false)))
	l.expect("task", words(task["done"], task["total"], task["error"], task["cancelled"]), "11 11  false")
	for range 10 { // one attempt each: they die
		reply := l.post(200, "console", `{"args":["QPOP","mails"]}`)
		handle := at(reply, "reply", "v", 0, "v", 0, "v", "text")
		l.post(200, "console", fmt.Sprintf(`{"args":["QNACK","mails",%q,"REASON","no"]}`, handle))
	}
	l.expect("dead", at(l.get(200, "jobs", "queue", "mails", "state", "dead"), "rows", 0, "reason"), "no")
	for want, search := range map[string][2]string{ // by reason, by payload or reason, by both
		"10": {"", "no"}, "0": {"", "mail"}, "10 ": {"no", ""}, "10  ": {"mail", ""}, "10   ": {"mail", "no"}, "0 ": {"no", "mail"},
	} {
		dead := l.get(200, "jobs", "queue", "mails", "state", "dead", "match", search[0], "reason", search[1])
		l.expect(words("dead", search), words(len(dead["rows"].([]any))), strings.TrimSpace(want))
		count := l.post(200, "bulk", fmt.Sprintf(`{"queue":"mails","state":"dead","action":"replay","match":%q,"reason":%q,"dryRun":true}`,
			search[0], search[1]))
		l.expect(words("count", search), at(count, "count"), strings.TrimSpace(want))
	}
	task = l.awaitTask(l.post(200, "bulk", `{"queue":"mails","state":"dead","action":"replay","reason":"gone"}`))
	l.expect("replayed with a reason that none has", words(task["done"], task["error"]), "0 ")
	task = l.awaitTask(l.post(200, "bulk", `{"queue":"mails","state":"dead","action":"replay","match":""}`))
	l.expect("replayed", words(task["done"]), "10")
	l.expect("purged", at(l.post(200, "queue/purge", `{"name":"mails","states":["ready","delayed"]}`), "count"), "39")
	l.expect("dropped", at(l.post(200, "queue/drop", `{"name":"mails"}`), "count"), "1")
	l.post(404, "bulk", `{"queue":"mails","state":"dead","action":"replay","match":""}`)
	l.get(404, "task", "id", "t1")
}

func TestDashboardStreams(t *testing.T) {
	l := startLive(t, nil)
	l.post(200, "stream/create", `{"name":"orders","options":["INTEGRITY","CHAIN"]}`)
	for i := range 25 {
		l.expect("offset", at(l.post(200, "stream/append", fmt.Sprintf(`{"name":"orders","payload":"order %d"}`, i+1)), "offset"),
			fmt.Sprint(i+1))
	}
	l.post(200, "group/create", `{"stream":"orders","name":"billing","start":"first"}`)
	detail := l.get(200, "stream", "name", "orders")
	l.expect("stream", words(detail["entries"], detail["next"], detail["chain"], at(detail, "groups", 0, "lag")), "25 26 true 25")
	page := l.get(200, "entries", "stream", "orders", "from", "3", "count", "10")
	l.expect("page", at(page, "rows", 0, "offset")+" "+at(page, "next")+" "+at(page, "high"), "3 13 25")
	back := l.get(200, "entries", "stream", "orders", "from", "last", "reverse", "1", "count", "10")
	l.expect("backwards", at(back, "rows", 0, "offset")+" "+at(back, "rows", 9, "offset")+" "+at(back, "next"), "25 16 15")
	l.expect("from a time", at(l.get(200, "entries", "stream", "orders", "from", "@0", "count", "1"), "rows", 0, "offset"), "1")
	text, _ := base64.StdEncoding.DecodeString(at(l.get(200, "entry", "stream", "orders", "offset", "7"), "payload", "b64"))
	l.expect("entry", string(text), "order 7")
	l.get(404, "entry", "stream", "orders", "offset", "99")
	l.get(404, "stream", "name", "nothing")

	l.post(200, "console", `{"args":["XCONSUME","orders","billing","me","COUNT","5"]}`)
	l.post(200, "console", `{"args":["XNACK","orders","billing","FATAL","IDS","2","1","2","REASON","bad"]}`)
	parked := l.get(200, "parked", "stream", "orders", "group", "billing")
	l.expect("parked", words(len(parked["rows"].([]any)), at(parked, "rows", 1, "offset"), at(parked, "rows", 1, "reason"), parked["next"]),
		"2 2 bad <nil>")
	l.expect("unpark one", at(l.post(200, "group/unpark", `{"stream":"orders","name":"billing","offsets":["1"],"drop":false}`), "count"), "1")
	l.expect("unpark all", at(l.post(200, "group/unpark", `{"stream":"orders","name":"billing","offsets":null,"drop":true}`), "count"), "1")
	sought := l.post(200, "group/seek", `{"stream":"orders","name":"billing","to":"10"}`)
	l.expect("seek", at(sought, "next"), "10")
	verified := l.post(200, "stream/verify", `{"name":"orders"}`)
	l.expect("verify", words(verified["ok"], verified["from"], verified["to"], verified["firstBad"], len(at(verified, "head"))),
		"true 1 25  64")
	l.post(200, "stream/config", `{"name":"orders","set":{"maxlen":"20"}}`)
	l.expect("group dropped", at(l.post(200, "group/drop", `{"stream":"orders","name":"billing"}`), "count"), "1")
	l.expect("stream dropped", at(l.post(200, "stream/drop", `{"name":"orders"}`), "count"), "1")
}

// Pages end early when their entries are large; both directions go on to the very end, and stop at what retention has left.
func TestDashboardPagesOfLargeEntries(t *testing.T) {
	l := startLive(t, nil)
	large := strings.Repeat("x", 5<<20)
	for range 8 {
		l.post(200, "stream/append", fmt.Sprintf(`{"name":"large","payload":%q}`, large))
	}
	l.post(200, "stream/config", `{"name":"large","set":{"maxlen":"7"}}`)
	for _, c := range []struct{ from, reverse, want string }{{"first", "0", "2 3 4 5 6 7 8"}, {"last", "1", "8 7 6 5 4 3 2"}} {
		var seen []any
		pages := 0
		for from := c.from; from != "<nil>"; pages++ {
			page := l.get(200, "entries", "stream", "large", "from", from, "count", "10", "reverse", c.reverse)
			if len(page["rows"].([]any)) == 0 {
				t.Fatalf("reverse %s: an empty page after %v", c.reverse, seen)
			}
			for i := range page["rows"].([]any) {
				seen = append(seen, at(page, "rows", i, "offset"))
			}
			from = at(page, "next")
		}
		l.expect("reverse "+c.reverse, words(seen...), c.want)
		if pages < 2 {
			t.Errorf("reverse %s: everything fitted into one page", c.reverse)
		}
	}
	l.post(200, "console", `{"args":["XGCREATE","large","billing","START","first","ACKWAIT","1h"]}`) // however slow the machine is
	for range 3 {                                                                                    // a reply holds 16 MiB
		l.post(200, "console", `{"args":["XCONSUME","large","billing","me","COUNT","10","MAXBYTES","16777216"]}`)
	}
	l.post(200, "console", `{"args":["XNACK","large","billing","FATAL","IDS","1","2..8"]}`)
	parked := l.get(200, "parked", "stream", "large", "group", "billing")
	l.expect("a page of large parked entries", words(len(parked["rows"].([]any)), parked["next"]), "4 6")
	rest := l.get(200, "parked", "stream", "large", "group", "billing", "from", "6")
	l.expect("the rest of them", words(len(rest["rows"].([]any)), at(rest, "rows", 0, "offset"), rest["next"]), "3 6 <nil>")
}

func TestDashboardStore(t *testing.T) {
	l := startLive(t, nil)
	for i := range 300 {
		l.post(200, "console", fmt.Sprintf(`{"db":2,"args":["SET","user:%d:name","Ada"]}`, i))
	}
	l.post(200, "key/set", `{"db":2,"key":"lonely","b64":"/w==","ifEquals":null,"ttl":60000}`)
	l.expect("only a new key", at(l.post(409, "key/set", `{"db":2,"key":"lonely","b64":"/w==","ifEquals":null,"ttl":null}`), "error", "code"),
		"CHANGED")
	l.post(409, "key/set", `{"db":2,"key":"lonely","b64":"AA==","ifEquals":"AA=="}`)
	l.post(200, "key/set", `{"db":2,"key":"lonely","b64":"AA==","ifEquals":"/w==","ttl":-1}`)
	key := l.get(200, "key", "db", "2", "key", "lonely")
	l.expect("key", words(at(key, "value", "b64"), key["ttl"], key["type"], key["size"]), "AA== -1 string 1")
	l.post(200, "key/expire", `{"db":2,"key":"lonely","ttl":60000}`)
	l.post(404, "key/expire", `{"db":2,"key":"nobody","ttl":60000}`)
	l.get(404, "key", "db", "2", "key", "nobody")
	l.get(400, "key", "db", "16", "key", "a")

	l.post(200, "key/set", `{"db":3,"key":"","b64":"AA=="}`) // a name like any other
	l.expect("the key without a name", words(at(l.get(200, "key", "db", "3", "key", ""), "value", "b64"),
		at(l.get(200, "tree", "db", "3"), "keys", 0, "key") == ""), "AA== true")
	l.post(200, "key/set", `{"db":3,"key":"","b64":"Ag==","ifEquals":"AA=="}`)
	l.post(200, "key/expire", `{"db":3,"key":"","ttl":60000}`)
	l.expect("it is deleted", at(l.post(200, "key/delete", `{"db":3,"keys":[""]}`), "count"), "1")
	l.get(400, "key", "db", "3")
	l.post(400, "key/expire", `{"db":3,"ttl":60000}`)

	tree := l.get(200, "tree", "db", "2", "prefix", "", "delimiter", ":")
	l.expect("tree", words(tree["folders"], at(tree, "keys", 0, "key"), tree["total"], tree["more"]),
		"[map[count:300 label:user name:user:]] lonely 301 false")
	below := l.get(200, "tree", "db", "2", "prefix", "user:")
	l.expect("below", at(below, "folders", 0, "name")+" "+words(len(below["folders"].([]any))), "user:0: 300")

	seen := map[string]bool{}
	for cursor := ""; ; {
		page := l.get(200, "keys", "db", "2", "match", "user:*9", "count", "7", "cursor", cursor)
		for i := range page["rows"].([]any) {
			seen[at(page, "rows", i, "key")] = true
		}
		if page["next"] == nil {
			break
		}
		cursor = at(page, "next")
	}
	l.expect("search", fmt.Sprint(len(seen)), fmt.Sprint(countWith("9", 300)))
	l.get(400, "keys", "db", "2", "cursor", "x")
	l.expect("dry run", at(l.post(200, "key/delete-prefix", `{"db":2,"prefix":"user:1","dryRun":true}`), "count"), "111")
	task := l.awaitTask(l.post(200, "key/delete-prefix", `{"db":2,"prefix":"user:1"}`))
	l.expect("deleted", words(task["done"], task["error"]), "111 ")
	l.expect("deleted keys", at(l.post(200, "key/delete", `{"db":2,"keys":["user:2:name","nobody"]}`), "count"), "1")
}

// countWith is how many numbers below n hold a digit.
func countWith(digit string, n int) (count int) {
	for i := range n {
		if strings.Contains(fmt.Sprint(i), digit) {
			count++
		}
	}
	return count
}

func TestDashboardPubSubAndServer(t *testing.T) {
	l := startLive(t, nil)
	for i := range 5 {
		l.post(200, "publish", fmt.Sprintf(`{"topic":"a/%d","payload":"x","retain":true,"ttl":60000}`, i))
	}
	page := l.get(200, "retained", "filter", "a/#", "count", "3")
	rest := l.get(200, "retained", "filter", "a/#", "count", "3", "cursor", at(page, "next"))
	l.expect("retained", words(len(page["rows"].([]any)), len(rest["rows"].([]any)), rest["next"]), "3 2 <nil>")
	fsyncs := l.s.source.Totals().FsyncLatency
	l.expect("fsyncs were timed", words(slices.ContainsFunc(fsyncs.Counts, func(n uint64) bool { return n > 0 })), "true")
	l.post(200, "publish", fmt.Sprintf(`{"topic":"long","payload":"%s","retain":true}`, strings.Repeat("x", 6000)))
	shown := func(parameters ...string) string {
		encoded, err := base64.StdEncoding.DecodeString(at(l.get(200, "retained", append(parameters, "filter", "long")...), "rows", 0, "payload",
			"b64"))
		return words(len(encoded), err)
	}
	l.expect("a long one in a list", shown("full", "1"), "4096 <nil>")
	l.expect("a long one alone", shown("full", "1", "count", "1"), "6000 <nil>")
	l.expect("topics", at(l.get(200, "topics"), "rows", 4, "topic"), "a/4")
	l.get(400, "topics", "filter", "#/a")
	l.expect("deleted", at(l.post(200, "retained/delete", `{"filter":"a/+"}`), "count"), "5")

	ctx := context.Background()
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer client.conn.Close()
	if err := client.all([]string{"NSUB", "a/#"}); err != nil {
		t.Fatal(err)
	}
	l.expect("subscribers", at(l.get(200, "subscribers", "topic", "a/1"), "rows", 0, "name"), "demo:test")
	l.expect("wildcards", words(l.get(200, "wildcards")["rows"]), "[map[name:a/# pattern:false subscribers:1]]")
	l.expect("subscribers of one", words(at(l.get(200, "subscribers", "topic", "a/#", "exact", "1"), "rows", 0, "filter"),
		l.get(200, "subscribers", "topic", "a/1", "exact", "1")["rows"]), "a/# []")
	clients := l.get(200, "clients")
	l.expect("clients without our own", words(len(clients["rows"].([]any)), at(clients, "rows", 0, "name"),
		at(clients, "rows", 0, "protocol"), at(clients, "rows", 0, "command")), "1 demo:test 3 nsub")
	l.expect("CLIENT LIST without our own", words(strings.Count(at(l.post(200, "console", `{"args":["CLIENT","LIST"]}`), "reply", "v",
		"text"), "name=demo:test")), "1")
	l.expect("receivers", at(l.post(200, "publish", `{"topic":"a/1","payload":"x"}`), "receivers"), "1")
	l.expect("killed", at(l.post(200, "client/kill", fmt.Sprintf(`{"id":%q}`, at(clients, "rows", 0, "id"))), "count"), "1")

	l.post(200, "config", `{"name":"slowlog-log-slower-than","value":"0"}`)
	l.post(200, "console", `{"args":["KEYS","*"]}`)
	l.expect("slow log without our own", words(l.get(200, "slowlog")["rows"]), "[]")
	other, err := (&demo{address: l.s.door.Addr().String()}).dial(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.conn.Close()
	if err := other.all([]string{"KEYS", "*"}); err != nil {
		t.Fatal(err)
	}
	l.expect("slow log", at(l.get(200, "slowlog"), "rows", 0, "args"), "[KEYS *]")
	l.post(200, "slowlog/reset", `{}`)
	l.expect("slow log after reset", words(l.get(200, "slowlog")["rows"]), "[]")
	pencils := 0
	for i := range l.get(200, "config")["rows"].([]any) {
		row := l.get(200, "config")["rows"].([]any)[i]
		if at(row, "mutable") != "true" {
			continue
		}
		pencils++
		if at(row, "name") != "requirepass" { // its value is not told
			l.post(200, "config", fmt.Sprintf(`{"name":%q,"value":%q}`, at(row, "name"), at(row, "value")))
		}
	}
	if pencils < 8 || pencils > 20 {
		t.Errorf("%d settings can be changed", pencils)
	}
	for _, name := range []string{"appendfsync", "appendonly", "notify-keyspace-events", "hash-max-listpack-entries", "port", "dir"} {
		for _, row := range l.get(200, "config")["rows"].([]any) {
			if at(row, "name") == name && at(row, "mutable") != "false" {
				t.Errorf("%s has a pencil", name)
			}
		}
	}
	l.expect("config", at(l.post(400, "config", `{"name":"port","value":"1"}`), "error", "code"), "ERR")
	l.expect("info", at(l.get(200, "info"), "sections", 0, "name"), "server")
	if n := len(l.get(200, "commands")["rows"].([]any)); n < 100 {
		t.Errorf("%d commands", n)
	}
	if n := len(l.get(200, "config")["rows"].([]any)); n < 20 {
		t.Errorf("%d settings", n)
	}
	for _, line := range []string{`["SUBSCRIBE","a"]`, `["NSUB","a"]`, `["PSUBSCRIBE","a*"]`, `["QPOP","q","BLOCK","0"]`,
		`["XFETCH","s","next","BLOCK","0"]`, `["CLIENT","REPLY","OFF"]`} {
		l.expect(line, at(l.post(400, "console", `{"args":`+line+`}`), "error", "code"), "NOCONSOLE")
	}
	for _, line := range []string{`["QPOP","block"]`, `["QMPOP","1","block"]`, `["XCONSUME","s","block","block"]`} { // names, not options
		l.post(200, "console", `{"args":`+line+`}`)
	}
	l.expect("an error is a reply", at(l.post(200, "console", `{"args":["NOTHING"]}`), "reply", "t"), "error")
	l.expect("RESP2", at(l.post(200, "console", `{"args":["HELLO","2"]}`), "reply", "t"), "array")
	l.expect("QUIT", at(l.post(200, "console", `{"args":["QUIT"]}`), "reply", "v"), "OK")
}

func TestDashboardWithAPassword(t *testing.T) {
	l := startLive(t, func(o *options) { o.password = "right" })
	l.get(401, "counts")
	l.post(401, "login", `{"user":"default","password":"wrong"}`)
	response, err := http.Post(l.base+"/api/login", "application/json", strings.NewReader(`{"password":"right"}`))
	if err != nil || response.StatusCode != 200 || len(response.Cookies()) != 1 {
		t.Fatalf("%v %v", response, err)
	}
	request, _ := http.NewRequest("POST", l.base+"/api/console", strings.NewReader(`{"args":["CONFIG","SET","requirepass","new"]}`))
	request.Header.Set("Content-Type", "application/json")
	request.AddCookie(response.Cookies()[0])
	for _, want := range []int{200, 401} { // the second time the password has changed
		request.Body = io.NopCloser(strings.NewReader(`{"args":["CONFIG","SET","requirepass","new"]}`))
		request.ContentLength = -1
		answer, err := http.DefaultClient.Do(request)
		if err != nil || answer.StatusCode != want {
			t.Fatalf("%v %v, want %d", answer, err, want)
		}
		answer.Body.Close()
	}
	began := time.Now()
	for range 20 {
		l.expect("a guess", at(l.post(401, "login", `{"password":"guess"}`), "error", "code"), "WRONGPASS")
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("twenty wrong passwords were tried in %v", took)
	}
	l.post(200, "login", `{"password":"new"}`)
}

func TestDashboardReadOnlyConsole(t *testing.T) {
	l := startLive(t, func(o *options) { o.dashboard.readOnly = true })
	for line, want := range map[string]int{
		`["GET","a"]`: 200, `["NGET","a"]`: 200, `["QLEN","q"]`: 200, `["INFO"]`: 200, `["config","get","*"]`: 200, `["PING"]`: 200,
		`["COMMAND","COUNT"]`: 200,
		`["SET","a","b"]`:     403, `["QPUSH","q","x"]`: 403, `["QPOP","q"]`: 403, `["CONFIG","SET","timeout","1"]`: 403, `["CONFIG"]`: 403,
		`["FLUSHALL"]`:        403,
		`["PUBLISH","a","b"]`: 403, `["NPUB","a","b"]`: 403, `["CLIENT","KILL","ID","1"]`: 403, `["SHUTDOWN"]`: 403, `["SLOWLOG","RESET"]`: 403,
		`["NOTHING"]`:               403,
		`["CLIENT","PAUSE","1000"]`: 403, `["NRDEL","#"]`: 403, `["GETDEL","a"]`: 403, `["GETEX","a","PERSIST"]`: 403,
		`["NLIMIT","a","1","1s"]`: 403,
	} {
		l.post(want, "console", `{"args":`+line+`}`)
	}
}

func TestTailOfCommandsIsOthersOnly(t *testing.T) {
	l := startLive(t, nil)
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(l.base, "http", "ws", 1)+"/api/ws?v=1", http.Header{"Origin": {l.base}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"t":"sub","id":1,"topic":"tail:commands","q":{}}`)); err != nil {
		t.Fatal(err)
	}
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(context.Background(), "other")
	if err != nil {
		t.Fatal(err)
	}
	defer client.conn.Close()
	type frame struct {
		T     string
		Items []struct{ Args []string }
	}
	frames := make(chan frame)
	go func() {
		defer close(frames)
		for {
			var f frame
			if conn.ReadJSON(&f) != nil {
				return
			}
			select {
			case frames <- f:
			case <-t.Context().Done():
				return
			}
		}
	}()
	// The commands are sent again and again: nothing tells when the subscription has begun.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.After(10 * time.Second)
	for {
		select {
		case <-late:
			t.Fatal("the tail does not show the other client's commands")
		case <-again.C:
			l.post(200, "console", `{"args":["GET","ours"]}`)
			if err := client.all([]string{"GET", "theirs"}, []string{"CONFIG", "SET", "requirepass", ""}); err != nil {
				t.Fatal(err)
			}
		case f, open := <-frames:
			if !open {
				t.Fatal("the feed has ended")
			}
			text := fmt.Sprint(f.Items)
			if strings.Contains(text, "ours") || strings.Contains(text, "requirepass") {
				t.Fatalf("the tail shows %s", text)
			}
			if strings.Contains(text, "GET theirs") && strings.Contains(text, "CONFIG (redacted)") {
				return
			}
		}
	}
}

func TestDemoFillsEveryBroker(t *testing.T) {
	l := startLive(t, nil)
	d := &demo{address: l.s.door.Addr().String(), seed: 1, pause: 5 * time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := d.fill(ctx); err != nil {
		t.Fatal(err)
	}
	counts := l.get(200, "counts")
	for _, name := range []string{"keys", "queues", "jobs ready", "dead letters", "streams", "retained messages"} {
		if counts[name].(float64) == 0 {
			t.Errorf("no %s after the demo has filled", name)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	acked := func() float64 {
		return l.get(200, "queue", "name", "mails")["counters"].(map[string]any)["acked"].(float64)
	}
	for deadline := time.Now().Add(20 * time.Second); acked() == 0 || l.get(200,
		"counts")["subscriptions"].(float64) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody acknowledges mails, or nobody subscribes")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := (&demo{address: "127.0.0.1:1"}).fill(context.Background()); err == nil {
		t.Error("a server that is not there was filled")
	}
}

var _ ui.Source = (*source)(nil)
