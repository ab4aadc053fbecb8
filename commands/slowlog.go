package commands

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// SlowLog remembers the last commands that took long. The wait for the journal does not count: it is the batch's.
//
// With the threshold that it starts with, commands that may block are not looked at, nor are those of constant time or that add to
// one key: reading the clock would cost the fastest of them a tenth of their speed, and none of them takes that long. A lower
// threshold looks at all. The wait of a command that blocks does not count either.
type SlowLog struct {
	slowerThan atomic.Int64 // microseconds; negative is off
	everything atomic.Bool  // the threshold is below the default

	mu      sync.Mutex // guards what follows; taken once per slow command
	max     int
	next    int64
	entries []SlowCommand // oldest first
}

// SlowCommand is one that took long.
type SlowCommand struct {
	ID           int64
	At           time.Time
	Took         time.Duration
	Args         []string // cut, and without what is secret
	Client, Name string
}

// Limits of what one entry keeps, which are those of Redis, and of the number of entries.
const (
	slowArgumentsMax = 32
	slowArgumentMax  = 128
	slowEntriesMax   = 10_000

	slowEntriesDefault = 128
	slowerThanDefault  = 10_000 // microseconds
)

// setThreshold changes from how many microseconds on commands are remembered. One below the default asks for every command.
func (l *SlowLog) setThreshold(micros int64) {
	l.slowerThan.Store(micros)
	l.everything.Store(micros >= 0 && micros < slowerThanDefault)
}

// consider remembers a command that was slow, but for those of the dashboard.
func (l *SlowLog) consider(ctx *Context, args [][]byte, took time.Duration) {
	limit := l.slowerThan.Load()
	if limit >= 0 && !ctx.Session.own && took.Microseconds() >= limit {
		l.add(ctx, args, took)
	}
}

func (l *SlowLog) add(ctx *Context, args [][]byte, took time.Duration) {
	entry := SlowCommand{At: ctx.Server.Clock.Now(), Took: took, Client: ctx.Conn.RemoteAddr().String(), Name: ctx.Session.Name}
	for i, arg := range args {
		switch {
		case i == slowArgumentsMax-1 && len(args) > slowArgumentsMax:
			entry.Args = append(entry.Args, fmt.Sprintf("... (%d more arguments)", len(args)-i))
		case i >= slowArgumentsMax:
		case ctx.spec.Secret != nil && ctx.spec.Secret(args, i):
			entry.Args = append(entry.Args, "(redacted)")
		case len(arg) > slowArgumentMax:
			entry.Args = append(entry.Args, fmt.Sprintf("%s... (%d more bytes)", arg[:slowArgumentMax], len(arg)-slowArgumentMax))
		default:
			entry.Args = append(entry.Args, string(arg))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.ID = l.next
	l.next++
	l.entries = append(l.entries, entry)
	l.trimLocked()
}

// Forget forgets all.
func (l *SlowLog) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

func (l *SlowLog) trimLocked() {
	if over := len(l.entries) - l.max; over > 0 {
		l.entries = append(l.entries[:0], l.entries[over:]...)
		clear(l.entries[len(l.entries):cap(l.entries)])
	}
}

// setMax bounds how many are remembered.
func (l *SlowLog) setMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = n
	l.trimLocked()
}

// Newest returns up to n entries, newest first; all when n is negative.
func (l *SlowLog) Newest(n int) (entries []SlowCommand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.entries) - 1; i >= 0 && (n < 0 || len(entries) < n); i-- {
		entries = append(entries, l.entries[i])
	}
	return entries
}
