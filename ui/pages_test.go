package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPagesOfABuild(t *testing.T) {
	script := strings.Repeat("export const a = 1\n", 100)
	built, err := readPages(fstest.MapFS{
		"assets/placeholder.html":              {Data: []byte("<head></head>placeholder")},
		"assets/dist/index.html":               {Data: []byte("<html><head><title>Nexo</title></head></html>")},
		"assets/dist/assets/index-Dk3f9a_x.js": {Data: []byte(script)},
		"assets/dist/icon.svg":                 {Data: []byte("<svg/>")},
	})
	if err != nil || built.placeholder {
		t.Fatalf("placeholder %v, %v", built, err)
	}
	get := func(path string, headers ...string) *http.Response {
		r := httptest.NewRequest("GET", path, nil)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		built.serve(w, r, path, "/a/b")
		return w.Result()
	}
	text := func(r *http.Response) string {
		content := make([]byte, 1<<16)
		n, _ := r.Body.Read(content)
		return string(content[:n])
	}
	for _, path := range []string{"/", "/queues/mails"} {
		r := get(path, "Accept", "text/html,*/*")
		if body := text(r); r.StatusCode != 200 || !strings.Contains(body, `<head><base href="/a/b/"><title>`) || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v %s", path, r.StatusCode, r.Header, body)
		}
	}
	if r := get("/queues/mails", "Accept", "application/json"); r.StatusCode != 404 {
		t.Errorf("an address for a script: %d", r.StatusCode)
	}
	if r := get("/assets/index-00000000.js", "Accept", "text/html"); r.StatusCode != 404 {
		t.Errorf("a missing asset: %d", r.StatusCode)
	}
	r := get("/assets/index-Dk3f9a_x.js", "Accept-Encoding", "gzip")
	if r.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("an asset: %v", r.Header)
	}
	if r := get("/assets/index-Dk3f9a_x.js"); r.Header.Get("Content-Encoding") != "" || text(r) != script {
		t.Errorf("an asset without gzip: %v", r.Header)
	}
	if r := get("/icon.svg"); r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("a file without a hash: %v", r.Header)
	}
	if _, err := readPages(fstest.MapFS{"assets/dist/index.html": {Data: []byte("<html></html>")}}); err == nil {
		t.Error("an index without <head> was taken")
	}
	if _, err := readPages(fstest.MapFS{}); err == nil {
		t.Error("no pages at all were taken")
	}
}

func TestPlaceholderNeedsNoBuild(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"placeholder.html", "placeholder.js", "placeholder.css"} {
		content, err := embedded.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files["assets/"+name] = &fstest.MapFile{Data: content}
	}
	p, err := readPages(files)
	if err != nil || !p.placeholder || len(p.files) != 2 {
		t.Fatalf("%v %v", p, err)
	}
	for _, reference := range []string{`href="placeholder.css"`, `src="placeholder.js"`} {
		if !strings.Contains(p.index, reference) {
			t.Errorf("the placeholder lacks %s", reference)
		}
	}
	if strings.Contains(p.index, "<script>") || strings.Contains(p.index, "style=") {
		t.Error("the placeholder holds what the policy forbids")
	}
}

func TestBasePath(t *testing.T) {
	ts := newTestServer(t, Options{BasePath: "/tools/nexo/", TrustForwardedPrefix: true})
	for _, path := range []string{"/livez", "/tools/nexo/livez", "/api/session", "/tools/nexo/api/session", "/", "/tools/nexo/"} {
		if status, _, body := ts.request("GET", path, "", "Accept: text/html"); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	ts.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if status, header, _ := ts.request("GET", "/tools/nexo", ""); status != http.StatusPermanentRedirect || header.Get("Location") != "/tools/nexo/" {
		t.Errorf("without the slash: %d %s", status, header.Get("Location"))
	}
	if status, _, _ := ts.request("GET", "/tools/nexolivez", ""); status != 404 {
		t.Errorf("a path that only begins like the prefix: %d", status)
	}
	for forwarded, want := range map[string]string{
		"": "/tools/nexo/", "/proxy": "/proxy/", "/proxy/": "/proxy/", `/"><script>`: "/tools/nexo/", "//evil.example.com": "/tools/nexo/", "/a/../b": "/tools/nexo/",
	} {
		_, _, body := ts.request("GET", "/", "", "Accept: text/html", "X-Forwarded-Prefix: "+forwarded)
		if !strings.Contains(body, `<base href="`+want+`">`) {
			t.Errorf("forwarded %q: %s", forwarded, body[:min(len(body), 200)])
		}
	}
	for _, wrong := range []string{"nexo", "/a b", "/a//b", "/..", `/"`, "//x"} {
		if _, err := New(Options{BasePath: wrong}, &fakeSource{}); err == nil {
			t.Errorf("base path %q was taken", wrong)
		}
	}
	plain := newTestServer(t, Options{})
	if _, _, body := plain.request("GET", "/", "", "Accept: text/html", "X-Forwarded-Prefix: /evil"); !strings.Contains(body, `<base href="/">`) {
		t.Errorf("an untrusted prefix was taken: %s", body)
	}
}
