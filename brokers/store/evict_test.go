package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
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
	if _, found, err := look(b, 0, []byte("k0")); !found || err != nil {
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
				look(b, 0, key)
			}
		})
		// A quarter had to go. It should come from the unused half, but for a few that sampling misses; under LFU the
		// new keys are no better than the unused ones.
		if used < 1900 || unused > 1450 {
			t.Errorf("%s: %d used and %d unused keys are left of 2000 each", policy, used, unused)
		}
	}
}

// TestVolatileTTLTakesTheNextToExpire fills the store with few large values, whose order of expiry is not that of their names:
// whatever shards and databases they are in, and whichever clock they expire by, those that expire first go first.
func TestVolatileTTLTakesTheNextToExpire(t *testing.T) {
	const n, size = 20, 1 << 20
	for round := range 20 {
		b, _ := openTest(t, Options{MaxMemoryPolicy: "volatile-ttl"})
		order := rand.Perm(n)
		for i, place := range order {
			x := Expiry{Mode: ExpireIn, At: int64(100_000 + place)}
			if place%2 == 1 {
				x = Expiry{Mode: ExpireAt, At: testStart.UnixMilli() + x.At}
			}
			if _, _, err := b.Set(round%2*(i%3), fmt.Appendf(nil, "k%d", i), make([]byte, size), SetOptions{Expiry: x}); err != nil {
				t.Fatal(err)
			}
		}
		b.SetMaxMemory(b.memory.Load() - 7*size)
		set(t, b, "one", "more", Expiry{})
		for i, place := range order {
			_, found := b.Inspect(round%2*(i%3), fmt.Appendf(nil, "k%d", i))
			if found != (place >= 7) {
				t.Fatalf("order %v: of the 7 that expire first or of those behind them, %d is there: %v", order, place, found)
			}
		}
	}
}

// TestHotKeysStay reads a hot fifth of a hundred values again and again while cold ones come and go, as a cache does.
func TestHotKeysStay(t *testing.T) {
	for _, policy := range []string{"allkeys-lru", "volatile-lru", "allkeys-lfu"} {
		b, clock := openTest(t, Options{MaxMemoryPolicy: policy})
		const values, hot, size = 100, 20, 10_000
		put := func(key []byte) {
			o := SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 1_000_000_000}}
			if _, _, err := b.Set(0, key, make([]byte, size), o); err != nil {
				t.Fatal(err)
			}
		}
		for i := range values {
			put(fmt.Appendf(nil, "k%d", i))
		}
		b.SetMaxMemory(b.memory.Load())
		reads, misses := 0, 0
		for i := range 5000 {
			if i%10 == 0 {
				clock.Advance(time.Second)
			}
			key := fmt.Appendf(nil, "k%d", i%hot)
			reads++
			if _, found, _ := look(b, 0, key); !found {
				misses++
				put(key)
			}
			if i%3 == 0 {
				put(fmt.Appendf(nil, "cold%d", i))
			}
		}
		if misses*100 >= reads {
			t.Errorf("%s: %d of %d reads of hot keys missed", policy, misses, reads)
		}
	}
}

// TestColdKeysGoFromEveryDatabase counts victims by database: each has its share.
func TestColdKeysGoFromEveryDatabase(t *testing.T) {
	for _, policy := range []string{"allkeys-random", "allkeys-lru", "volatile-random"} {
		b, _ := openTest(t, Options{MaxMemoryPolicy: policy})
		for i := range 4000 {
			db := 3
			if i%4 == 0 {
				db = 7
			}
			o := SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 1_000_000}}
			if _, _, err := b.Set(db, fmt.Appendf(nil, "k%d", i), make([]byte, 100), o); err != nil {
				t.Fatal(err)
			}
		}
		b.SetMaxMemory(b.memory.Load() / 2)
		set(t, b, "one", "more", Expiry{})
		// Of 3000 and 1000 keys half went; the smaller share is 500 within five deviations of about 16.
		if left := b.Size(7); left < 420 || left > 580 {
			t.Errorf("%s: %d of 1000 keys are left where a half should be", policy, left)
		}
	}
}

func TestIdleTimesAndFrequencies(t *testing.T) {
	b, clock := openTest(t, Options{})
	b.Put(0, []byte("k"), nil)
	clock.Advance(7 * time.Second)
	if info, _ := b.Inspect(0, []byte("k")); info.Idle != 7 {
		t.Errorf("idle for %d s", info.Idle)
	}
	k := [][]byte{[]byte("k")}
	if n := b.Exists(0, append(k, []byte("none"), k[0])); n != 2 {
		t.Errorf("%d exist", n)
	}
	if info, _ := b.Inspect(0, []byte("k")); info.Idle != 7 {
		t.Errorf("idle for %d s after it was only looked for", info.Idle)
	}
	if n := b.Touch(0, k); n != 1 {
		t.Errorf("%d touched", n)
	}
	if info, _ := b.Inspect(0, []byte("k")); info.Idle != 0 {
		t.Errorf("idle for %d s after a touch", info.Idle)
	}
	if c := b.Counters(); c.Hits != 3 || c.Misses != 1 {
		t.Errorf("%d hits, %d misses", c.Hits, c.Misses)
	}
	clock.Advance(7 * time.Second)
	look(b, 0, []byte("k"))
	if info, _ := b.Inspect(0, []byte("k")); info.Idle != 0 {
		t.Errorf("idle for %d s after a use", info.Idle)
	}
	if err := b.SetMaxMemoryPolicy("allkeys-lfu"); err != nil {
		t.Fatal(err)
	}
	b.Put(0, []byte("f"), nil)
	for range 1000 {
		look(b, 0, []byte("f"))
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

// TestFrequencyTuning: without decay a counter stays, with a factor of 0 each use counts.
func TestFrequencyTuning(t *testing.T) {
	b, clock := openTest(t, Options{MaxMemoryPolicy: "allkeys-lfu"})
	b.SetLogFactor(0)
	b.SetDecayMinutes(0)
	b.Put(0, []byte("k"), nil)
	for range 40 {
		look(b, 0, []byte("k"))
	}
	clock.Advance(10 * time.Minute)
	if info, _ := b.Inspect(0, []byte("k")); info.Frequency != frequencyInitial+40 {
		t.Errorf("frequency %d after 40 uses", info.Frequency)
	}
	b.SetDecayMinutes(5)
	if info, _ := b.Inspect(0, []byte("k")); info.Frequency != frequencyInitial+38 {
		t.Errorf("frequency %d after 10 minutes that take one every 5", info.Frequency)
	}
}

// TestEvictionByMany writes over the limit from several goroutines, which read, delete and draw keys beside it.
func TestEvictionByMany(t *testing.T) {
	for _, policy := range policyNames[1:] {
		b, _ := openTest(t, Options{MaxMemory: 50_000, MaxMemoryPolicy: policy})
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				o := SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 1_000_000}}
				for i := range 1000 {
					key := fmt.Appendf(nil, "k%d", i*(g+1)%300)
					if _, _, err := b.Set(g%2, key, make([]byte, 500), o); err != nil {
						t.Error(err)
					}
					look(b, g%2, key)
					b.RandomKey(g % 2)
					if i%10 == 0 {
						b.Delete(g%2, [][]byte{key})
					}
				}
			})
		}
		all.Wait()
		if m := b.memory.Load(); m > 50_000+4*700 {
			t.Errorf("%s: the account is %d bytes", policy, m)
		}
	}
}

func BenchmarkSetAtTheLimit(bench *testing.B) {
	for _, policy := range policyNames[1:] {
		bench.Run(policy, func(bench *testing.B) {
			b, _ := openTest(bench, Options{MaxMemoryPolicy: policy})
			o := SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 1_000_000}}
			for i := range 200_000 {
				b.Set(0, fmt.Appendf(nil, "k%d", i), make([]byte, 64), o)
			}
			b.SetMaxMemory(b.memory.Load())
			i := 0
			value := make([]byte, 64)
			for bench.Loop() {
				i++
				b.Set(0, fmt.Appendf(nil, "new%d", i), value, o)
			}
		})
	}
}
