package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWildcards(t *testing.T) {
	b := open(t, Options{})
	for _, name := range []string{"a/b", "a/+", "a/+", "a/#", "#", "$SYS/#"} {
		subscribe(b, Filter, name)
	}
	for _, name := range []string{"", "a/+", "news.*", "plain"} {
		subscribe(b, Glob, name)
	}
	b.Subscribe(&Subscription{Subscriber: &collector{}, Kind: Filter, Name: "a/+", Group: "g"}, nil)
	list := func(filter string, count int) (names []string) {
		t.Helper()
		for after, more := "", true; more; {
			var page []Wildcard
			var err error
			if page, more, err = b.WildcardsPage(filter, after, count); err != nil || len(page) == 0 && more {
				t.Fatalf("%d rows, more %v, %v", len(page), more, err)
			}
			for _, w := range page {
				kind := "filter"
				if w.Glob {
					kind = "glob"
				}
				names = append(names, fmt.Sprintf("%s %s %d", w.Name, kind, w.Subscribers))
				after = w.Name
			}
		}
		return names
	}
	all := []string{" glob 1", "# filter 1", "$SYS/# filter 1", "a/# filter 1", "a/+ filter 3", "a/+ glob 1", "news.* glob 1", "plain glob 1"}
	for count := 1; count <= len(all)+1; count++ {
		if got := list("#", count); !slices.Equal(got, all) {
			t.Errorf("%d at a time: %q, want %q", count, got, all)
		}
	}
	if got := strings.Join(list("a/+", 10), ", "); got != "a/# filter 1, a/+ filter 3, a/+ glob 1" {
		t.Errorf("a/+: %s", got)
	}
	if got := list("c/#", 10); len(got) != 0 {
		t.Errorf("c/#: %q", got)
	}
	if _, _, err := b.WildcardsPage("a/#/b", "", 10); err == nil {
		t.Error("a wrong filter was taken")
	}
	for name, want := range map[string]int{"a/+": 4, "a/b": 1, "": 1, "news.*": 1, "a/c": 0, "#": 1} {
		if found := b.SubscriptionsTo(name, 100); len(found) != want {
			t.Errorf("%q has %d subscriptions, want %d", name, len(found), want)
		}
	}
	if found := b.SubscriptionsTo("a/+", 2); len(found) != 2 {
		t.Errorf("the limit gave %d", len(found))
	}
}
