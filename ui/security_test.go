package ui

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHostIsCheckedOnEveryRequest(t *testing.T) {
	ts := newTestServer(t, Options{Hosts: []string{"nexo.example.com", "other.example.com:8443"}})
	hosts := map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "127.0.0.1": true, "127.0.0.1:1": true, "[::1]:8080": true, "[::1]": true, "127.8.8.8": true,
		"nexo.example.com": true, "nexo.example.com:443": true, "other.example.com:8443": true,
		"other.example.com": false, "other.example.com:1": false, "evil.example.com": false, "localhost.evil.example.com": false, "10.1.2.3": false,
		"127.0.0.1.nip.io": false, "0.0.0.0:8080": false, "localhost:port": false, "localhost:99999": false, "a:b:c": false, "[::1": false,
	}
	for host, allowed := range hosts {
		for _, path := range []string{"/", "/api/session", "/api/counts", "/api/ws?v=1", "/assets/x.js", "/livezz", "/metrics/x", "/x/livez"} {
			status, _, body := ts.request("GET", path, "", "Host: "+host)
			if refused := status == http.StatusForbidden && code(body) == "HOST"; refused == allowed {
				t.Errorf("%s with Host %s: %d %s", path, host, status, body)
			}
		}
	}
}

func TestUpgradeNeedsTheVeryOrigin(t *testing.T) {
	ts := newTestServer(t, Options{Hosts: []string{"nexo.example.com"}})
	own := ts.http.URL
	port := own[strings.LastIndexByte(own, ':'):]
	for _, c := range []struct {
		origin []string
		status int
	}{
		{[]string{own}, 101},
		{[]string{"https" + strings.TrimPrefix(own, "http")}, 101},
		{[]string{"https://nexo.example.com"}, 101},
		{nil, 403},
		{[]string{"null"}, 403},
		{[]string{""}, 403},
		{[]string{"http://evil.example.com"}, 403},
		{[]string{"http://evil.example.com" + port}, 403},
		{[]string{"http://127.0.0.1:1"}, 403},
		{[]string{"http://localhost" + port}, 403}, // not the Host that was asked for
		{[]string{own + "/path"}, 403},
		{[]string{"http://user@" + strings.TrimPrefix(own, "http://")}, 403},
		{[]string{"file://" + strings.TrimPrefix(own, "http://")}, 403},
		{[]string{own, own}, 403},
	} {
		headers := http.Header{}
		if c.origin != nil {
			headers["Origin"] = c.origin
		}
		if _, response := ts.open(headers); response.StatusCode != c.status {
			t.Errorf("origin %q: %d, want %d", c.origin, response.StatusCode, c.status)
		}
	}
}

func TestChangesFromOtherSitesAreRefused(t *testing.T) {
	ts := newTestServer(t, Options{})
	own := ts.http.URL
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{nil, 200}, // a script: browsers always tell where a POST comes from
		{[]string{"Origin: " + own}, 200},
		{[]string{"Sec-Fetch-Site: same-origin"}, 200},
		{[]string{"Sec-Fetch-Site: cross-site"}, 403},
		{[]string{"Sec-Fetch-Site: same-site"}, 403},
		{[]string{"Origin: http://evil.example.com"}, 403},
		{[]string{"Origin: null"}, 403},
		{[]string{"Content-Type: text/plain"}, 415},
		{[]string{"Content-Type: application/x-www-form-urlencoded"}, 415},
	} {
		ts.source.ran = nil
		status, _, body := ts.request("POST", "/api/queue/drop", `{"name":"q"}`, c.headers...)
		if status != c.status || (status == 200) != (len(ts.source.ran) == 1) {
			t.Errorf("%q: %d %s, ran %q", c.headers, status, body, ts.source.ran)
		}
	}
}

// Machines ask for health and metrics under names of their own; a page that has its name resolve to this machine reads no metrics.
func TestHealthAndMetricsAnswerToAnyHost(t *testing.T) {
	ts := newTestServer(t, Options{BasePath: "/nexo"})
	get := func(path string, headers ...string) int {
		status, _, _ := ts.request("GET", path, "", headers...)
		return status
	}
	for _, host := range []string{"nexo:8080", "nexo.default.svc.cluster.local", "10.1.2.3:8080", "nexo_1"} {
		for _, path := range []string{"/livez", "/readyz", "/metrics", "/nexo/livez", "/nexo/metrics"} {
			if status := get(path, "Host: "+host); status != 200 {
				t.Errorf("%s with Host %s: %d", path, host, status)
			}
		}
	}
	browsers := []string{"Accept-Language: de", "Sec-Fetch-Site: same-origin", "Referer: http://evil.example.com/", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}
	for _, header := range browsers {
		if status := get("/metrics", "Host: evil.example.com", header); status != 403 {
			t.Errorf("metrics for a browser with %s: %d", header, status)
		}
		if status := get("/metrics", header); status != 200 {
			t.Errorf("metrics under their own name with %s: %d", header, status)
		}
		if status := get("/livez", "Host: evil.example.com", header); status != 200 {
			t.Errorf("health for a browser with %s: %d", header, status)
		}
	}
	ts.source.password = "right"
	if status := get("/metrics", "Host: nexo:8080", browsers[0], "Authorization: Basic ZGVmYXVsdDpyaWdodA=="); status != 200 {
		t.Errorf("metrics with the password: %d", status)
	}
}

// Every route that changes something, with the body that it takes.
var changeBodies = map[string]string{
	"queue/create": `{"name":"q"}`, "queue/drop": `{"name":"q"}`, "queue/config": `{"name":"q","set":{"lease":"1"}}`, "queue/pause": `{"name":"q","side":"in"}`,
	"queue/resume": `{"name":"q"}`, "queue/purge": `{"name":"q","states":["ready"]}`, "queue/push": `{"name":"q","payload":"x"}`,
	"jobs/act": `{"queue":"q","action":"delete","ids":["1"]}`, "bulk": `{"queue":"q","state":"dead","action":"replay"}`, "task/cancel": `{"id":"t1"}`,
	"stream/create": `{"name":"s"}`, "stream/drop": `{"name":"s"}`, "stream/config": `{"name":"s","set":{"maxlen":"1"}}`, "stream/append": `{"name":"s","payload":"x"}`,
	"group/create": `{"stream":"s","name":"g"}`, "group/drop": `{"stream":"s","name":"g"}`, "group/seek": `{"stream":"s","name":"g","to":"first"}`,
	"group/unpark": `{"stream":"s","name":"g","offsets":null}`, "key/set": `{"key":"k","b64":"eA=="}`, "key/expire": `{"key":"k","ttl":1}`,
	"key/delete": `{"keys":["k"]}`, "key/delete-prefix": `{"prefix":"k"}`, "retained/delete": `{"filter":"a"}`, "publish": `{"topic":"a","payload":"x"}`,
	"client/kill": `{"id":"1"}`, "slowlog/reset": `{}`, "config": `{"name":"timeout","value":"1"}`, "console": `{"args":["SET","a","b"]}`,
}

func TestReadOnlyRefusesEveryChange(t *testing.T) {
	ts := newTestServer(t, Options{ReadOnly: true})
	for name := range ts.ui.changes {
		body, listed := changeBodies[name]
		if name == "stream/verify" {
			continue // reads
		}
		if !listed {
			t.Errorf("%s is not in the test's list", name)
		}
		if status, _, answer := ts.request("POST", "/api/"+name, body); status != 403 || code(answer) != "READONLY" {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if len(ts.source.ran) != 0 {
		t.Errorf("commands were run: %q", ts.source.ran)
	}
	if status, _, body := ts.request("POST", "/api/console", `{"args":["GET","a"]}`); status != 200 {
		t.Errorf("a command that reads: %d %s", status, body)
	}
}

func TestGetChangesNothing(t *testing.T) {
	ts := newTestServer(t, Options{})
	for name := range ts.ui.changes {
		if _, reads := ts.ui.reads[name]; reads {
			continue
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			if status, _, body := ts.request(method, "/api/"+name+"?name=q", ""); status != 405 {
				t.Errorf("%s %s: %d %s", method, name, status, body)
			}
		}
	}
	if len(ts.source.ran) != 0 {
		t.Errorf("commands were run: %q", ts.source.ran)
	}
}

func TestPasswordGuardsEverything(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.password = "right"
	for name := range ts.ui.reads {
		if status, _, body := ts.request("GET", "/api/"+name, ""); status != 401 || code(body) != "NOAUTH" {
			t.Errorf("GET %s: %d %s", name, status, body)
		}
	}
	for name, body := range changeBodies {
		if status, _, answer := ts.request("POST", "/api/"+name, body); status != 401 {
			t.Errorf("POST %s: %d %s", name, status, answer)
		}
	}
	if status, _, _ := ts.request("GET", "/metrics", ""); status != 401 {
		t.Errorf("metrics: %d", status)
	}
	if _, response := ts.open(nil); response.StatusCode != 401 {
		t.Errorf("socket: %d", response.StatusCode)
	}
	if _, _, body := ts.request("GET", "/api/session", ""); !strings.Contains(body, `"login":true`) || strings.Contains(body, "0.1.0") {
		t.Errorf("session before the login: %s", body)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, _, body := ts.request("GET", path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, body := ts.request("GET", "/api/counts", "", "Authorization: Basic ZGVmYXVsdDpyaWdodA=="); status != 200 {
		t.Errorf("basic: %d %s", status, body)
	}
	if status, _, _ := ts.request("GET", "/api/counts", "", "Authorization: Basic ZGVmYXVsdDp3cm9uZw=="); status != 401 {
		t.Errorf("basic with the wrong password: %d", status)
	}
}

func TestLogin(t *testing.T) {
	ts := newTestServer(t, Options{BasePath: "/nexo"})
	ts.source.password = "right"
	if status, header, body := ts.request("POST", "/api/login", `{"user":"default","password":"wrong"}`); status != 401 || code(body) != "WRONGPASS" || header.Get("Set-Cookie") != "" {
		t.Errorf("wrong: %d %s", status, body)
	}
	if status, header, body := ts.request("POST", "/api/login", `{"user":"default","password":"hurry"}`); status != 429 || code(body) != "WAIT" || header.Get("Retry-After") != "1" {
		t.Errorf("hurry: %d %s %s", status, body, header.Get("Retry-After"))
	}
	status, header, body := ts.request("POST", "/api/login", `{"user":"default","password":"right"}`)
	cookie := header.Get("Set-Cookie")
	if status != 200 || !strings.HasSuffix(cookie, "; Path=/nexo/; Max-Age=43200; HttpOnly; SameSite=Strict") {
		t.Fatalf("right: %d %s %q", status, body, cookie)
	}
	sent := "Cookie: " + strings.Split(cookie, ";")[0]
	expect := func(what string, want int, headers ...string) {
		t.Helper()
		if status, _, body := ts.request("GET", "/api/counts", "", headers...); status != want {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	expect("with the cookie", 200, sent)
	expect("with another cookie", 401, "Cookie: "+cookieName+"="+token())
	ts.source.locked(func() { ts.source.password = "new" })
	expect("after the password changed", 401, sent)
	ts.source.locked(func() { ts.source.password = "right" })
	expect("after it changed back", 200, sent)
	if status, header, _ := ts.request("POST", "/api/logout", `{}`, sent); status != 200 || !strings.Contains(header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %q", status, header.Get("Set-Cookie"))
	}
	expect("after the logout", 401, sent)

	_, header, _ = ts.request("POST", "/api/login", `{"password":"right"}`, "X-Forwarded-Proto: https")
	if cookie := header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") {
		t.Errorf("behind TLS: %q", cookie)
	} else {
		ts.advance(sessionLength + time.Second)
		expect("after twelve hours", 401, "Cookie: "+strings.Split(cookie, ";")[0])
	}
}

// A connection that gave a wrong password waits behind those that did not, and a password that was not checked is not called wrong.
func TestWrongPasswordsAreRememberedByConnection(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.password = "right"
	basic := func(password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("default:"+password))
	}
	for i, c := range []struct {
		path, password string
		status         int
		code           string
	}{
		{"/api/counts", "wrong", 401, "WRONGPASS"}, {"/metrics", "wrong", 401, "WRONGPASS"}, {"/metrics", "hurry", 429, "WAIT"}, {"/api/counts", "hurry", 429, "WAIT"},
		{"/metrics", "right", 200, ""}, {"/api/counts", "right", 200, ""},
	} {
		if status, _, body := ts.request("GET", c.path, "", basic(c.password)); status != c.status || code(body) != c.code {
			t.Errorf("%d %s with %s: %d %s", i, c.path, c.password, status, body)
		}
	}
	if want := []bool{false, true, true, true, true, false}; !slices.Equal(ts.source.logins, want) {
		t.Errorf("failed before: %v, want %v", ts.source.logins, want)
	}
}

// A socket is not asked for its password again: a check would take a place in the line of logins, and time.
func TestSocketKeepsItsLogin(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.password = "right"
	r := httptest.NewRequest("GET", "/api/ws", nil)
	r.SetBasicAuth("default", "right")
	byPassword := ts.ui.staysLoggedIn(r)
	r = httptest.NewRequest("GET", "/api/ws", nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: ts.ui.sessions.add(ts.source.Credentials(), ts.now)})
	bySession := ts.ui.staysLoggedIn(r)
	if !byPassword() || !bySession() {
		t.Error("a login ended by itself")
	}
	ts.advance(sessionLength)
	if !byPassword() || bySession() {
		t.Error("a session outlived its time, or ended a password")
	}
	ts.source.locked(func() { ts.source.password = "new" })
	if byPassword() || bySession() || len(ts.source.logins) != 0 {
		t.Error("a login outlived its password, or a password was checked")
	}
}

func TestLoginsAreLimited(t *testing.T) {
	var s sessions
	now := time.UnixMilli(1700000000000)
	first := s.add("p", now)
	for i := range sessionsMax {
		s.add("p", now.Add(time.Duration(i+1)*time.Second))
	}
	if len(s.byName) != sessionsMax || s.valid(first, "p", now) {
		t.Errorf("%d logins, the first is valid: %v", len(s.byName), s.valid(first, "p", now))
	}
}

func TestProtectedModeKeepsOtherMachinesOut(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.denied = true
	for _, path := range []string{"/", "/api/session", "/livez", "/metrics"} {
		if status, _, body := ts.request("GET", path, ""); status != 403 || code(body) != "DENIED" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	ts.source.password = "right"
	if status, _, _ := ts.request("GET", "/livez", ""); status != 200 {
		t.Errorf("with a password: %d", status)
	}
}

func TestHeadersAreStrict(t *testing.T) {
	ts := newTestServer(t, Options{})
	for _, path := range []string{"/", "/livez", "/api/session", "/api/nothing", "/placeholder.js"} {
		_, header, _ := ts.request("GET", path, "", "Accept: text/html")
		policy := header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %q", path, policy)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Frame-Options") != "DENY" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, header)
		}
		if strings.HasPrefix(path, "/api/") && header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be stored: %q", path, header.Get("Cache-Control"))
		}
	}
}

func TestHealth(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.readyErr = errors.New("DISKFULL no space left")
	if status, _, body := ts.request("GET", "/readyz", ""); status != 503 || body != "DISKFULL no space left\n" {
		t.Errorf("readyz: %d %q", status, body)
	}
	if status, _, _ := ts.request("GET", "/livez", ""); status != 200 {
		t.Errorf("livez: %d", status)
	}
	if _, _, body := ts.request("GET", "/metrics", ""); !strings.Contains(body, "\nnexo_ready 0\n") {
		t.Errorf("metrics: %s", body)
	}
	if status, _, _ := ts.request("POST", "/livez", "{}"); status != 405 {
		t.Errorf("POST livez: %d", status)
	}
}

func TestBodies(t *testing.T) {
	ts := newTestServer(t, Options{})
	for _, c := range []struct{ path, body, code string }{
		{"queue/drop", ``, "BADJSON"}, {"queue/drop", `[]`, "BADJSON"}, {"queue/drop", `{"name":""}`, "BADBODY"}, {"queue/drop", `{"name":7}`, "BADBODY"},
		{"queue/pause", `{"name":"q","side":"up"}`, "BADBODY"}, {"jobs/act", `{"queue":"q","action":"delete","ids":[]}`, "BADBODY"},
		{"queue/push", `{"name":"q"}`, "BADBODY"}, {"queue/push", `{"name":"q","b64":"!"}`, "BADBODY"}, {"queue/config", `{"name":"q","set":{}}`, "BADBODY"},
		{"group/unpark", `{"stream":"s","name":"g","offsets":[]}`, "BADBODY"}, {"group/unpark", `{"stream":"s","name":"g","offsets":["1","DROP"]}`, "BADBODY"},
		{"jobs/act", `{"queue":"q","action":"replay","ids":["ALL"]}`, "BADBODY"}, {"jobs/act", `{"queue":"q","action":"replay","ids":["1","TO","other"]}`, "BADBODY"},
		{"key/set", `{"key":"k"}`, "BADBODY"}, {"key/set", `{"key":"k","b64":"","ttl":-7}`, "BADBODY"},
		{"key/expire", `{"key":"k","ttl":0}`, "BADBODY"}, {"key/delete", `{"keys":["k"],"db":16}`, "BADBODY"}, {"console", `{"args":[]}`, "BADBODY"},
		{"console", `{"args":["SUBSCRIBE","a"]}`, "NOCONSOLE"}, {"console", `{"args":["QPOP","q","BLOCK","0"]}`, "NOCONSOLE"},
		{"bulk", `{"queue":"q","state":"ready","action":"replay"}`, "BADBODY"}, {"task/cancel", `{"id":"t1"}`, "NOTASK"}, {"nothing", `{}`, "NOROUTE"},
	} {
		if status, _, answer := ts.request("POST", "/api/"+c.path, c.body); code(answer) != c.code || status < 400 {
			t.Errorf("%s %s: %d %s, want %s", c.path, c.body, status, answer, c.code)
		}
	}
	if len(ts.source.ran) != 0 {
		t.Errorf("commands were run: %q", ts.source.ran)
	}
}

// A name cannot add a word to its command.
func TestNamesAreSingleArguments(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.request("POST", "/api/queue/push", `{"name":"q PRIORITY 9\r\n*1","payload":"x y","priority":3,"delay":5,"dedup":"d"}`)
	ts.request("POST", "/api/key/set", `{"db":3,"key":"k","b64":"AAE=","ifEquals":"Ag==","ttl":null}`)
	ts.request("POST", "/api/publish", `{"topic":"a/b","payload":"","retain":true,"ttl":7}`)
	want := []string{"0 QPUSH q PRIORITY 9\r\n*1 x y PRIORITY 3 DELAY 5 DEDUP d", "3 NSET k \x00\x01 IFEQ \x02 KEEPTTL", "0 NPUB a/b  RETAIN PX 7"}
	if strings.Join(ts.source.ran, "|") != strings.Join(want, "|") {
		t.Errorf("ran %q", ts.source.ran)
	}
	ts.source.reply = Reply{Kind: Null}
	if status, _, body := ts.request("POST", "/api/key/set", `{"key":"k","b64":"","ifEquals":"Ag=="}`); status != 409 || code(body) != "CHANGED" {
		t.Errorf("a value that changed: %d %s", status, body)
	}
	ts.source.reply = Reply{Kind: Failure, Value: "NOQUEUE no such queue 'q'"}
	if status, _, body := ts.request("POST", "/api/queue/resume", `{"name":"q"}`); status != 404 || code(body) != "NOQUEUE" {
		t.Errorf("an error reply: %d %s", status, body)
	}
}

// TestAPINamesEveryCode: who handles an error finds its code in API.md.
func TestAPINamesEveryCode(t *testing.T) {
	api, err := os.ReadFile("API.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`problem\(|NotFound\(|case "[A-Z]`)
	code := regexp.MustCompile(`"([A-Z]{3,})"`)
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, one := range bytes.Split(text, []byte("\n")) {
			if !line.Match(one) {
				continue
			}
			for _, match := range code.FindAllSubmatch(one, -1) {
				if !bytes.Contains(api, match[1]) {
					t.Errorf("%s: API.md does not name %s", name, match[1])
				}
			}
		}
	}
}

// The log tells who changed what, and no payload, value or password.
func TestChangesAreLoggedWithWhatTheyWereAbout(t *testing.T) {
	var text bytes.Buffer
	ts := newTestServer(t, Options{Logger: slog.New(slog.NewTextHandler(&text, nil))})
	ts.source.reply = Reply{Kind: Integer, Value: int64(2)}
	for _, c := range []struct{ path, body, want string }{
		{"jobs/act", `{"queue":"mail","action":"delete","ids":["1","2"]}`, "change=jobs/act client=* failed=false queue=mail action=delete ids=2 count=2"},
		{"queue/config", `{"name":"mail","set":{"lease":"secret","maxlen":"secret"}}`, "change=queue/config client=* failed=false name=mail set=lease,maxlen"},
		{"key/set", `{"db":3,"key":"card","b64":"c2VjcmV0","ifEquals":"c2VjcmV0"}`, "change=key/set client=* failed=false db=3 key=card"},
		{"queue/push", `{"name":"mail","payload":"secret"}`, "change=queue/push client=* failed=false name=mail"},
		{"config", `{"name":"requirepass","value":"secret"}`, "change=config client=* failed=false name=requirepass"},
		{"console", `{"args":["AUTH","secret"]}`, "change=console client=* failed=false command=AUTH"},
		{"queue/drop", `{}`, "change=queue/drop client=* failed=true"},
	} {
		text.Reset()
		ts.request("POST", "/api/"+c.path, c.body)
		_, line, _ := strings.Cut(strings.TrimSpace(text.String()), "msg=dashboard ")
		line = regexp.MustCompile(`client=\S+`).ReplaceAllString(line, "client=*")
		if line != c.want {
			t.Errorf("%s %s is logged as %q, want %q", c.path, c.body, line, c.want)
		}
	}
}
