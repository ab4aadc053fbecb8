package brokertest

import (
	"fmt"
	"testing"
	"time"
)

func TestTheWallMayBeSet(t *testing.T) {
	start := time.UnixMilli(1_700_000_000_000)
	clock := NewClock(start)
	fired := 0
	clock.AfterFunc(time.Minute, func() { fired++ })
	before := clock.Now()
	tell := func() string {
		now := clock.Now()
		return fmt.Sprint(now.UnixMilli()-start.UnixMilli(), " ", now.Sub(before).Milliseconds(), " ", fired)
	}
	for _, step := range []struct {
		step, advance time.Duration
		want          string // what the wall shows and what has passed, in milliseconds, and the timers that have fired
	}{
		{0, 0, "0 0 0"}, {-time.Hour, 0, "-3600000 0 0"}, {0, time.Second, "-3599000 1000 0"}, {2 * time.Hour, 0, "3601000 1000 0"},
		{0, 58999 * time.Millisecond, "3659999 59999 0"}, {-time.Hour, time.Millisecond, "60000 60000 1"},
	} {
		clock.Step(step.step)
		clock.Advance(step.advance)
		if got := tell(); got != step.want {
			t.Errorf("after a step of %s and %s: got %s, want %s", step.step, step.advance, got, step.want)
		}
	}
	if clock.Monotonic() != time.Minute {
		t.Error(clock.Monotonic())
	}
}
