package main

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreForTheLoopback(t *testing.T) {
	for address, fine := range map[string]bool{"127.0.0.1:0": true, "[::1]:6060": true, "localhost:6060": true, "0.0.0.0:6060": false,
		":6060":         false,
		"10.0.0.1:6060": false, "example.com:6060": false, "127.0.0.1": false} {
		if err := checkProfileAddress(address); (err == nil) != fine {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := configured(t, "pprof = \":6060\""); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("an address for everybody: %v", err)
	}
	at, closer, err := openProfiles("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{at.String(): http.StatusOK, "evil.example:80": http.StatusForbidden} {
		request, err := http.NewRequest(http.MethodGet, "http://"+at.String()+"/debug/pprof/heap?debug=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != want || strings.Contains(string(body), "heap profile") != (want == http.StatusOK) {
			t.Errorf("as %s: %d, %v", host, response.StatusCode, err)
		}
	}
	if err := closer(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + at.String() + "/debug/pprof/"); err == nil {
		t.Error("it answers after it was closed")
	}
}
