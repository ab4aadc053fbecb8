package pubsub

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/brokers"
)

// matching are the vectors of MQTT section 4.7 and of the test suites of known brokers.
var matching = []struct {
	filter, topic string
	want          bool
}{
	{"foo/#", "foo", true}, {"foo/#", "foo/", true}, {"foo//+", "foo//bar", true}, {"foo/+/+/baz", "foo///baz", true},
	{"foo/bar/+", "foo/bar/", true}, {"foo/+/#", "foo/bar", true}, {"#", "/foo/bar", true}, {"/#", "/foo/bar", true},
	{"+/+", "/finance", true}, {"/+", "/finance", true}, {"sport/+", "sport/", true}, {"+/#", "a", true}, {"#", "a", true},
	{"a/#", "a/b/c", true}, {"a/#", "a", true}, {"+", "", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/+", "$SYS/x", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true}, {"//", "//", true}, {"+/+/+", "//", true},
	{"sport/+", "sport", false}, {"+", "/finance", false}, {"/#", "foo/bar", false}, {"foo/+", "foo/bar/baz", false},
	{"#", "$SYS/bar", false}, {"+/monitor/Clients", "$SYS/monitor/Clients", false}, {"test/6/#", "test/3", false},
	{"+/#", "$share", false}, {"a", "A", false}, {"/finance", "finance", false}, {"a/", "a", false}, {"a", "a/", false},
	{"+", "$x", false}, {"a/b", "a/b", true}, {"a/+/c", "a/b/c/d", false}, {"a/b/#", "a", false},
}

func TestMatching(t *testing.T) {
	for _, vector := range matching {
		if vector.topic == "" {
			continue
		}
		if got := filterMatches(vector.filter, []byte(vector.topic)); got != vector.want {
			t.Errorf("%q ~ %q: got %v", vector.filter, vector.topic, got)
		}
		if HasWildcard(vector.filter) {
			var w wildcards
			w.add(&Subscription{Kind: Filter, Name: vector.filter})
			if got := len(w.resolve([]byte(vector.topic)).parts) == 1; got != vector.want {
				t.Errorf("trie %q ~ %q: got %v", vector.filter, vector.topic, got)
			}
		}
	}
}

func TestInvalidNames(t *testing.T) {
	deep := strings.Repeat("a/", 32000)
	for _, filter := range []string{"+foo", "fo+o", "foo+", "foo/+bar", "#foo", "fo#o", "foo#", "foo/#bar", "/#a", "foo#/bar",
		"", "a/#/b", "#/", "a\x00b", "a\xff", deep, strings.Repeat("x", NameMax+1)} {
		if !errors.Is(ValidateFilter(filter), &brokers.Error{Code: "BADFILTER"}) {
			t.Errorf("filter %.40q is accepted", filter)
		}
	}
	for _, topic := range []string{"", "foo/+", "foo/bar/#", "a\x00", "\xff", deep, strings.Repeat("x", NameMax+1)} {
		if !errors.Is(ValidateTopic([]byte(topic)), &brokers.Error{Code: "BADTOPIC"}) {
			t.Errorf("topic %.40q is accepted", topic)
		}
	}
	if !errors.Is(ValidateTopic([]byte("$SYS/a")), &brokers.Error{Code: "RESERVED"}) {
		t.Error("a topic starting with $ is accepted")
	}
	for _, filter := range []string{"$share//t", "$share/a+b/t", "$share/g", "$share/g/", "$share/g/a/#/b"} {
		if _, _, err := SplitShare(filter); err == nil {
			t.Errorf("shared filter %q is accepted", filter)
		}
	}
	if group, rest, err := SplitShare("$share/g/a/#"); group != "g" || rest != "a/#" || err != nil {
		t.Errorf("got %q %q %v", group, rest, err)
	}
	for _, good := range []string{strings.Repeat("x", NameMax), strings.Repeat("/", LevelsMax-1), "ü/ß", "/", "//"} {
		if err := ValidateTopic([]byte(good)); err != nil {
			t.Errorf("topic %.40q: %v", good, err)
		}
		if err := ValidateFilter(good); err != nil {
			t.Errorf("filter %.40q: %v", good, err)
		}
	}
	if got := ValidateFilter("a/#/b").Error(); got != "BADFILTER 'a/#/b' '#' must be last" {
		t.Errorf("got %q", got)
	}
}

func TestIsFilterPattern(t *testing.T) {
	for pattern, want := range map[string]bool{
		"a/+": true, "a/#": true, "#": true, "+": true, "a/b": false, "a*": false, "a/*/+": false, "a/[+]": false, "a\\+": false,
		"c#": false, "c++": false, "a/#/b": false, "": false, "f?/#": false,
	} {
		if IsFilterPattern(pattern) != want {
			t.Errorf("%q: want %v", pattern, want)
		}
	}
}

// randomName joins random levels; few letters and empty levels make collisions common.
func randomName(r *rand.Rand, levels []string) string {
	name := make([]string, 1+r.IntN(5))
	for i := range name {
		name[i] = levels[r.IntN(len(levels))]
	}
	return strings.Join(name, "/")
}

func randomFilter(r *rand.Rand) string {
	for {
		filter := randomName(r, []string{"", "a", "b", "ab", "+", "+", "$s", "\x01"})
		if r.IntN(4) == 0 {
			filter += "/#"
		} else if r.IntN(20) == 0 {
			filter = "#"
		}
		if filterProblem(filter) == "" {
			return filter
		}
	}
}

func randomTopic(r *rand.Rand) string {
	for {
		if topic := randomName(r, []string{"", "a", "b", "ab", "$s", "\x01", "b\x01"}); topic != "" {
			return topic
		}
	}
}

// TestTrieAgainstRule adds and removes random filters and holds every route and every replay against the rule.
func TestTrieAgainstRule(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 200 {
		b := open(t, Options{})
		retained := map[string]bool{}
		batch := b.NewBatch(1)
		for range 30 {
			topic := randomTopic(r)
			if topic[0] == '$' {
				continue
			}
			if _, _, err := batch.Retain([]byte(topic), []byte("x"), 0, false); err != nil {
				t.Fatal(err)
			}
			retained[topic] = true
		}
		var live []*Subscription
		for range 60 {
			if len(live) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(live))
				if !b.Unsubscribe(live[i]) || b.Unsubscribe(live[i]) {
					t.Fatalf("unsubscribe of %q", live[i].Name)
				}
				live = slices.Delete(live, i, i+1)
			} else {
				sub := &Subscription{Kind: Filter, Name: randomFilter(r), Subscriber: &collector{}}
				var replayed []string
				b.Subscribe(sub, func(c *Cursor) {
					for topic, _, ok := c.Next(); ok; topic, _, ok = c.Next() {
						replayed = append(replayed, string(topic))
					}
				})
				live = append(live, sub)
				var want []string
				for topic := range retained {
					if filterMatches(sub.Name, []byte(topic)) {
						want = append(want, topic)
					}
				}
				slices.Sort(replayed)
				slices.Sort(want)
				if !slices.Equal(replayed, want) {
					t.Fatalf("round %d filter %q: replayed %q, want %q", round, sub.Name, replayed, want)
				}
			}
			topic := randomTopic(r)
			var want []string
			for _, sub := range live {
				if filterMatches(sub.Name, []byte(topic)) {
					want = append(want, sub.Name)
				}
			}
			var got []string
			to := b.route([]byte(topic), false)
			for _, p := range append([]part{to.own}, to.wild...) {
				for _, sub := range p.subs {
					got = append(got, sub.Name)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("round %d topic %q: got %q, want %q", round, topic, got, want)
			}
		}
		for _, sub := range live {
			b.Unsubscribe(sub)
		}
		if nodes := b.wild.mu.nodes; nodes != 0 || !b.wild.mu.root.bare() || b.Patterns() != 0 {
			t.Fatalf("%d nodes and %d names are left", nodes, b.Patterns())
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, vector := range matching {
		f.Add(vector.filter, vector.topic)
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if filterProblem(filter) != "" || topicProblem([]byte(topic)) != "" {
			return
		}
		want := filterMatches(filter, []byte(topic))
		var w wildcards
		sub := &Subscription{Kind: Filter, Name: filter}
		w.add(sub)
		if got := len(w.resolve([]byte(topic)).parts) == 1; got != want {
			t.Fatalf("trie %q ~ %q: %v", filter, topic, got)
		}
		if next, got := seekBehind(strings.Split(filter, "/"), keyOf(topic)); got != want || next != "" && next <= keyOf(topic) {
			t.Fatalf("seek %q ~ %q: %v, next %q", filter, topic, got, next)
		}
		if !w.remove(sub) || w.mu.nodes != 0 {
			t.Fatalf("%d nodes are left", w.mu.nodes)
		}
	})
}
