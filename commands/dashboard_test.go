package commands

import (
	"strings"
	"testing"
	"time"
)

func TestLatencyBuckets(t *testing.T) {
	for i := 1; i < latencyBuckets; i++ {
		if LatencyBound(i) < LatencyBound(i-1) {
			t.Errorf("bucket %d ends at %d, the one before at %d", i, LatencyBound(i), LatencyBound(i-1))
		}
	}
	for _, micros := range []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 100, 999, 1000, 65_535, 65_536, 1_000_000, 30_000_000} {
		bucket := latencyBucket(time.Duration(micros) * time.Microsecond)
		if upper := LatencyBound(bucket); micros >= upper {
			t.Errorf("%d us is in bucket %d, which ends at %d", micros, bucket, upper)
		}
		if bucket > 0 {
			if lower := LatencyBound(bucket - 1); micros > 3 && micros < lower {
				t.Errorf("%d us is in bucket %d, which begins at %d", micros, bucket, lower)
			}
		}
	}
	if got := latencyBucket(time.Hour); got != latencyBuckets-1 {
		t.Errorf("an hour is in bucket %d", got)
	}
}

func TestSecret(t *testing.T) {
	for line, want := range map[string]bool{
		"AUTH x": true, "auth default x": true, "HELLO 3": false, "hello 3 auth default x": true, "CONFIG SET requirepass x": true,
		"config set timeout 1 RequirePass x": true, "CONFIG GET timeout": false, "GET auth": false,
	} {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		if got := Secret(args); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestHelpKnowsEveryCommand(t *testing.T) {
	s, err := New(Deps{}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, help := range s.Help() {
		found, ok := s.HelpFor(append(strings.Fields(help.Name), "x"))
		if !ok || found.Name != help.Name || !strings.HasPrefix(help.Syntax, strings.ToUpper(help.Name)) {
			t.Errorf("%s is found as %s (%v), syntax %s", help.Name, found.Name, ok, help.Syntax)
		}
	}
	for _, words := range [][]string{nil, {"nothing"}, {""}} {
		if _, ok := s.HelpFor(words); ok {
			t.Errorf("%q was found", words)
		}
	}
}

func TestTapAndActivity(t *testing.T) {
	addr, server := openCoreDoor(t, Config{}, nil)
	seen := make(chan string, 100)
	server.SetTap(func(c Tapped) { seen <- string(c.Args[0]) })
	c := dialRaw(t, addr, 2)
	c.do("SET", "a", "b")
	c.do("GET", "a")
	c.do("GET", "c")
	c.do("PING")
	for _, want := range []string{"SET", "GET", "GET", "PING"} {
		if got := <-seen; got != want {
			t.Errorf("the tap saw %s, want %s", got, want)
		}
	}
	server.SetTap(nil)
	c.do("PING")
	if len(seen) != 0 {
		t.Error("a tap that was taken away still sees")
	}
	activity := server.Activity()
	samples := uint64(0)
	for _, n := range activity.Latency {
		samples += n
	}
	if activity.Store != 3 || samples != 1 || activity.Commands < 4 {
		t.Errorf("%+v", activity)
	}
}
