package store

import (
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// Who looks at a key does not keep it from being the one that is evicted.
func TestPeekIsNoUse(t *testing.T) {
	clock := brokertest.NewClock(time.UnixMilli(1_700_000_000_000))
	b, err := Open(Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if _, _, err := b.Set(0, []byte("a"), []byte("value"), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(10 * time.Second)
	before, _ := b.Inspect(0, []byte("a"))
	counted := b.Counters()
	for range 100 {
		if value, found, err := b.Peek(0, []byte("a")); string(value) != "value" || !found || err != nil {
			t.Fatalf("%q %v %v", value, found, err)
		}
		if _, found, _ := b.Peek(0, []byte("nobody")); found {
			t.Fatal("a key that is not there")
		}
	}
	after, _ := b.Inspect(0, []byte("a"))
	now := b.Counters()
	if after != before || now.Hits != counted.Hits || now.Misses != counted.Misses {
		t.Errorf("%+v and %+v, hits %d to %d", before, after, counted.Hits, now.Hits)
	}
}
