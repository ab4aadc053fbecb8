package pubsub

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nexobroker/nexo/brokers"
)

func TestGlobIndexAgainstEach(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	text := func(letters string, most int) string {
		b := make([]byte, r.IntN(most))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	for range 300 {
		var w wildcards
		var live []*Subscription
		for range 40 {
			sub := &Subscription{Kind: Glob, Name: text("aab*?[]^-\\", 7)}
			w.add(sub)
			live = append(live, sub)
		}
		for range 10 {
			i := r.IntN(len(live))
			w.remove(live[i])
			live = slices.Delete(live, i, i+1)
		}
		for range 40 {
			name := text("ab*]", 6)
			var want, got []string
			for _, sub := range live {
				if brokers.MatchGlob(sub.Name, name) {
					want = append(want, sub.Name)
				}
			}
			for _, p := range w.resolve([]byte(name)).parts {
				for _, sub := range p.subs {
					got = append(got, sub.Name)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%q: got %q, want %q", name, got, want)
			}
		}
		for _, sub := range live {
			w.remove(sub)
		}
		globs := &w.mu.globs
		if left := len(globs.prefixes.byLiteral) + len(globs.suffixes.byLiteral) + len(globs.prefixes.lengths) + len(globs.suffixes.lengths); left != 0 {
			t.Fatalf("%d buckets are left", left)
		}
	}
}
