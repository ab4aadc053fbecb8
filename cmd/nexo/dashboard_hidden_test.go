package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nexobroker/nexo/ui"
)

// TestHiddenPayloadsCannotBeFound: no answer holds a payload, and none tells whether a payload holds a text. A search that does would
// spell it out, letter by letter.
func TestHiddenPayloadsCannotBeFound(t *testing.T) {
	l := startLive(t, func(o *options) { o.dashboard.hidePayloads = true })
	const secret = "4111-1111-1111-1111"
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer client.conn.Close()
	do := func(line ...string) ui.Reply {
		t.Helper()
		reply, err := client.do(line...)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return reply
	}
	tail, _, err := websocket.DefaultDialer.Dial(strings.Replace(l.base, "http", "ws", 1)+"/api/ws?v=1", http.Header{"Origin": {l.base}})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	for i, topic := range []string{"tail:commands", "tail:pubsub", "slowlog"} {
		if err := tail.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"t":"sub","id":%d,"topic":%q,"q":{}}`, i+1, topic)); err != nil {
			t.Fatal(err)
		}
	}
	do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	for deadline := time.Now().Add(10 * time.Second); ; { // the tails have begun once a message is seen
		do("NPUB", "begun", "x")
		_, text, err := tail.ReadMessage()
		if err != nil || time.Now().After(deadline) {
			t.Fatal("the tails do not begin: ", err)
		}
		if strings.Contains(string(text), `"topic":"begun"`) {
			break
		}
	}
	do("SET", "card", secret)
	do("MSET", "other", secret, "third", secret)
	do("QCREATE", "pay", "MAXATTEMPTS", "1")
	do("QPUSH", "pay", secret)
	handle := do("QPOP", "pay").List()[0].List()[0].Text()
	do("QNACK", "pay", handle, "REASON", "declined")
	do("QPUSH", "pay", secret)
	do("QPEEK", "pay", "MATCH", secret)
	do("XCREATE", "payments", "INTEGRITY", "CHAIN")
	do("XAPPEND", "payments", secret)
	do("XGCREATE", "payments", "g", "START", "first")
	do("XCONSUME", "payments", "g", "me")
	do("XNACK", "payments", "g", "FATAL", "IDS", "1", "1")
	do("NPUB", "cards/1", secret, "RETAIN")
	do("ECHO", secret)
	do("PING", secret)
	do("KEYS", "x*")
	do("NPUB", "ended", "x")

	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	leaks := func(text string) bool { return strings.Contains(text, secret) || strings.Contains(text, encoded) }
	for {
		_, text, err := tail.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if leaks(string(text)) {
			t.Errorf("a frame tells: %s", text)
		}
		if strings.Contains(string(text), `"topic":"ended"`) {
			break
		}
	}
	seen := map[string]string{}
	for _, query := range []string{
		"counts", "queue?name=pay", "jobs?queue=pay&state=ready", "jobs?queue=pay&state=dead", "job?queue=pay&id=1&full=1", "job?queue=pay&id=2",
		"stream?name=payments",
		"entries?stream=payments", "entry?stream=payments&offset=1&full=1", "parked?stream=payments&group=g", "keys?match=*", "tree",
		"key?key=card&full=1", "topics",
		"wildcards", "subscribers?topic=cards/1", "retained", "retained?filter=cards/1&count=1&full=1", "clients", "slowlog", "config",
		"commands", "info", "snapshot?topic=slowlog",
		"snapshot?topic=queues", "snapshot?topic=stats",
	} {
		response, err := http.Get(l.base + "/api/" + query)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 200 || leaks(string(text)) {
			t.Errorf("%s: %d %v %s", query, response.StatusCode, err, text)
		}
		seen[query] = string(text)
	}
	if !strings.Contains(seen["jobs?queue=pay&state=dead"], `"size":19`) || !strings.Contains(seen["slowlog"], `["KEYS","x*"]`) {
		t.Errorf("the rows are not there: %s %s", seen["jobs?queue=pay&state=dead"], seen["slowlog"])
	}

	// The same question with a right and a wrong guess has the same answer.
	for _, guess := range []string{"4111", "9999"} {
		for _, state := range []string{"ready", "delayed", "inflight", "dead"} {
			l.expect("search "+state, at(l.get(403, "jobs", "queue", "pay", "state", state, "match", guess), "error", "code"), "HIDDEN")
			for _, dry := range []bool{true, false} {
				body := fmt.Sprintf(`{"queue":"pay","state":%q,"action":"delete","match":%q,"dryRun":%v}`, state, guess, dry)
				l.expect("bulk "+state, at(l.post(403, "bulk", body), "error", "code"), "HIDDEN")
			}
		}
		whole := base64.StdEncoding.EncodeToString([]byte(guess + "-1111-1111-1111"))
		l.expect("compare and set", at(l.post(403, "key/set", `{"key":"card","b64":"","ifEquals":"`+whole+`"}`), "error", "code"), "HIDDEN")
		for _, line := range []string{`["QPEEK","pay","MATCH","` + guess + `"]`, `["GET","card"]`, `["NSET","card","x","IFEQ","` + guess + `"]`} {
			l.expect("console", at(l.post(403, "console", `{"args":`+line+`}`), "error", "code"), "HIDDEN")
		}
	}
	l.expect("search in reasons", at(l.get(200, "jobs", "queue", "pay", "state", "dead", "reason", "decl"), "rows", 0, "reason"), "declined")
	l.expect("act by reason", at(l.post(200, "bulk", `{"queue":"pay","state":"dead","action":"replay","reason":"4111","dryRun":true}`),
		"count"), "0")
	verified := l.post(200, "stream/verify", `{"name":"payments"}`)
	l.expect("the hash of the entries", at(verified, "head"), "")
	l.expect("the queue as a whole", at(l.post(200, "bulk", `{"queue":"pay","state":"dead","action":"replay","match":"","dryRun":true}`),
		"count"), "1")
	l.expect("the key is untouched", do("GET", "card").Text(), secret)
}
