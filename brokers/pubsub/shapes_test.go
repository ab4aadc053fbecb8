package pubsub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestShapesHideNoMatch adds and removes random filters, of more shapes than there is room for and too deep ones among them, and asks for
// random topics: what a walk of the trie finds is never hidden, and no topic is looked for without a filter.
func TestShapesHideNoMatch(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	level := func() string { return []string{"", "a", "b", "c", "$x"}[random.IntN(5)] }
	for round := range 40 {
		var w wildcards
		var filters []*Subscription
		filterOf := func() string {
			var levels []string
			for range 1 + random.IntN(3) {
				levels = append(levels, []string{level(), "+"}[random.IntN(2)])
			}
			if random.IntN(3) == 0 {
				levels = append(levels, "#")
			}
			if round%4 == 0 && random.IntN(20) == 0 {
				levels = append(slices.Repeat([]string{"a"}, shapeLevels), "+")
			}
			return strings.Join(levels, "/")
		}
		hidden, asked := 0, 0
		for step := range 400 {
			if len(filters) > 0 && (random.IntN(2) == 0 || step > 300) {
				i := random.IntN(len(filters))
				if !w.remove(filters[i]) {
					t.Fatalf("%s is not there", filters[i].Name)
				}
				filters = slices.Delete(filters, i, i+1)
			} else if name := filterOf(); HasWildcard(name) {
				sub := &Subscription{Subscriber: discard{}, Kind: Filter, Name: name}
				w.add(sub)
				filters = append(filters, sub)
			}
			for range 10 {
				topic := level()
				for range random.IntN(4) {
					topic += "/" + level()
				}
				if random.IntN(30) == 0 {
					topic = strings.Repeat("a/", shapeLevels) + "b"
				}
				found := topic != "" && len(w.mu.root.match([]byte(topic), true, topic[0] == '$', nil)) > 0
				if asked++; !w.mu.shapes.mayMatch([]byte(topic)) {
					hidden++
					if found {
						t.Fatalf("round %d: %q is hidden from %s", round, topic, names(filters))
					}
				}
			}
		}
		for _, sub := range filters {
			w.remove(sub)
		}
		if s := &w.mu.shapes; len(s.list) != 0 || s.others != 0 || s.mayMatch([]byte("a/b")) {
			t.Fatalf("without a filter %d shapes and %d others are left", len(s.list), s.others)
		}
		if hidden == 0 || hidden == asked {
			t.Fatalf("round %d: %d of %d topics were hidden: the test has no force", round, hidden, asked)
		}
	}
}

func names(filters []*Subscription) string {
	var all []string
	for _, sub := range filters {
		all = append(all, sub.Name)
	}
	return fmt.Sprintf("%q", all)
}

// TestShapesOfNewTopics: beside filters of one shape a topic that none matches is not looked for in the trie.
func TestShapesOfNewTopics(t *testing.T) {
	var w wildcards
	for i := range 1000 {
		w.add(&Subscription{Subscriber: discard{}, Kind: Filter, Name: fmt.Sprintf("site/%d/+/state", i)})
	}
	walks := 0
	for i := range 10_000 {
		if w.mu.shapes.mayMatch(fmt.Appendf(nil, "site/%d/door/%d", i%1000, i)) {
			walks++
		}
	}
	if walks != 0 || !w.mu.shapes.mayMatch([]byte("site/999/door/state")) {
		t.Fatalf("%d of 10,000 new topics are looked for", walks)
	}
}
