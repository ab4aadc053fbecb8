package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// contents is the whole state, for comparison.
func contents(b *Broker) map[string]string {
	all := map[string]string{}
	for sh := range b.allShards() {
		sh.mu.Lock()
		sh.table.each(func(e *entry) {
			all[fmt.Sprintf("%d/%s", sh.database, e.key())] = fmt.Sprintf("%s %q expires %d flags %d", e.kind, sh.value(e),
				sh.wallDeadline(e, b.now()), e.flags&flagsRecorded)
		})
		sh.mu.Unlock()
	}
	return all
}

func compareContents(t *testing.T, want, got map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s was %s and is %q", key, value, got[key])
		}
	}
	for key, value := range got {
		if _, there := want[key]; !there {
			t.Errorf("%s is %s and was not there", key, value)
		}
	}
}

func reopen(t *testing.T, j *brokertest.Journal, clock *brokertest.Clock) *Broker {
	t.Helper()
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkConsistent(t, b)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// randomValue is a number mostly, and now and then long enough for another class of blocks, or for none.
func randomValue(r *rand.Rand) []byte {
	n := 0
	switch r.IntN(60) {
	case 0:
		n = r.IntN(2 * blockValueMax)
	case 1, 2:
		n = r.IntN(blockValueMax)
	case 3, 4, 5, 6, 7, 8:
		n = r.IntN(300)
	}
	return bytes.Repeat(fmt.Appendf(nil, "%d", r.IntN(1000)), 1+n/4)
}

// randomChange makes one change of any kind.
func randomChange(b *Broker, r *rand.Rand) {
	key := func() []byte { return fmt.Appendf(nil, "k%d", r.IntN(40)) }
	value := randomValue(r)
	db := r.IntN(3)
	expiry := []Expiry{{}, {Mode: ExpireKeep}, {Mode: ExpireIn, At: 1 + r.Int64N(5000)},
		{Mode: ExpireAt, At: testStart.UnixMilli() + r.Int64N(20_000)}}[r.IntN(4)]
	switch r.IntN(17) {
	case 0, 1:
		b.Put(db, key(), value)
	case 2, 3:
		b.Set(db, key(), value, SetOptions{Expiry: expiry, Condition: Condition(r.IntN(5)), Compare: value})
	case 4:
		b.SetMany(db, [][]byte{key(), value, key(), value}, Condition(r.IntN(3)), expiry)
	case 5:
		b.Delete(db, [][]byte{key(), key()})
	case 6:
		b.Delete(db, [][]byte{key()})
	case 7:
		b.Rename(db, key(), key(), r.IntN(2) == 0)
	case 8:
		b.Copy(db, key(), r.IntN(3), key(), true)
	case 9:
		b.Append(db, key(), value)
	case 10:
		b.Increment(db, key(), 5, CounterExpiry{Expiry: expiry})
	case 11:
		b.Expire(db, key(), Expiry{Mode: ExpireIn, At: r.Int64N(3000) - 100}, 0)
	case 12:
		b.Persist(db, key())
	case 13:
		b.Limit(db, fmt.Appendf(nil, "limit%d", r.IntN(3)), 10, 5*time.Second, 1)
	case 14:
		b.GetExpire(db, key(), nil, expiry, Touches)
	case 15:
		b.SetRange(db, key(), r.IntN(300), value)
	case 16:
		switch r.IntN(60) {
		case 0:
			b.Flush(db)
		case 1:
			b.FlushAll()
		default:
			b.GetDelete(db, key(), nil)
		}
	}
}

func TestReplayGivesTheSameState(t *testing.T) {
	for round := range 20 {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		r := rand.New(rand.NewPCG(seed, 0))
		clock := brokertest.NewClock(testStart)
		j := brokertest.NewJournal()
		b := reopen(t, j, clock)
		for range 1500 {
			randomChange(b, r)
			if r.IntN(10) == 0 {
				clock.Advance(time.Duration(r.IntN(300)) * time.Millisecond)
			}
			if r.IntN(300) == 0 {
				if err := b.Compact(); err != nil {
					t.Fatal(err)
				}
			}
		}
		compareContents(t, contents(b), contents(reopen(t, j.Reopen(true), clock)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestKeysExpireWhileTheServerIsDown(t *testing.T) {
	clock := brokertest.NewClock(testStart)
	j := brokertest.NewJournal()
	b := reopen(t, j, clock)
	set(t, b, "short", "v", Expiry{Mode: ExpireIn, At: 1000})
	set(t, b, "long", "v", Expiry{Mode: ExpireIn, At: 10_000})
	later := brokertest.NewClock(testStart.Add(5 * time.Second))
	again := reopen(t, j.Reopen(true), later)
	if get(t, again, "short") != "(missing)" {
		t.Error("a key outlived its time")
	}
	if info, _ := again.Inspect(0, []byte("long")); info.TTL != 5000 {
		t.Errorf("%d ms are left of 5000", info.TTL)
	}
}

// TestCompactionServesMeanwhile changes keys from inside the dump: the snapshot is of no single instant, the replay of
// the records behind the cut must make up for it.
func TestCompactionServesMeanwhile(t *testing.T) {
	for round := range 10 {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		r := rand.New(rand.NewPCG(seed, 0))
		clock := brokertest.NewClock(testStart)
		j := brokertest.NewJournal()
		b := reopen(t, j, clock)
		for range 500 {
			randomChange(b, r)
		}
		finish, err := j.Cut()
		if err != nil {
			t.Fatal(err)
		}
		err = finish(func(emit brokers.Emit) error {
			return b.dump(func(body []byte) error {
				for range 5 {
					randomChange(b, r)
				}
				return emit(body)
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		compareContents(t, contents(b), contents(reopen(t, j.Reopen(true), clock)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestALongLogIsCompacted(t *testing.T) {
	clock := brokertest.NewClock(testStart)
	j := brokertest.NewJournal()
	b := reopen(t, j, clock)
	value := make([]byte, 1<<20)
	for range 2 * compactAt >> 20 {
		b.Put(0, []byte("k"), value)
	}
	b.notified(0, 0)                  // as the journal does after each batch
	if err := b.Close(); err != nil { // waits for the compaction that was started
		t.Fatal(err)
	}
	if n := j.LogBytes(); n >= compactAt {
		t.Errorf("the log has %d bytes for one key of 1 MiB", n)
	}
	if c := b.Counters(); c.CompactionError != "" {
		t.Error(c.CompactionError)
	}
}

func TestAFailedCompactionIsNotRepeatedAtOnce(t *testing.T) {
	clock := brokertest.NewClock(testStart)
	failing := &failingCut{Journal: brokertest.NewJournal(), bytes: 2 * compactAt}
	b, err := Open(Options{Journal: failing, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		b.notified(0, 0)
		b.compaction.done.Wait()
	}
	if failing.cuts != 1 || b.Counters().CompactionError == "" {
		t.Errorf("%d tries, %q", failing.cuts, b.Counters().CompactionError)
	}
	failing.bytes += compactAt
	b.notified(0, 0)
	b.compaction.done.Wait()
	if failing.cuts != 2 {
		t.Errorf("%d tries after the log has grown", failing.cuts)
	}
	if err := b.Close(); err == nil {
		t.Error("Close does not tell of the failure")
	}
}

type failingCut struct {
	brokers.Journal
	bytes int64
	cuts  int
}

func (f *failingCut) LogBytes() int64 { return f.bytes }

func (f *failingCut) Cut() (brokers.Finish, error) {
	f.cuts++
	return nil, errors.New("no space")
}

func TestAFullDiskRefusesAddsOnly(t *testing.T) {
	clock := brokertest.NewClock(testStart)
	j := brokertest.NewJournal()
	b := reopen(t, j, clock)
	b.Put(0, []byte("k"), []byte("v"))
	full := brokers.Errorf("DISKFULL", "no space")
	j.SetReady(full)
	if _, err := b.Put(0, []byte("x"), nil); !errors.Is(err, full) {
		t.Error("SET:", err)
	}
	if _, _, err := b.Increment(0, []byte("n"), 1, KeepExpiry); !errors.Is(err, full) {
		t.Error("INCR:", err)
	}
	if get(t, b, "k") != "v" {
		t.Error("a read failed")
	}
	if n, _ := b.Delete(0, [][]byte{[]byte("k")}); n != 1 {
		t.Error("a delete failed")
	}
}

func TestReceiptsWaitForTheJournal(t *testing.T) {
	j := brokertest.NewJournal()
	b := reopen(t, j, brokertest.NewClock(testStart))
	j.Auto = false
	r, err := b.Put(0, []byte("k"), []byte("v"))
	if err != nil || r.Seq == 0 || r.Durability != brokers.Always {
		t.Fatalf("%+v %v", r, err)
	}
	done := make(chan error)
	go func() { done <- r.Wait() }()
	select {
	case <-done:
		t.Fatal("a receipt did not wait")
	default:
	}
	j.Advance(r.Seq, r.Seq)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func FuzzReplay(f *testing.F) {
	j := brokertest.NewJournal()
	b, err := Open(Options{Journal: j, Clock: brokertest.NewClock(testStart)})
	if err != nil {
		f.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		randomChange(b, r)
	}
	b.Close()
	for _, rec := range j.Records() {
		f.Add(rec)
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		b, _ := openTest(t, Options{})
		b.replay(rec)
	})
}
