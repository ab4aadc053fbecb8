package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// reopened is the broker that a killed one leaves behind, on what its journal holds.
func reopened(t testing.TB, j *handJournal, clock *brokertest.Clock) (*Broker, *handJournal) {
	t.Helper()
	j.syncAll()
	j = newHandJournal(j.Reopen(false))
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	return b, j
}

// TestSecondLife brings a job back in every way there is, after the limits of its first life are over, and looks at it before and
// after a crash.
func TestSecondLife(t *testing.T) {
	type way struct {
		name  string
		queue string // where it is afterwards
		back  func(b *Broker, h Handle) error
		keeps bool // the same life: the TTL of the push still holds
	}
	dead := func(b *Broker, h Handle) error {
		_, _, err := b.Nack([]byte("a"), &NackOptions{Reason: "first life"}, []Handle{h}, nil)
		return err
	}
	ways := []way{
		{"replay by id", "a", func(b *Broker, h Handle) error {
			if err := dead(b, h); err != nil {
				return err
			}
			_, _, err := b.ReplayDead([]byte("a"), []uint64{h.ID}, 0)
			return err
		}, false},
		{"replay by id with a delay", "a", func(b *Broker, h Handle) error {
			if err := dead(b, h); err != nil {
				return err
			}
			_, _, err := b.ReplayDead([]byte("a"), []uint64{h.ID}, 100)
			return err
		}, false},
		{"replay all", "a", func(b *Broker, h Handle) error {
			if err := dead(b, h); err != nil {
				return err
			}
			_, _, err := b.ReplayAllDead([]byte("a"), nil)
			return err
		}, false},
		{"replay all to another queue", "b", func(b *Broker, h Handle) error {
			if err := dead(b, h); err != nil {
				return err
			}
			_, _, err := b.ReplayAllDead([]byte("a"), []byte("b"))
			return err
		}, false},
		{"release", "a", func(b *Broker, h Handle) error {
			_, _, err := b.Nack([]byte("a"), &NackOptions{Release: true}, []Handle{h}, nil)
			return err
		}, true},
		{"given back", "a", func(b *Broker, h Handle) error { b.GiveBack([]byte("a"), []Handle{h}); return nil }, true},
	}
	for _, w := range ways {
		for _, ttl := range []int64{0, 1000} {
			t.Run(fmt.Sprintf("%s, TTL %d", w.name, ttl), func(t *testing.T) {
				b, j, clock := newTestBroker(t)
				create(t, b, "a", func(c *Config) { c.Delay, c.DeadTTL = 0, 60_000 })
				create(t, b, "b", func(c *Config) { c.TTL, c.Delay, c.DeadTTL = 500, 5000, 100 })
				id := pushBodies(t, b, j, "a", PushOptions{
					MaxAttempts: 1, Lease: 7000, TTL: ttl, HasTTL: true, Priority: 9, Delay: 10, HasDelay: true, Dedup: [][]byte{[]byte("k")},
				}, "x")[0]
				clock.Advance(10 * time.Millisecond)
				owner := NewOwner()
				first := must[[]Delivery](t)(b.Pop([]byte("a"), &PopOptions{Owner: owner}, nil))[0]
				clock.Advance(1500 * time.Millisecond)
				if err := w.back(b, handle(first)); err != nil {
					t.Fatal(err)
				}
				b, _ = reopened(t, j, clock)
				clock.Advance(time.Hour)
				view, found, err := b.Get([]byte(w.queue), id)
				if w.keeps && ttl != 0 {
					if err != nil || found {
						t.Fatalf("a job that only went back to its place outlived its TTL: %+v %v", view, err)
					}
					return
				}
				if err != nil || !found || view.State != "ready" || view.Attempts != 0 || view.ExpiresAt != 0 || view.Priority != 9 || view.Bound {
					t.Fatalf("%+v %v %v", view, found, err)
				}
				second := take(t, b, w.queue, 1)
				if len(second) != 1 || second[0].Attempt != 1 || second[0].MaxAttempts != 1 || second[0].Number <= first.Number ||
					second[0].LeaseUntil != clock.Now().UnixMilli()+7000 {
					t.Fatalf("%+v", second)
				}
				// The first owner has no part in this life.
				b.CloseOwner(owner)
				if i := info(t, b, w.queue); i.Inflight != 1 {
					t.Fatalf("%+v", i)
				}
				must[int](t)(b.Nack([]byte(w.queue), &NackOptions{}, []Handle{handle(second[0])}, nil))
				if i := info(t, b, w.queue); i.Dead != 1 {
					t.Fatalf("MAXATTEMPTS does not hold in the second life: %+v", i)
				}
			})
		}
	}
}

// TestReplayRefusedChangesNothing holds that a replay which is refused changes nothing, the TTL neither.
func TestReplayRefusedChangesNothing(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "a", func(c *Config) { c.MaxLen = 1 })
	id := pushBodies(t, b, j, "a", PushOptions{TTL: 1000, HasTTL: true}, "x")[0]
	must[int](t)(b.Nack([]byte("a"), &NackOptions{Dead: true}, []Handle{handle(take(t, b, "a", 1)[0])}, nil))
	pushBodies(t, b, j, "a", PushOptions{}, "in the way")
	if _, _, err := b.ReplayDead([]byte("a"), []uint64{id}, 0); !isCode(err, "QFULL") {
		t.Fatal(err)
	}
	view, _, err := b.Get([]byte("a"), id)
	if err != nil || view.State != "dead" || view.Attempts != 1 || view.ExpiresAt != clock.Now().UnixMilli()+1000 {
		t.Fatalf("%+v %v", view, err)
	}
}

// TestKeyOfWorkThrownAway ends a job in every way there is: a key protects work that waits, runs or was done, and no other.
func TestKeyOfWorkThrownAway(t *testing.T) {
	lease := func(t *testing.T, b *Broker) []Handle { return Handles(take(t, b, "q", 1)) }
	kill := func(t *testing.T, b *Broker) {
		must[int](t)(b.Nack([]byte("q"), &NackOptions{Dead: true}, lease(t, b), nil))
	}
	ends := []struct {
		name     string
		end      func(t *testing.T, b *Broker, j *handJournal, clock *brokertest.Clock, id uint64)
		protects bool
	}{
		{"waits", func(*testing.T, *Broker, *handJournal, *brokertest.Clock, uint64) {}, true},
		{"runs", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) { lease(t, b) }, true},
		{"acknowledged", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) {
			must[int](t)(b.Ack([]byte("q"), lease(t, b), nil))
		}, true},
		{"dead letter", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) { kill(t, b) }, true},
		{"replayed", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) {
			kill(t, b)
			must[int](t)(b.ReplayAllDead([]byte("q"), nil))
		}, true},
		{"moved to another queue", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) {
			create(t, b, "other", nil)
			kill(t, b)
			must[int](t)(b.ReplayAllDead([]byte("q"), []byte("other")))
		}, true},
		{"deleted while it waits", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, id uint64) {
			must[int](t)(b.Delete([]byte("q"), []uint64{id}))
		}, false},
		{"deleted while it runs", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, id uint64) {
			lease(t, b)
			must[int](t)(b.Delete([]byte("q"), []uint64{id}))
		}, false},
		{"purged", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) {
			must[int](t)(b.Purge([]byte("q"), Ready|Delayed))
		}, false},
		{"dead letter deleted", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, id uint64) {
			kill(t, b)
			must[int](t)(b.DeleteDead([]byte("q"), []uint64{id}))
		}, false},
		{"dead letters purged", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) {
			kill(t, b)
			must[int](t)(b.PurgeDead([]byte("q")))
		}, false},
		{"dead letter too old", func(t *testing.T, b *Broker, _ *handJournal, clock *brokertest.Clock, _ uint64) {
			kill(t, b)
			clock.Advance(2 * time.Second)
		}, false},
		{"expired", func(_ *testing.T, _ *Broker, _ *handJournal, clock *brokertest.Clock, _ uint64) {
			clock.Advance(time.Minute)
		}, false},
		{"pushed out", func(t *testing.T, b *Broker, j *handJournal, _ *brokertest.Clock, _ uint64) {
			pushBodies(t, b, j, "q", PushOptions{}, "1", "2")
		}, false},
		{"failed for good without dead letters", func(t *testing.T, b *Broker, _ *handJournal, _ *brokertest.Clock, _ uint64) {
			if _, err := b.Configure([]byte("q"), func(c *Config) error { c.DeadLetters = false; return nil }); err != nil {
				t.Fatal(err)
			}
			must[int](t)(b.Nack([]byte("q"), &NackOptions{Dead: true}, lease(t, b), nil))
		}, false},
	}
	for _, e := range ends {
		for _, crash := range []string{"no crash", "crash", "compaction and crash"} {
			t.Run(e.name+", "+crash, func(t *testing.T) {
				b, j, clock := newTestBroker(t)
				create(t, b, "q", func(c *Config) { c.DedupWindow, c.DeadTTL, c.MaxLen, c.DropOldest = 3600_000, 1000, 2, true })
				o := PushOptions{Dedup: [][]byte{[]byte("k")}, TTL: 30_000, HasTTL: true}
				id := pushBodies(t, b, j, "q", o, "x")[0]
				e.end(t, b, j, clock, id)
				if crash == "compaction and crash" {
					j.syncAll()
					if err := b.Compact(); err != nil {
						t.Fatal(err)
					}
				}
				if crash != "no crash" {
					b, j = reopened(t, j, clock)
				}
				pushed := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("again")}, &o, nil))[0]
				j.syncAll()
				if pushed.New == e.protects || e.protects && pushed.ID != id {
					t.Fatalf("pushed again: %+v, the job was %d", pushed, id)
				}
				if again := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("again")}, &o, nil))[0]; again.New || again.ID != pushed.ID {
					t.Fatalf("a third push: %+v", again)
				}
				if !e.protects {
					// The end of the first job's time in the log must not take the key of the second.
					b, _ = reopened(t, j, clock)
					if again := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("again")}, &o, nil))[0]; again.New || again.ID != pushed.ID {
						t.Fatalf("a push after a crash: %+v", again)
					}
				}
				checkInvariants(t, b, "q")
			})
		}
	}
}

// TestKeyOfExpiredWorkOnDisk pushes the keys of jobs that are on disk and whose time is over, while others of their run still
// have time and keep it there.
func TestKeyOfExpiredWorkOnDisk(t *testing.T) {
	b, j, clock := spilling(t, nil)
	keyed := func(i int, ttl int64) PushOptions {
		return PushOptions{Dedup: [][]byte{fmt.Append(nil, i)}, TTL: ttl, HasTTL: true, Priority: 1}
	}
	var ids []uint64
	for i := range 60 {
		ttl := int64(60_000)
		if i%2 == 1 {
			ttl = 1000
		}
		ids = append(ids, pushBodies(t, b, j, "q", keyed(i, ttl), fmt.Sprint("body ", i))...)
	}
	stored(t, b)
	if info(t, b, "q").Cold == 0 {
		t.Fatal("nothing is on disk")
	}
	clock.Advance(2 * time.Second)
	for i := range ids {
		got := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("again")}, &PushOptions{Dedup: keyed(i, 0).Dedup}, nil))[0]
		j.syncAll()
		if expired := i%2 == 1; got.New != expired || !expired && got.ID != ids[i] {
			t.Fatalf("key %d: %+v, the job was %d", i, got, ids[i])
		}
	}
	checkInvariants(t, b, "q")
}

// TestKeyTakenOver throws a job away whose key belongs to a later one, for its window had ended.
func TestKeyTakenOver(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.DedupWindow = 1000 })
	o := PushOptions{Dedup: [][]byte{[]byte("k")}}
	first := pushBodies(t, b, j, "q", o, "x")[0]
	clock.Advance(1001 * time.Millisecond)
	second := pushBodies(t, b, j, "q", o, "x")[0]
	must[int](t)(b.Delete([]byte("q"), []uint64{first}))
	for range 2 {
		if again := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{nil}, &o, nil))[0]; again.New || again.ID != second {
			t.Fatalf("%+v, want %d", again, second)
		}
		b, j = reopened(t, j, clock)
	}
}

// TestShorterWindowLeavesKeys makes the window of a queue shorter: keys that were pushed before hold as long as was said, also over a
// snapshot and a start.
func TestShorterWindowLeavesKeys(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.DedupWindow = 3600_000 })
	o := PushOptions{Dedup: [][]byte{[]byte("k")}}
	first := pushBodies(t, b, j, "q", o, "x")[0]
	if _, err := b.Configure([]byte("q"), func(c *Config) error { c.DedupWindow = 1000; return nil }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		clock.Advance(1790 * time.Second)
		if again := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{nil}, &o, nil))[0]; again.New || again.ID != first {
			t.Fatalf("%+v, want %d", again, first)
		}
		compacted(t, b, j)
		b, j = reopened(t, j, clock)
	}
	clock.Advance(21 * time.Second)
	if again := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{nil}, &o, nil))[0]; !again.New {
		t.Fatalf("%+v after the window", again)
	}
}
