package brokers

import "time"

// Instant is one reading of the clock in the two times that brokers keep, both in Unix milliseconds.
type Instant struct {
	// Wall is what the wall clock shows. Somebody may set it, forward or back, at any time.
	Wall int64
	// Steady was the wall's time when the timeline began and is monotonic since: no step of the wall clock moves it.
	Steady int64
}

// Earlier is the earlier of the two times: what is removed because of its age must be too old for both, so that no step
// of the wall clock removes it early.
func (i Instant) Earlier() int64 { return min(i.Wall, i.Steady) }

// Drift is the wall's lead over the steady time: 0 until somebody sets the clock.
func (i Instant) Drift() int64 { return i.Wall - i.Steady }

// WallOf is a steady time as the wall shows it while it stands as it does now: what records hold, and people read.
func (i Instant) WallOf(steady int64) int64 { return steady - i.Steady + i.Wall }

// Timeline reads a clock in both times. A duration that a client gives (a lease, a delay, a time to live, a window) is
// measured in steady time; a date is compared with the wall.
type Timeline struct {
	clock Clock
	start time.Time
}

// NewTimeline begins a timeline, in which both times are the same until the wall clock is set.
func NewTimeline(clock Clock) *Timeline { return &Timeline{clock: clock, start: clock.Now()} }

// Now reads the clock.
func (t *Timeline) Now() Instant {
	now := t.clock.Now()
	steady := t.start.UnixNano() + int64(now.Sub(t.start))
	return Instant{Wall: now.UnixMilli(), Steady: steady / int64(time.Millisecond)}
}

// AfterFunc calls f in its own goroutine once d has passed.
func (t *Timeline) AfterFunc(d time.Duration, f func()) Timer { return t.clock.AfterFunc(d, f) }

// Resume is, for a timeline that has just begun, the steady time of an end that a record of an earlier life gives as a time of
// the wall. The wall alone can tell how much of the wait is over: all of it or nothing at most, so a clock that was set
// back meanwhile makes no wait longer than it was.
func (t *Timeline) Resume(end, wait int64) int64 {
	start := t.start.UnixMilli()
	return min(end, start+wait)
}
