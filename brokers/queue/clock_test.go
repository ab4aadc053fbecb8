package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

const day = 24 * time.Hour

// A wait is as long as was asked for, wherever somebody sets the wall clock meanwhile, and no longer across a restart.
func TestStepsOfTheWallMoveNoWait(t *testing.T) {
	for _, step := range []time.Duration{-day, day} {
		for _, restart := range []string{"no", "restart", "snapshot and restart"} {
			t.Run(fmt.Sprint(step, ", ", restart), func(t *testing.T) {
				b, j, clock := newTestBroker(t)
				minute := time.Minute.Milliseconds()
				for _, name := range []string{"q", "paused"} {
					create(t, b, name, func(c *Config) {
						c.Lease, c.Backoff, c.BackoffBase, c.DeadTTL, c.DedupWindow = minute, BackoffFixed, minute, minute, minute
					})
				}
				pushBodies(t, b, j, "q", PushOptions{Dedup: [][]byte{[]byte("key")}}, "is done")
				must[int](t)(b.Ack([]byte("q"), Handles(take(t, b, "q", 1)), nil))
				pushBodies(t, b, j, "q", PushOptions{}, "is leased", "fails", "dies", "is extended")
				jobs := take(t, b, "q", 4)
				must[int](t)(b.Nack([]byte("q"), &NackOptions{}, Handles(jobs[1:2]), nil))
				must[int](t)(b.Nack([]byte("q"), &NackOptions{Dead: true}, Handles(jobs[2:3]), nil))
				must[int](t)(b.Extend([]byte("q"), minute, Handles(jobs[3:4]), nil))
				pushBodies(t, b, j, "q", PushOptions{Delay: minute, HasDelay: true}, "is delayed")
				pushBodies(t, b, j, "q", PushOptions{TTL: minute, HasTTL: true}, "ends")
				pushBodies(t, b, j, "paused", PushOptions{}, "waits")
				if _, err := b.Pause([]byte("paused"), true, true, minute); err != nil {
					t.Fatal(err)
				}
				clock.Step(step)
				if restart != "no" {
					if restart != "restart" {
						if err := b.Compact(); err != nil {
							t.Fatal(err)
						}
					}
					j.syncAll()
					if step < 0 || restart == "restart" {
						clock.Step(-day) // while the server is down
					}
					b = open(t, j.Reopen(true), clock)
				}
				again := func() bool {
					o := PushOptions{Delay: minute, HasDelay: true, Dedup: [][]byte{[]byte("key")}}
					out, _, err := b.Push([]byte("q"), [][]byte{[]byte("again")}, &o, nil)
					if err != nil {
						t.Fatal(err)
					}
					return out[0].New
				}
				state := func() string {
					i, p := info(t, b, "q"), info(t, b, "paused")
					return fmt.Sprintf("%d ready %d delayed %d leased %d dead, %d gone, paused %v", i.Ready, i.Delayed, i.Inflight, i.Dead,
						i.Counters.Expired, p.PausedIn || p.PausedOut)
				}
				clock.Advance(time.Minute - time.Millisecond)
				if got, want := state(), "1 ready 2 delayed 2 leased 1 dead, 0 gone, paused true"; got != want {
					t.Fatalf("too early: %s, want %s", got, want)
				}
				if again() {
					t.Error("the window is over early")
				}
				clock.Advance(time.Millisecond)
				if got, want := state(), "4 ready 0 delayed 0 leased 0 dead, 2 gone, paused false"; got != want {
					t.Fatalf("due: %s, want %s", got, want)
				}
				if !again() {
					t.Error("the window is not over")
				}
			})
		}
	}
}

// A job that is due at a date is due when the wall shows it, in this life and in the next.
func TestDatesFollowTheWall(t *testing.T) {
	for _, restart := range []string{"no", "restart", "snapshot and restart"} {
		t.Run(restart, func(t *testing.T) {
			b, j, clock := newTestBroker(t)
			create(t, b, "q", nil)
			at := testStart.Add(2 * time.Hour)
			pushBodies(t, b, j, "q", PushOptions{At: at.UnixMilli(), HasAt: true}, "x", "y")
			ready := func(what string, want int) {
				t.Helper()
				if i := info(t, b, "q"); i.Ready != want || i.Delayed != 2-want {
					t.Fatalf("%s: %+v", what, i)
				}
			}
			clock.Step(-day)
			clock.Advance(3 * time.Hour)
			ready("the wall was set back", 0)
			if restart != "no" {
				if restart != "restart" {
					if err := b.Compact(); err != nil {
						t.Fatal(err)
					}
				}
				j.syncAll()
				b = open(t, j.Reopen(true), clock)
			}
			if page, _, _, err := b.Peek([]byte("q"), Delayed, 0, 1, Match{}, 1); err != nil || page[0].DueAt != at.UnixMilli() {
				t.Fatal(page, err)
			}
			clock.Step(at.Add(-time.Minute).Sub(clock.Now().Round(0)))
			clock.Advance(time.Minute - time.Millisecond)
			ready("a millisecond before", 0)
			clock.Advance(time.Millisecond)
			ready("at the date", 2)
			// What comes back is not dated any more.
			must[int](t)(b.Nack([]byte("q"), &NackOptions{Delay: 1000, HasDelay: true}, Handles(take(t, b, "q", 2)), nil))
			clock.Step(-day)
			clock.Advance(time.Second)
			ready("after a second", 2)
			if q := b.directory.byName["q"]; q.dated != nil {
				t.Error("dates are kept")
			}
		})
	}
}

// Runs hold the times of their process, a snapshot holds the wall's.
func TestRunsBesideStepsOfTheWall(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, 300, PushOptions{TTL: time.Hour.Milliseconds(), HasTTL: true})
	stored(t, b)
	if info(t, b, "q").Cold == 0 {
		t.Fatal("nothing is on disk")
	}
	clock.Step(day)
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	b.spill.close()
	records := j.Reopen(true)
	for _, c := range []*brokertest.Clock{clock, brokertest.NewClock(clock.Now().Round(0).Add(-7 * day))} {
		again, err := Open(Options{
			Journal: records.Reopen(true), Clock: c, Durability: brokers.Always, SpillDirectory: b.options.SpillDirectory,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Hour - time.Millisecond)
		calm(t, again, c)
		if i := info(t, again, "q"); i.Ready != 300 {
			t.Fatalf("%+v", i)
		}
		c.Advance(time.Millisecond)
		calm(t, again, c)
		if i := info(t, again, "q"); i.Ready != 0 || i.Counters.Expired != 300 {
			t.Fatalf("%+v", i)
		}
		again.spill.close()
	}
}

// Logs of before have marks and pauses that do not tell when they were made.
func TestRecordsWithoutTheirTime(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{Delay: time.Minute.Milliseconds(), HasDelay: true}, "x")
	if _, err := b.Pause([]byte("q"), true, true, time.Minute.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	wall := len(appendTime(nil, clock.Now().UnixMilli()))
	old := brokertest.NewJournal()
	for _, record := range j.Records() {
		switch r := (&reader{body: record[2:]}); {
		case record[1] == opMark && decodeMark(r).at == 0:
			record = record[:len(record)-1]
		case record[1] == opMark || record[1] == opPause:
			record = record[:len(record)-wall]
		}
		old.Append(record, true)
	}
	b = open(t, old.Reopen(true), clock)
	if i := info(t, b, "q"); i.Delayed != 1 || !i.PausedOut {
		t.Fatalf("%+v", i)
	}
	clock.Advance(time.Minute)
	if i := info(t, b, "q"); i.Ready != 1 || i.PausedOut {
		t.Fatalf("%+v", i)
	}
}

// calm waits until nothing more expires at once. Every run that is back has the timer look for the next ones.
func calm(t testing.TB, b *Broker, clock *brokertest.Clock) {
	t.Helper()
	for expired, before := uint64(1), uint64(0); expired != before; {
		before = info(t, b, "q").Counters.Expired
		settleFetches(b)
		clock.Advance(0)
		settleFetches(b)
		expired = info(t, b, "q").Counters.Expired
	}
}
