package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/store/slab"
)

// TestValuesOfAllSizesAgainstAModel changes values so that they outgrow their blocks, shrink, move apart and back, and compares
// every one with a map.
func TestValuesOfAllSizesAgainstAModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b, _ := openTest(t, Options{})
	model := map[string][]byte{}
	key := func() string { return fmt.Sprint("k", r.IntN(300)) }
	for range 40_000 {
		k, value := key(), randomValue(r)
		switch r.IntN(9) {
		case 0, 1, 2:
			b.Put(0, []byte(k), value)
			model[k] = value
		case 3:
			b.Append(0, []byte(k), value)
			model[k] = append(bytes.Clone(model[k]), value...)
		case 4:
			offset := r.IntN(400)
			b.SetRange(0, []byte(k), offset, value)
			changed := make([]byte, max(len(model[k]), offset+len(value)))
			copy(changed, model[k])
			copy(changed[offset:], value)
			model[k] = changed
		case 5:
			if to := key(); model[k] != nil && to != k {
				b.Rename(0, []byte(k), []byte(to), false)
				model[to] = model[k]
				delete(model, k)
			}
		case 6:
			if to := key(); model[k] != nil && to != k {
				b.Copy(0, []byte(k), 0, []byte(to), true)
				model[to] = model[k]
			}
		case 7, 8:
			b.Delete(0, [][]byte{[]byte(k)})
			delete(model, k)
		}
		got, found, err := look(b, 0, []byte(k))
		if want, has := model[k]; err != nil || found != has || !bytes.Equal(got, want) {
			t.Fatalf("key %s: %d bytes, found %v, error %v; should be %d bytes, %v", k, len(got), found, err, len(want), has)
		}
	}
	b.tightenUpTo(tightenPerTick)
	if n := b.Size(0); n != len(model) {
		t.Fatalf("%d keys of %d", n, len(model))
	}
	for k, want := range model {
		if got, _, _ := look(b, 0, []byte(k)); !bytes.Equal(got, want) {
			t.Fatalf("key %s has changed", k)
		}
	}
}

// sealed is a value that tells whether it is whole: its length, then bytes that follow from it.
func sealed(r *rand.Rand) []byte {
	n := 8 + r.IntN(1<<(3+r.IntN(13)))
	value := bytes.Repeat([]byte{byte(n), byte(n >> 8), 1}, n/3+1)[:n]
	binary.LittleEndian.PutUint64(value, uint64(n))
	return value
}

func whole(value []byte) bool {
	if len(value) < 8 {
		return false
	}
	n := int(binary.LittleEndian.Uint64(value))
	return n == len(value) && bytes.Equal(value[8:], bytes.Repeat([]byte{byte(n), byte(n >> 8), 1}, n/3+1)[8:n])
}

// TestReadersKeepWhatTheyWereGiven reads in every way there is while others overwrite, delete, rename, evict and flush, and looks again
// later at all that a reader may keep. With the race detector a block that is freed is overwritten.
func TestReadersKeepWhatTheyWereGiven(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	b, _ := openTest(t, Options{MaxMemory: 4 << 20, MaxMemoryPolicy: "allkeys-lru"})
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	key := func(r *rand.Rand) []byte { return fmt.Appendf(nil, "key-%d", r.IntN(500)) }
	for g := range uint64(3) {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 4000 {
				switch r.IntN(12) {
				case 0:
					b.Delete(0, [][]byte{key(r)})
				case 1:
					b.Rename(0, key(r), key(r), false)
				case 2:
					b.Copy(0, key(r), 0, key(r), true)
				case 3:
					if r.IntN(100) == 0 {
						b.FlushAll()
					}
				case 4:
					b.Set(0, key(r), sealed(r), SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 1_000_000}})
				default:
					b.Put(0, key(r), sealed(r))
				}
			}
		})
	}
	for g := range uint64(3) {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 100+g))
			var kept [32]struct{ name, value []byte }
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if k := &kept[i%len(kept)]; k.value != nil && (!whole(k.value) || !bytes.HasPrefix(k.name, []byte("key-"))) {
					t.Errorf("seed %d: what a reader kept of %q has changed", seed, k.name)
					return
				}
				name := key(r)
				kept[i%len(kept)].name, kept[i%len(kept)].value = name, readSomehow(b, r, name)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// readSomehow reads a value in one of the ways that give it away; nil when there is none.
func readSomehow(b *Broker, r *rand.Rand, key []byte) (value []byte) {
	switch r.IntN(8) {
	case 0:
		value, _, _, _ = b.GetWithTTL(0, key, nil, Touches)
	case 1:
		value, _, _ = b.Peek(0, key)
	case 2:
		value, _, _, _ = b.GetDelete(0, key, nil)
	case 3:
		value, _, _, _ = b.GetExpire(0, key, nil, Expiry{Mode: ExpireNever}, Touches)
	case 4:
		result, _, _ := b.Set(0, key, sealed(r), SetOptions{Old: true})
		value = result.Previous
	case 5:
		b.GetMany(0, [][]byte{key}, Touches, func(shown []byte, _ bool) { value = bytes.Clone(shown) })
	case 6:
		b.Scan(0, 0, 1, func(item Item) Verdict {
			value = bytes.Clone(item.Value)
			return Full
		})
		if name, found := b.RandomKey(0); found && name[:4] != "key-" {
			return []byte("a damaged key")
		}
	default:
		value, _, _ = look(b, 0, key)
	}
	return value
}

// TestMemoryFollowsTheAccount holds that what is held outside of the heap stays near the account when the sizes of values change, and
// goes when the keys go.
func TestMemoryFollowsTheAccount(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 64 MiB four times over: of less the spans that are not full would be more than what is compared")
	}
	const limit = 64 << 20
	b, clock := openTest(t, Options{MaxMemory: limit, MaxMemoryPolicy: "allkeys-lru"})
	r := rand.New(rand.NewPCG(7, 7))
	value := make([]byte, 4000)
	for round, most := range []int{3000, 100, 1500, 400} {
		for i := range limit * 3 / (most + 100) {
			if _, err := b.Put(0, fmt.Appendf(nil, "round%d-%d", round, i), value[:r.IntN(most+1)]); err != nil {
				t.Fatal(err)
			}
		}
		outside := b.Resident()
		t.Logf("values of up to %d bytes: account %d, held %d", most, b.memory.Load(), outside)
		if float64(outside) > 1.15*limit {
			t.Errorf("values of up to %d bytes: %d bytes are held for an account of %d", most, outside, b.memory.Load())
		}
	}
	b.FlushAll()
	b.blocks.behind.Wait()
	clock.Advance(time.Second)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		outside := b.Resident()
		if outside <= 4<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are held for nothing", outside)
		}
	}
}

// TestBytesPerKey holds the cost of a key: 16 byte keys and 64 byte values, of which Redis needs 152 bytes each. The account must not be
// far from what is held, it is what maxmemory bounds.
func TestBytesPerKey(t *testing.T) {
	const n = 200_000
	b, _ := openTest(t, Options{})
	key, value := make([]byte, 0, 32), make([]byte, 64)
	for i := range n {
		key = fmt.Appendf(key[:0], "key:%012d", i)
		if _, err := b.Put(0, key, value); err != nil {
			t.Fatal(err)
		}
	}
	account, held := float64(b.memory.Load())/n, float64(b.Resident())/n
	t.Logf("per key: account %.0f B, held %.0f B", account, held)
	if held > 140 {
		t.Errorf("a key costs %.0f bytes", held)
	}
	if account < 0.9*held || account > 1.1*held {
		t.Errorf("the account says %.0f bytes per key, and %.0f are held", account, held)
	}
}

// TestEntriesAreAsSmallAsTheyAre holds the size of what every key has.
func TestEntriesAreAsSmallAsTheyAre(t *testing.T) {
	if entrySize != 32 {
		t.Errorf("an entry has %d bytes", entrySize)
	}
	b, _ := openTest(t, Options{})
	b.Put(0, []byte("sixteen bytes ok"), make([]byte, 64))
	if info, _ := b.Inspect(0, []byte("sixteen bytes ok")); info.Bytes != int64(slab.Size(32+16+64)+bucketOverhead) {
		t.Errorf("a key of 16 bytes with 64 takes %d", info.Bytes)
	}
}

// TestAFlushEndsTightening flushes when a span is out of use and some of its entries have moved: nothing more may move, and nothing
// may stay held.
func TestAFlushEndsTightening(t *testing.T) {
	b, _ := openTest(t, Options{})
	const keys = 200_000
	name := func(i int) []byte { return fmt.Appendf(nil, "k%d", i) }
	for i := range keys {
		b.Put(0, name(i), nil)
	}
	for i := range keys {
		if i%3 > 0 {
			sh, hash := b.shardOf(0, name(i))
			sh.mu.Lock()
			b.remove(sh, sh.table.find(hash, name(i)))
			sh.mu.Unlock()
		}
	}
	shards := b.shards(0)
	g := shards[0].group
	owners, found := g.arena.Begin()
	if !found {
		t.Fatal("two of three keys are gone, and there is nothing to tighten")
	}
	moved := 0
	for i := range groupSize {
		if owners.Has(uint8(i)) {
			if moved++; moved == 2 {
				b.FlushAll()
				b.Put(0, []byte("new"), nil)
			}
			if more := g.move(&shards[i]); more != (moved < 2) {
				t.Fatalf("shard %d, the %d. of the span: moved is %v", i, moved, more)
			}
		}
	}
	if moved < 2 {
		t.Fatalf("the span has entries of %d shards", moved)
	}
	for b.tighten() { // the groups that were listed before the flush are nobody's
	}
	if got := get(t, b, "new"); got != "" {
		t.Errorf("a key set since the flush is %q", got)
	}
}
