package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// TestScanGuarantees iterates while other keys come and go in numbers that grow and shrink every table: each key that is
// there throughout must be seen, and none that never was.
func TestScanGuarantees(t *testing.T) {
	for round := range 12 {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		r := rand.New(rand.NewPCG(seed, 0))
		b, _ := openTest(t, Options{})
		stays := r.IntN(3000)
		for i := range stays {
			b.Put(0, fmt.Appendf(nil, "stays%d", i), nil)
		}
		others := 0
		change := func() {
			if r.IntN(2) == 0 {
				for range r.IntN(3000) {
					b.Put(0, fmt.Appendf(nil, "other%d", others), nil)
					others++
				}
				return
			}
			for ; others > 0 && r.IntN(4000) > 0; others-- {
				b.Delete(0, [][]byte{fmt.Appendf(nil, "other%d", others-1)})
			}
		}
		seen := map[string]bool{}
		cursor, calls := uint64(0), 0
		for {
			cursor = b.Scan(0, cursor, 1+r.IntN(50), func(item Item) Verdict {
				seen[string(item.Key)] = true
				return Taken
			})
			if cursor == 0 {
				break
			}
			if calls++; calls > 1_000_000 {
				t.Fatalf("seed %d: the iteration does not end", seed)
			}
			if r.IntN(20) == 0 {
				change()
			}
		}
		for i := range stays {
			if !seen[fmt.Sprint("stays", i)] {
				t.Fatalf("seed %d: a key that was there throughout was not returned", seed)
			}
		}
		for key := range seen {
			if !strings.HasPrefix(key, "stays") && !strings.HasPrefix(key, "other") {
				t.Fatalf("seed %d: %q was never there", seed, key)
			}
		}
	}
}

// TestScanOfAStableKeyspace returns each key once and does not loop on hostile cursors.
func TestScanOfAStableKeyspace(t *testing.T) {
	b, _ := openTest(t, Options{})
	const n = 5000
	for i := range n {
		b.Put(0, fmt.Appendf(nil, "%d", i), nil)
	}
	seen := map[string]int{}
	cursor := uint64(0)
	for {
		page := 0
		cursor = b.Scan(0, cursor, 10, func(item Item) Verdict { page++; seen[string(item.Key)]++; return Taken })
		if page > 10+64 {
			t.Fatalf("a page of COUNT 10 has %d keys", page)
		}
		if cursor == 0 {
			break
		}
	}
	if len(seen) != n {
		t.Fatalf("saw %d of %d keys", len(seen), n)
	}
	for key, times := range seen {
		if times != 1 {
			t.Fatalf("%q was returned %d times", key, times)
		}
	}
	for _, hostile := range []uint64{1, 255, 1<<64 - 1, 1 << 63, 0xdeadbeef} {
		b.Scan(0, hostile, 10, func(Item) Verdict { return Taken })
	}
}

// TestScanOfASmallStoreIsShort: shards that are empty, and tables that were large once, cost no rounds.
func TestScanOfASmallStoreIsShort(t *testing.T) {
	b, _ := openTest(t, Options{})
	var keys [][]byte
	for i := range 20_000 {
		keys = append(keys, fmt.Appendf(nil, "k%d", i))
		b.Put(0, keys[i], nil)
	}
	for _, left := range []int{1000, 20, 2, 0} {
		b.Delete(0, keys[left:])
		keys = keys[:left]
		for _, count := range []int{1, 10} {
			rounds, empty, seen := 0, 0, 0
			for cursor := uint64(0); rounds == 0 || cursor != 0; rounds++ {
				page := 0
				cursor = b.Scan(0, cursor, count, func(Item) Verdict { page++; return Taken })
				seen += page
				if page == 0 {
					empty++
				}
			}
			if seen != left || rounds > left/count+2 || empty > 1 {
				t.Errorf("%d keys with COUNT %d: %d seen in %d rounds, %d empty", left, count, seen, rounds, empty)
			}
		}
	}
}

func TestPrefixPagesAreFullUntilTheEnd(t *testing.T) {
	b, clock := openTest(t, Options{})
	want := []string{}
	for i := range 1003 {
		key := fmt.Sprintf("user:%d", i)
		want = append(want, key)
		b.Put(0, []byte(key), nil)
		b.Put(0, fmt.Appendf(nil, "other:%d", i), nil)
		set(t, b, fmt.Sprintf("user:gone%d", i), "", Expiry{Mode: ExpireIn, At: 1})
	}
	b.Put(0, []byte("user:"), nil)
	want = append(want, "user:")
	clock.Advance(time.Millisecond)
	for round := range 2 { // the second round finds the ordered keys built and kept up to date
		var got []string
		cursor := PrefixCursor{}
		for {
			page := 0
			cursor = b.ScanPrefix(0, "user:", cursor, 100, func(item Item) Verdict {
				page++
				got = append(got, string(item.Key))
				return Taken
			})
			text := cursor.String()
			if text == "0" {
				break
			}
			if page != 100 {
				t.Fatalf("a page before the end has %d keys", page)
			}
			var ok bool
			if cursor, ok = ParsePrefixCursor(text); !ok {
				t.Fatalf("cursor %q cannot be read back", text)
			}
		}
		sort.Strings(got)
		sort.Strings(want)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: %d keys, want %d", round, len(got), len(want))
		}
		b.Delete(0, [][]byte{[]byte("user:7")})
		b.Put(0, []byte("user:new"), nil)
		want = slices.DeleteFunc(want, func(k string) bool { return k == "user:7" })
		want = append(want, "user:new")
	}
	// A page that is exactly the rest ends the scan.
	b.Flush(0)
	for i := range 10 {
		b.Put(0, fmt.Appendf(nil, "p%d", i), nil)
	}
	if c := b.ScanPrefix(0, "p", PrefixCursor{}, 10, func(Item) Verdict { return Taken }); c.String() != "0" {
		t.Fatalf("cursor %s behind the last key", c)
	}
}

func TestScanStopsAtAFullPage(t *testing.T) {
	b, _ := openTest(t, Options{})
	for i := range 100 {
		b.Put(0, fmt.Appendf(nil, "p%d", i), nil)
	}
	visits := 0
	full := func(Item) Verdict { visits++; return Full }
	cursor := b.ScanPrefix(0, "p", PrefixCursor{}, 1000, full)
	if visits != 1 || cursor.String() == "0" {
		t.Fatalf("%d visits, cursor %s", visits, cursor)
	}
}

func TestBadPrefixCursors(t *testing.T) {
	for _, text := range []string{"", "1", "-", "256-00", "x-00", "1-0", "1-zz", "-1-00", "00"} {
		if _, ok := ParsePrefixCursor(text); ok {
			t.Errorf("%q was taken for a cursor", text)
		}
	}
}
