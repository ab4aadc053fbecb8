package brokertest

import (
	"sort"
	"sync"
	"time"
	"unsafe"

	"github.com/nexobroker/nexo/brokers"
)

// Clock is a brokers.Clock that stands still until Advance, and whose wall can be set with Step. As those of the system do, its
// readings hold both the wall's time and a monotonic one, and its timers go by the monotonic one.
type Clock struct {
	mu     sync.Mutex
	now    time.Duration // since NewClock, on the monotonic clock
	wall   time.Time     // what the wall showed at NewClock, with all steps since
	timers map[*timer]struct{}
}

// NewClock returns a clock that shows the given time.
func NewClock(now time.Time) *Clock {
	return &Clock{wall: now, timers: map[*timer]struct{}{}}
}

func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return reading(c.wall.Add(c.now), c.now)
}

// Step sets the wall clock forward or, with a negative duration, back. No time passes: no timer falls due.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// Monotonic is how far the clock was advanced, whatever the wall shows.
func (c *Clock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// reading makes a time that shows one time on the wall and another on the monotonic clock. Package time has no way to say
// that, so this knows how it keeps the two, and checks that it still does.
func reading(wall time.Time, monotonic time.Duration) time.Time {
	const secondsTo1885 = (1884*365 + 1884/4 - 1884/100 + 1884/400) * 86400 // from the year 1
	build := func(wall time.Time, monotonic time.Duration) time.Time {
		t := wall
		layout := (*struct {
			wall uint64
			ext  int64
			loc  *time.Location
		})(unsafe.Pointer(&t))
		fromYear1 := wall.Unix() - time.Time{}.Unix()
		layout.wall = 1<<63 | uint64(fromYear1-secondsTo1885)<<30 | uint64(wall.Nanosecond())
		layout.ext = int64(monotonic) + 1
		return t
	}
	t := build(wall, monotonic)
	if !t.Round(0).Equal(wall) || t.Sub(build(wall.Add(time.Hour), 0)) != monotonic {
		panic("BUG: package time keeps its readings in another way than this fake knows")
	}
	return t
}

// Advance lets time pass, on the wall and on the monotonic clock, and runs, in order of their times and in the caller's
// goroutine, the timers that fall due.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("BUG: time does not run backwards; Step sets the wall")
	}
	c.mu.Lock()
	end := c.now + d
	c.mu.Unlock()
	for {
		c.mu.Lock()
		var due []*timer
		for t := range c.timers {
			if t.at <= end {
				due = append(due, t)
			}
		}
		if len(due) == 0 {
			c.now = end
			c.mu.Unlock()
			return
		}
		sort.Slice(due, func(i, k int) bool { return due[i].at < due[k].at })
		t := due[0]
		delete(c.timers, t)
		if t.at > c.now {
			c.now = t.at
		}
		c.mu.Unlock()
		t.f()
	}
}

func (c *Clock) AfterFunc(d time.Duration, f func()) brokers.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{clock: c, at: c.now + d, f: f}
	c.timers[t] = struct{}{}
	return t
}

type timer struct {
	clock *Clock
	at    time.Duration
	f     func()
}

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, running := t.clock.timers[t]
	delete(t.clock.timers, t)
	return running
}

func (t *timer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, running := t.clock.timers[t]
	t.at = t.clock.now + d
	t.clock.timers[t] = struct{}{}
	return running
}
