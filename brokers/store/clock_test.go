package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// A time to live is as long as was said wherever the wall is set meanwhile, a date follows the wall; both on a read and by
// the timer, and a record of either holds the date as the wall has it then.
func TestDeadlinesBesideStepsOfTheWall(t *testing.T) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{-day, day} {
		t.Run(step.String(), func(t *testing.T) {
			clock, journal := brokertest.NewClock(testStart), brokertest.NewJournal()
			b, err := Open(Options{Clock: clock, Journal: journal, Durability: brokers.Always})
			if err != nil {
				t.Fatal(err)
			}
			set(t, b, "in", "v", Expiry{Mode: ExpireIn, At: 60_000})
			set(t, b, "at", "v", Expiry{Mode: ExpireAt, At: testStart.UnixMilli() + 60_000})
			keys := func() string {
				words := ""
				for _, key := range []string{"in", "at"} {
					if info, found := b.Inspect(0, []byte(key)); found {
						words += fmt.Sprint(key, " ", info.TTL, " ")
					}
				}
				return fmt.Sprint(words, b.Size(0))
			}
			check := func(what, want string) {
				t.Helper()
				if got := keys(); got != want {
					t.Fatalf("%s: got %s, want %s", what, got, want)
				}
			}
			clock.Step(step)
			later := "in 60000 at 86460000 2"
			if step > 0 {
				clock.Advance(time.Second) // the timer looks once a second whether a date has come
				later = "in 59000 1"
			}
			check("after the step", later)
			set(t, b, "in", "v", Expiry{Mode: ExpireIn, At: 60_000})
			again, err := Open(Options{Clock: clock, Journal: journal.Reopen(true), Durability: brokers.Always})
			if err != nil {
				t.Fatal(err)
			}
			if info, found := again.Inspect(0, []byte("in")); !found || info.TTL != 60_000 {
				t.Errorf("a restart finds %d ms", info.TTL)
			}
			again.Close()
			clock.Advance(time.Minute - time.Millisecond)
			clock.Step(-step)
			clock.Advance(time.Millisecond)
			if step < 0 {
				clock.Advance(time.Second)
			}
			check("at the end", "0")
			checkConsistent(t, b)
			b.Close()
		})
	}
}
