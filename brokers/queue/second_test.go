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
				b, j = reopened(t, j, clock)
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
