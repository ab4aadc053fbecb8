package store

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestNoEvictionRefusesAndRecovers(t *testing.T) {
	b, _ := openTest(t, Options{MaxMemory: 10_000})
	var err error
	n := 0
	for ; n < 1000 && err == nil; n++ {
		_, err = b.Put(0, fmt.Appendf(nil, "k%d", n), make([]byte, 100))
	}
	if !errors.Is(err, ErrMemory) {
		t.Fatalf("after %d keys: %v", n, err)
	}
	if _, found, err := b.Get(0, []byte("k0"), nil); !found || err != nil {
		t.Fatal("a read failed over the limit")
	}
	b.Delete(0, [][]byte{[]byte("k0"), []byte("k1")})
	if _, err := b.Put(0, []byte("again"), nil); err != nil {
		t.Fatal(err)
	}
	if c := b.Counters(); c.Refused != 1 || c.Evicted != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestPoliciesHoldTheLimit(t *testing.T) {
	for _, policy := range policyNames[1:] {
		t.Run(policy, func(t *testing.T) {
			const limit, value = 1 << 20, 1000
			b, _ := openTest(t, Options{MaxMemory: limit, MaxMemoryPolicy: policy})
			for i := range 5000 {
				o := SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 1_000_000 + int64(i)}}
				if _, _, err := b.Set(i%3, fmt.Appendf(nil, "k%d", i), make([]byte, value), o); err != nil {
					t.Fatal(err)
				}
				if m := b.memory.Load(); m > limit+2*value {
					t.Fatalf("the account is %d bytes over", m-limit)
				}
			}
			if b.Counters().Evicted == 0 {
				t.Fatal("nothing was evicted")
			}
		})
	}
}

func TestVolatilePoliciesSpareOtherKeys(t *testing.T) {
	for _, policy := range policyNames[VolatileLRU:] {
		b, _ := openTest(t, Options{MaxMemory: 100_000, MaxMemoryPolicy: policy})
		for i := range 400 {
			set(t, b, fmt.Sprint("volatile", i), "v", Expiry{Mode: ExpireIn, At: 100_000})
		}
		var err error
		kept := 0
		for ; err == nil; kept++ {
			_, err = b.Put(0, fmt.Appendf(nil, "k%d", kept), make([]byte, 200))
		}
		if !errors.Is(err, ErrMemory) {
			t.Fatal(err)
		}
		if c := b.Counters(); c.Expires != 0 || c.Keys != kept-1 || c.Evicted != 400 {
			t.Fatalf("%s: %+v with %d keys set", policy, c, kept-1)
		}
	}
}

// survivors fills the store over its limit after half of the keys were used, and returns how many of the used and the
// unused are left.
func survivors(t *testing.T, policy string, use func(b *Broker, advance func(time.Duration), key []byte)) (used, unused int) {
	b, clock := openTest(t, Options{MaxMemoryPolicy: policy})
	const n = 4000
	key := func(i int) []byte { return fmt.Appendf(nil, "k%d", i) }
	for i := range n {
		b.Put(0, key(i), make([]byte, 100))
	}
	clock.Advance(10 * time.Second)
	for i := 0; i < n; i += 2 {
		use(b, clock.Advance, key(i))
	}
	clock.Advance(time.Second)
	b.SetMaxMemory(b.memory.Load())
	for i := range n / 4 {
		if _, err := b.Put(0, fmt.Appendf(nil, "new%d", i), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if _, found := b.Inspect(0, key(i)); found {
			if i%2 == 0 {
				used++
			} else {
				unused++
			}
		}
	}
	return used, unused
}

func TestLeastUsedGoFirst(t *testing.T) {
	for policy, times := range map[string]int{"allkeys-lru": 1, "allkeys-lfu": 30} {
		used, unused := survivors(t, policy, func(b *Broker, _ func(time.Duration), key []byte) {
			for range times {
				b.Get(0, key, nil)
			}
		})
		// A quarter had to go. It should come from the unused half, but for a few that sampling misses; under LFU the
		// new keys are no better than the unused ones.
		if used < 1900 || unused > 1450 {
			t.Errorf("%s: %d used and %d unused keys are left of 2000 each", policy, used, unused)
		}
	}
}

func TestVolatileTTLTakesTheNextToExpire(t *testing.T) {
	b, _ := openTest(t, Options{MaxMemoryPolicy: "volatile-ttl"})
	for i := range 2000 {
		set(t, b, fmt.Sprint("k", i), "v", Expiry{Mode: ExpireIn, At: int64(100_000 + i)})
	}
	b.SetMaxMemory(b.memory.Load() * 3 / 4)
	set(t, b, "one", "more", Expiry{})
	early := 0
	for i := range 1000 {
		if _, found := b.Inspect(0, fmt.Appendf(nil, "k%d", i)); found {
			early++
		}
	}
	// Shards are drained at random, each of its earliest key: what is left of the earlier half is about half.
	if early > 650 {
		t.Errorf("%d of the 1000 keys that expire first are left", early)
	}
}

func TestIdleTimesAndFrequencies(t *testing.T) {
	b, clock := openTest(t, Options{})
	b.Put(0, []byte("k"), nil)
	clock.Advance(7 * time.Second)
	if info, _ := b.Inspect(0, []byte("k")); info.Idle != 7 {
		t.Errorf("idle for %d s", info.Idle)
	}
	b.Get(0, []byte("k"), nil)
	if info, _ := b.Inspect(0, []byte("k")); info.Idle != 0 {
		t.Errorf("idle for %d s after a use", info.Idle)
	}
	if err := b.SetMaxMemoryPolicy("allkeys-lfu"); err != nil {
		t.Fatal(err)
	}
	b.Put(0, []byte("f"), nil)
	for range 1000 {
		b.Get(0, []byte("f"), nil)
	}
	hot, _ := b.Inspect(0, []byte("f"))
	if hot.Frequency <= frequencyInitial {
		t.Errorf("frequency %d after 1000 uses", hot.Frequency)
	}
	clock.Advance(2 * time.Minute)
	if cold, _ := b.Inspect(0, []byte("f")); cold.Frequency != hot.Frequency-2 {
		t.Errorf("frequency %d two minutes after %d", cold.Frequency, hot.Frequency)
	}
	if err := b.SetMaxMemoryPolicy("allkeys-best"); err == nil {
		t.Error("an unknown policy was taken")
	}
}
