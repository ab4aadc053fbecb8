package brokers

import (
	"strings"
	"testing"
	"time"
)

func TestMatchGlob(t *testing.T) {
	for _, vector := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "a", true}, {"*", "", false}, {"", "", true}, {"h?llo", "hello", true}, {"h*llo", "heeello", true},
		{"h[ae]llo", "hallo", true}, {"h[^e]llo", "hello", false}, {"h[a-c]llo", "hbllo", true}, {"h[c-a]llo", "hbllo", true},
		{"h\\*llo", "h*llo", true}, {"h\\*llo", "hxllo", false}, {"a[bc", "ab", true}, {"a[]", "a", false}, {"a[^]", "ax", true},
		{"a\\", "a\\", true}, {"a**", "a", true}, {"*b*c", "abxc", true}, {"a[\\]]", "a]", true}, {strings.Repeat("*a", 50), strings.Repeat("a", 49), false}, {"*.mail", "a.b.mail", true}, {"[", "x", false}, {"a", "", false},
		{"x", "xy", false}, {"xy", "x", false},
	} {
		if got := MatchGlob(vector.pattern, vector.text); got != vector.want {
			t.Errorf("%q ~ %q: got %v", vector.pattern, vector.text, got)
		}
		if got := MatchGlob(vector.pattern, []byte(vector.text)); got != vector.want {
			t.Errorf("%q ~ %q as bytes: got %v", vector.pattern, vector.text, got)
		}
	}
}

func TestGlobBombsEnd(t *testing.T) {
	name := strings.Repeat("a", 1<<20)
	for _, pattern := range []string{
		strings.Repeat("*a", 1000) + "b",
		strings.Repeat("a*", 10_000) + "aab",
		"*" + strings.Repeat("?", 1<<16) + "b",
		"*" + strings.Repeat("[a-z]", 10_000) + "b",
		"*[" + strings.Repeat("b", 1<<16),
	} {
		start := time.Now()
		g := NewGlob(pattern)
		matches := g.Match(name)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%.20s... took %s", pattern, took)
		}
		if g.Err() == nil || matches || g.Match("a") {
			t.Errorf("%.20s... said %v, error %v", pattern, matches, g.Err())
		}
	}
}

// TestLongGlobsAreDecided: a pattern that may be subscribed to and a name that may be published to, however they fit.
func TestLongGlobsAreDecided(t *testing.T) {
	name := strings.Repeat("a", 1<<16-2)
	for _, vector := range []struct {
		pattern, name string
		want          bool
	}{
		{"*" + strings.Repeat("a", 1000) + "b", name + "b", true},
		{"*" + strings.Repeat("a", 1000) + "b", name + "c", false},
		{"*" + strings.Repeat("a", 1000) + "b*", name[:1<<15] + "b" + name[:1<<14], true},
		{strings.Repeat("*a", 500) + "b", name + "b", true},
		{strings.Repeat("*[a-c]", 150) + "*" + strings.Repeat("?", 50) + "b", name + "b", true},
		{strings.Repeat("*[a-c]", 150) + "*" + strings.Repeat("?", 50) + "x*b", name + "b", false},
		{"*" + strings.Repeat("a", 1000) + "[", name, false},
	} {
		if got := MatchGlob(vector.pattern, vector.name); got != vector.want {
			t.Errorf("%.20s...: %v", vector.pattern, got)
		}
	}
}

// slowMatch is the glob by its definition, without any cleverness.
func slowMatch(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] == '*' {
		return slowMatch(pattern[1:], name) || (name != "" && slowMatch(pattern, name[1:]))
	}
	if name == "" {
		return false
	}
	g := Glob{pattern: pattern, steps: globStepsMax}
	next, ok := g.one(0, name[0])
	return ok && slowMatch(pattern[next:], name[1:])
}

func FuzzMatchGlob(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b", "ab"}, {"[^a-c]?", "dx"}, {`\*`, "*"}, {"[", "["}, {"[]", "]"}, {"a**b*", "aXbY"}, {`[\]]`, "]"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 12 {
			return
		}
		want := slowMatch(pattern, name)
		if name == "" {
			want = pattern == ""
		}
		if got := MatchGlob(pattern, name); got != want {
			t.Errorf("MatchGlob(%q, %q) = %v", pattern, name, got)
		}
		if name == "" {
			return
		}
		if got := followGlob(NewGlob(pattern), name); got != want {
			t.Errorf("all positions of %q at once and %q: %v", pattern, name, got)
		}
	})
}
