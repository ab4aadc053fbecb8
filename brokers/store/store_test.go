package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

var testStart = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

func openTest(t testing.TB, o Options) (*Broker, *brokertest.Clock) {
	t.Helper()
	clock := brokertest.NewClock(testStart)
	o.Clock = clock
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkConsistent(t, b)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, clock
}

// checkConsistent recomputes what the shards keep up to date: it runs after every test.
func checkConsistent(t testing.TB, b *Broker) {
	t.Helper()
	var account int64
	for db := range b.databases {
		shards := b.databases[db].Load()
		if shards == nil {
			continue
		}
		var keys, expires int64
		for i := range shards {
			account += checkShard(t, b, &shards[i])
			keys += int64(shards[i].keys.Load())
			expires += int64(shards[i].expires.Load())
		}
		if tally := &b.tallies[db]; tally.keys.Load() != keys || tally.expires.Load() != expires {
			t.Errorf("database %d counts %d keys, %d deadlines; has %d, %d", db, tally.keys.Load(), tally.expires.Load(), keys, expires)
		}
	}
	if got := b.memory.Load(); got != account {
		t.Errorf("account is %d bytes, the keys add up to %d", got, account)
	}
}

func checkShard(t testing.TB, b *Broker, sh *shard) (account int64) {
	t.Helper()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	count, expiring, apart := 0, 0, 0
	for i, l := range sh.table.buckets {
		for e := l.entry(); e != nil; e = e.next.entry() {
			count++
			account += sh.size(e) + sh.orderedSize(e)
			if e.flags&flagApart != 0 {
				apart++
				if l := sh.apart.values[e.value]; l.holders.Load() != 1 {
					t.Errorf("key %q: its value has %d holders", e.key(), l.holders.Load())
				}
			}
			if int(e.hash)&(len(sh.table.buckets)-1) != i || e.hash != uint32(maphash.Bytes(b.seed, e.key())) {
				t.Errorf("key %q is in a wrong bucket", e.key())
			}
			if e.deadline != 0 {
				expiring++
				account += deadlineOverhead
				if sh.heap(e).items[e.deadline-1].e.entry() != e {
					t.Errorf("key %q: its deadline is another's", e.key())
				}
			}
			if sh.ordered != nil {
				if _, ok := sh.ordered.Get(string(e.key())); !ok {
					t.Errorf("key %q is not among the ordered", e.key())
				}
			}
		}
	}
	if counted := len(sh.apart.values) - len(sh.apart.free); sh.memory != account || counted != apart {
		t.Errorf("shard %d counts %d bytes, %d large values; has %d, %d", sh.index, sh.memory, counted, account, apart)
	}
	if int(sh.keys.Load()) != count || int(sh.expires.Load()) != expiring {
		t.Errorf("shard %d shows %d keys, %d deadlines; has %d, %d", sh.index, sh.keys.Load(), sh.expires.Load(), count, expiring)
	}
	if count != sh.table.count || expiring != sh.elapsing.len()+sh.dated.len() {
		t.Errorf("shard %d counts %d keys, %d deadlines; has %d, %d", sh.index, sh.table.count,
			sh.elapsing.len()+sh.dated.len(), count, expiring)
	}
	if sh.ordered != nil && sh.ordered.Len() != count {
		t.Errorf("shard %d: %d ordered keys of %d", sh.index, sh.ordered.Len(), count)
	}
	for _, h := range [][]deadline{sh.elapsing.items, sh.dated.items} {
		for i := range h {
			if i > 0 && h[(i-1)/2].at > h[i].at {
				t.Errorf("shard %d: heap order is broken at %d", sh.index, i)
			}
		}
	}
	if sh.nextElapsing.Load() != sh.elapsing.next() || sh.nextDated.Load() != sh.dated.next() {
		t.Errorf("shard %d: the timer is told of other deadlines than there are", sh.index)
	}
	return account
}

func set(t testing.TB, b *Broker, key, value string, x Expiry) {
	t.Helper()
	if _, _, err := b.Set(0, []byte(key), []byte(value), SetOptions{Expiry: x}); err != nil {
		t.Fatal(err)
	}
}

// look reads a string.
func look(b *Broker, db int, key []byte) (value []byte, found bool, err error) {
	found, err = b.Get(db, key, Touches, func(shown []byte) { value = bytes.Clone(shown) })
	return value, found, err
}

func get(t testing.TB, b *Broker, key string) string {
	t.Helper()
	value, found, err := look(b, 0, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return "(missing)"
	}
	return string(value)
}

func TestExpiryIsExactToTheMillisecond(t *testing.T) {
	b, clock := openTest(t, Options{})
	set(t, b, "in", "1", Expiry{Mode: ExpireIn, At: 100})
	set(t, b, "at", "2", Expiry{Mode: ExpireAt, At: testStart.UnixMilli() + 100})
	clock.Advance(99 * time.Millisecond)
	if get(t, b, "in") != "1" || get(t, b, "at") != "2" {
		t.Fatal("a key went before its time")
	}
	clock.Advance(time.Millisecond)
	// Not by the read: the timer has removed both.
	if n := b.Size(0); n != 0 {
		t.Fatalf("%d keys are left at their deadline", n)
	}
	if c := b.Counters(); c.Expired != 2 {
		t.Fatalf("expired is %d", c.Expired)
	}
}

func TestTimerFollowsEarlierDeadlines(t *testing.T) {
	b, clock := openTest(t, Options{})
	for i := range 1000 {
		ms := int64(1000 - i)
		set(t, b, fmt.Sprint("k", i), "v", Expiry{Mode: ExpireIn, At: ms})
	}
	for ms := 1; ms <= 1000; ms++ {
		clock.Advance(time.Millisecond)
		if n := b.Size(0); n != 1000-ms {
			t.Fatalf("after %d ms there are %d keys", ms, n)
		}
	}
}

func TestMillisecondsOfBothClocks(t *testing.T) {
	now := instant{elapsed: 5_000_000_000, wall: 8_000_000_000}
	b, _ := openTest(t, Options{})
	shards := new([shardCount]shard)
	b.regroup(shards)
	sh := &shards[0]
	b.prepare(sh)
	relative, dated := sh.make(0, []byte("a"), nil, String), sh.make(0, []byte("b"), nil, String)
	dated.flags = flagDated
	sh.elapsing.push(6000, relative)
	sh.dated.push(9500, dated)
	if ms, _ := sh.remaining(relative, now); ms != 1000 {
		t.Errorf("a relative TTL has %d ms left", ms)
	}
	if at := sh.wallDeadline(relative, now); at != 9000 {
		t.Errorf("a relative TTL ends at %d of the wall clock", at)
	}
	if ms, _ := sh.remaining(dated, now); ms != 1500 {
		t.Errorf("a dated TTL has %d ms left", ms)
	}
}

func TestConditions(t *testing.T) {
	b, _ := openTest(t, Options{})
	steps := []struct {
		condition      Condition
		compare, value string
		set            bool
		after          string
	}{
		{IfPresent, "", "a", false, "(missing)"},
		{IfEqual, "", "a", false, "(missing)"},
		{IfNotEqual, "x", "a", true, "a"},
		{IfMissing, "", "b", false, "a"},
		{IfEqual, "b", "b", false, "a"},
		{IfEqual, "a", "b", true, "b"},
		{IfNotEqual, "b", "c", false, "b"},
		{IfPresent, "", "d", true, "d"},
	}
	for i, s := range steps {
		r, _, err := b.Set(0, []byte("k"), []byte(s.value), SetOptions{Condition: s.condition, Compare: []byte(s.compare)})
		if err != nil || r.Set != s.set || get(t, b, "k") != s.after {
			t.Fatalf("step %d: set %v err %v value %s", i, r.Set, err, get(t, b, "k"))
		}
	}
}

func TestLargeValueIsNotChangedUnderAReader(t *testing.T) {
	b, _ := openTest(t, Options{})
	large := strings.Repeat("x", 4*blockValueMax)
	for name, change := range map[string]func(){
		"append":    func() { b.Append(0, []byte("k"), []byte("tail")) },
		"set range": func() { b.SetRange(0, []byte("k"), 0, []byte("YYYY")) },
		"overwrite": func() { set(t, b, "k", strings.Repeat("z", 4*blockValueMax), Expiry{}) },
		"rename":    func() { b.Rename(0, []byte("k"), []byte("other"), false); b.Append(0, []byte("other"), []byte("tail")) },
		"delete": func() {
			b.Delete(0, [][]byte{[]byte("k")})
			set(t, b, "k", strings.Repeat("z", 4*blockValueMax), Expiry{})
		},
		"flush": func() {
			b.FlushAll()
			b.blocks.behind.Wait()
			set(t, b, "k", strings.Repeat("z", 4*blockValueMax), Expiry{})
		},
	} {
		set(t, b, "k", large, Expiry{})
		b.Get(0, []byte("k"), Touches, func(held []byte) {
			if change(); string(held) != large {
				t.Errorf("%s: the reader's bytes were changed", name)
			}
		})
	}
}

func TestIncrementIsExactUnderConcurrency(t *testing.T) {
	b, _ := openTest(t, Options{})
	const workers, each = 16, 5000
	var wg sync.WaitGroup
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range each {
				if _, _, err := b.Increment(0, []byte("n"), 1, KeepExpiry); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	if got := get(t, b, "n"); got != fmt.Sprint(workers*each) {
		t.Fatalf("counted to %s", got)
	}
}

func TestMultiKeyLocksDoNotDeadlock(t *testing.T) {
	b, _ := openTest(t, Options{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 500 {
				x, y := []byte(fmt.Sprint(i%7)), []byte(fmt.Sprint((i+w)%7))
				b.SetMany(w%2, [][]byte{x, y, y, x}, Always, Expiry{})
				b.Rename(w%2, x, y, false)
				b.Copy(0, x, 1, y, true)
				b.Copy(1, y, 0, x, true)
				b.GetMany(0, [][]byte{y, x}, Touches, func([]byte, bool) {})
				b.Delete(0, [][]byte{x, y})
				if i%100 == 0 {
					b.FlushAll()
				}
			}
		}()
	}
	wg.Wait()
}

func TestRenameMovesTheDeadline(t *testing.T) {
	b, clock := openTest(t, Options{})
	for i := range 50 {
		from, to := fmt.Sprint("from", i), fmt.Sprint("to", i)
		set(t, b, from, "v", Expiry{Mode: ExpireIn, At: 1000})
		set(t, b, to, "old", Expiry{})
		if _, _, err := b.Rename(0, []byte(from), []byte(to), false); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(time.Second)
	if n := b.Size(0); n != 0 {
		t.Fatalf("%d keys outlived the deadline they were given", n)
	}
	if _, _, err := b.Rename(0, []byte("none"), []byte("x"), false); !errors.Is(err, ErrNoKey) {
		t.Fatal(err)
	}
}

func TestLimiter(t *testing.T) {
	b, clock := openTest(t, Options{})
	ask := func(cost int64) LimitResult {
		t.Helper()
		r, _, err := b.Limit(0, []byte("l"), 10, time.Second, cost)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i := range 10 {
		if r := ask(1); !r.Allowed || r.Remaining != int64(9-i) || r.Retry != -1 {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if r := ask(1); r.Allowed || r.Remaining != 0 || r.Retry != 100 || r.Reset != 1000 {
		t.Fatalf("spent: %+v", r)
	}
	clock.Advance(99 * time.Millisecond)
	if r := ask(1); r.Allowed || r.Retry != 1 {
		t.Fatalf("1 ms early: %+v", r)
	}
	clock.Advance(time.Millisecond)
	if r := ask(1); !r.Allowed || r.Remaining != 0 {
		t.Fatalf("after its share of the window: %+v", r)
	}
	clock.Advance(500 * time.Millisecond)
	if r := ask(0); !r.Allowed || r.Remaining != 5 || r.Reset != 500 {
		t.Fatalf("look: %+v", r)
	}
	if r := ask(6); r.Allowed || r.Retry != 100 {
		t.Fatalf("too much at once: %+v", r)
	}
	clock.Advance(500 * time.Millisecond)
	if n := b.Size(0); n != 0 {
		t.Fatal("a limiter with nothing spent is still a key")
	}
	set(t, b, "s", "v", Expiry{})
	if _, _, err := b.Limit(0, []byte("s"), 10, time.Second, 1); !errors.Is(err, ErrKind) {
		t.Fatal(err)
	}
	if _, _, err := b.Limit(0, []byte("l"), 10, time.Second, 11); !errors.Is(err, ErrLimit) {
		t.Fatal(err)
	}
}

// TestFlushTellsOfMuchMemory holds when the memory of a flush is handed back: for much of it, whichever flush it was.
func TestFlushTellsOfMuchMemory(t *testing.T) {
	told := 0
	b, _ := openTest(t, Options{Freed: func() { told++ }})
	value := make([]byte, 1<<20)
	for round, flush := range []func(){func() { b.Flush(0) }, func() { b.FlushAll() }} {
		for i := range flushedLeast / len(value) {
			b.Put(0, fmt.Appendf(nil, "k%d", i), value)
		}
		if flush(); told != round+1 {
			t.Fatalf("after flush %d: told %d times", round, told)
		}
		b.Put(0, []byte("k"), value)
		if flush(); told != round+1 {
			t.Fatalf("after a flush of little: told %d times", told)
		}
	}
}
