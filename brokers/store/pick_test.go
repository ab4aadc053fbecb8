package store

import (
	"fmt"
	"testing"
	"time"
)

// TestRandomKeyIsFair draws from few keys and from many: each comes as often as another, within five standard deviations.
func TestRandomKeyIsFair(t *testing.T) {
	for _, keys := range []int{1, 2, 3, 10, 100} {
		for range 5 { // each broker hashes its own way
			b, _ := openTest(t, Options{})
			for i := range keys {
				b.Put(0, fmt.Appendf(nil, "k%d", i), nil)
			}
			draws := 400 * keys
			seen := map[string]int{}
			for range draws {
				key, found := b.RandomKey(0)
				if !found {
					t.Fatal("no key")
				}
				seen[key]++
			}
			for i := range keys {
				if n := seen[fmt.Sprint("k", i)]; keys > 1 && (n < 300 || n > 500) {
					t.Errorf("of %d keys, one came %d times of %d", keys, n, draws)
				}
			}
		}
	}
}

// TestRandomKeyOfManyIsSpread draws where shards are tried and not counted off, and tables are not walked.
func TestRandomKeyOfManyIsSpread(t *testing.T) {
	b, _ := openTest(t, Options{})
	const keys, draws = 50_000, 50_000
	for i := range keys {
		b.Put(0, fmt.Appendf(nil, "%d", i), nil)
	}
	low := 0
	for range draws {
		key, found := b.RandomKey(0)
		if !found {
			t.Fatal("no key")
		}
		var n int
		fmt.Sscan(key, &n)
		if n < keys/4 {
			low++
		}
	}
	if low < draws/4-1000 || low > draws/4+1000 {
		t.Errorf("the first quarter of the keys came %d times of %d", low, draws)
	}
}

func TestRandomKeyPassesKeysThatExpired(t *testing.T) {
	b, clock := openTest(t, Options{})
	for i := range 1000 {
		set(t, b, fmt.Sprint("gone", i), "", Expiry{Mode: ExpireAt, At: testStart.UnixMilli() + 1})
	}
	set(t, b, "here", "", Expiry{})
	clock.Advance(time.Millisecond)
	for range 10 {
		if key, found := b.RandomKey(0); !found || key != "here" {
			t.Fatalf("%q, %v", key, found)
		}
	}
	b.Delete(0, [][]byte{[]byte("here")})
	if key, found := b.RandomKey(0); found {
		t.Fatalf("%q of an empty database", key)
	}
}
