package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// until waits for something that another goroutine does.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// MAXPENDING counts what consumers hold. What they gave back, to come again later, leaves room for others.
func TestEntriesThatWaitLeaveRoom(t *testing.T) {
	clock := newClock()
	b := openBroker(t, brokertest.NewJournal(), clock)
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{MaxPending: 2, AckWait: time.Minute})
	add(t, b, "a", "b", "c", "d", "e")
	later := func(offset uint64, delay time.Duration) {
		t.Helper()
		if n, _, err := b.Nack(streamName, groupName, NackFail, exactly(Range{offset, offset}), delay, ""); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	want(t, "up to the limit", take(t, b, 9), "[1x1 2x1]")
	later(1, time.Hour)
	later(2, time.Second)
	want(t, "the limit again", take(t, b, 9), "[3x1 4x1]")
	clock.Advance(time.Second)
	want(t, "due, but there is no room", take(t, b, 9), "[]")
	got, err := b.Consume(streamName, groupName, []byte("w"), ConsumeOptions{Count: 1, MaxBytes: 99, Wait: true}, nil)
	if err != nil || got.Waiter == nil {
		t.Fatal(got, err)
	}
	b.Ack(streamName, groupName, exactly(Range{3, 3}), 0)
	want(t, "who makes room wakes", len(got.Waiter.C), 1)
	want(t, "what comes again is before what is new", take(t, b, 1), "[2x2]")
	want(t, "full", take(t, b, 1), "[]")
	// What lapses counts already, so it comes again without room, also behind others that wait for it.
	later(2, time.Second)
	want(t, "one more", take(t, b, 9), "[5x1]")
	clock.Advance(time.Minute)
	want(t, "lapsed", take(t, b, 9), "[4x2 5x2]")
	st, err := b.GroupStats(streamName, groupName)
	want(t, "pending and held", fmt.Sprint(st.Pending, st.Held, err), "4 2 <nil>")
}

// A consumer that waits is woken when something comes again, whether it was given back or has lapsed.
func TestWaitersSeeWhatComesAgain(t *testing.T) {
	clock := newClock()
	b := openBroker(t, brokertest.NewJournal(), clock)
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{MaxPending: 2, AckWait: time.Minute})
	add(t, b, "a", "b")
	take(t, b, 9)
	b.Nack(streamName, groupName, NackFail, exactly(Range{1, 1}), time.Second, "")
	for _, step := range []struct {
		advance time.Duration
		want    string
	}{{time.Second, "[1x2]"}, {59 * time.Second, "[2x2]"}, {time.Second, "[1x3]"}} {
		got, err := b.Consume(streamName, groupName, []byte("w"), ConsumeOptions{Count: 1, MaxBytes: 99, Wait: true}, nil)
		if err != nil || got.Waiter == nil {
			t.Fatal(got, err)
		}
		clock.Step(-24 * time.Hour)
		clock.Advance(step.advance - time.Millisecond)
		want(t, "too early", len(got.Waiter.C), 0)
		clock.Advance(time.Millisecond)
		want(t, "woken", len(got.Waiter.C), 1)
		want(t, "again", take(t, b, 1), step.want)
	}
}

// A wait is as long as was asked for, wherever somebody sets the wall clock meanwhile, and no longer across a restart.
func TestStepsOfTheWallMoveNoWait(t *testing.T) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{-day, day} {
		for _, restart := range []string{"no", "restart", "snapshot and restart"} {
			t.Run(fmt.Sprint(step, ", ", restart), func(t *testing.T) {
				clock, j := newClock(), brokertest.NewJournal()
				b := openBroker(t, j, clock)
				create(t, b, func(c *Config) { c.DedupWindow = time.Minute })
				makeGroup(t, b, GroupConfig{AckWait: time.Minute, MaxPending: 10})
				add(t, b, "lapses", "is delayed", "is extended")
				take(t, b, 3)
				b.Nack(streamName, groupName, NackFail, exactly(Range{2, 2}), time.Minute, "")
				b.Extend(streamName, groupName, time.Minute, exactly(Range{3, 3}))
				b.Append(streamName, [][]byte{[]byte("once")}, Expect{}, []byte("key"), false)
				clock.Step(step)
				if restart != "no" {
					if restart != "restart" {
						seal(t, b)
					}
					clock.Step(-day) // while the server is down
					b.Close()
					j = j.Reopen(true)
					b = openBroker(t, j, clock)
				}
				again := func() (duplicate bool) {
					result, _, err := b.Append(streamName, [][]byte{[]byte("twice")}, Expect{}, []byte("key"), false)
					if err != nil {
						t.Fatal(err)
					}
					return result.Duplicate
				}
				clock.Advance(time.Minute - time.Millisecond)
				want(t, "the window holds", again(), true)
				want(t, "too early", take(t, b, 9), "[4x1]")
				clock.Advance(time.Millisecond)
				want(t, "the window is over", again(), false)
				want(t, "due", take(t, b, 4), "[1x2 2x2 3x2 5x1]")
			})
		}
	}
}

// Nothing is removed for its age before it is that old, whatever the wall shows.
func TestStepsOfTheWallRemoveNothingEarly(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.MaxAge = time.Hour })
	entries := func() string { return fetchAll(t, b) }
	add(t, b, "a")
	clock.Step(24 * time.Hour)
	add(t, b, "b")
	want(t, "set forward", entries(), "a b")
	clock.Step(-48 * time.Hour)
	add(t, b, "c")
	want(t, "set back", entries(), "a b c")
	clock.Advance(time.Hour)
	add(t, b, "d")
	want(t, "the wall is behind the entries", entries(), "a b c d")
	clock.Step(24 * time.Hour)
	want(t, "set right", entries(), "b c d")
	b.Close()
	b = openBroker(t, j.Reopen(true), clock)
	want(t, "after a restart", entries(), "b c d")
	clock.Advance(25 * time.Hour)
	want(t, "by their own times", entries(), "")
}

func TestWaitsAreEncodedWhole(t *testing.T) {
	clock := newClock()
	b := openBroker(t, brokertest.NewJournal(), clock)
	now := b.time.Now()
	for _, wait := range []int64{-1 << 40, -1, 1, 0, 30_000, 1 << 40} {
		due := now.Steady + wait
		if got := b.waitEnd(now.Wall, encodeWait(due, now.Steady)); got != due {
			t.Errorf("a wait of %d ms ends at %d, not %d", wait, got, due)
		}
	}
	want(t, "never", b.waitEnd(now.Wall, encodeWait(never, now.Steady)), never)
}
