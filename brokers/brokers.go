// Package brokers holds the few words that the four brokers share: the journal they write to, the clock they read,
// how durable a change is, the error they answer with, and the glob that picks names. It stores nothing and imports
// nothing of ours.
//
// The rules every broker follows:
//
//   - Decide and apply in memory under the broker's lock, Append to the journal under the same lock (so that the order
//     of the log is the order of the changes), release the lock, and hand the caller a Receipt. The caller waits for
//     the Receipt, never the broker: one wait covers a whole pipeline of changes.
//   - A record holds effects, not intentions: final ids, absolute times. Replay calls the same apply code.
//   - Never block on disk or network under a broker's lock. Journal.Append never blocks.
//   - Lock order: broker lock, then the journal's own. The journal calls Notify with no lock held.
package brokers

import (
	"fmt"
	"strings"
	"time"
)

// Durability says what has happened to a change before its reply is sent.
type Durability uint8

const (
	// Never: the record is in memory and will be written lazily.
	Never Durability = iota
	// Interval: write(2) of its batch has returned; an fsync follows within the fsync interval.
	Interval
	// Always: fsync of its group-commit batch has returned.
	Always
)

func (d Durability) String() string {
	switch d {
	case Never:
		return "never"
	case Interval:
		return "interval"
	default:
		return "always"
	}
}

// ParseDurability reads always, interval or never, in any case.
func ParseDurability(word string) (Durability, error) {
	switch strings.ToLower(word) {
	case "never":
		return Never, nil
	case "interval":
		return Interval, nil
	case "always":
		return Always, nil
	}
	return 0, fmt.Errorf("durability %q is not always, interval or never", word)
}

// Emit writes one record of a snapshot; the body may be reused after it returns.
type Emit = func(body []byte) error

// Dump writes a whole snapshot through emit.
type Dump = func(emit Emit) error

// Finish completes the compaction that Cut began; see Journal.Cut.
type Finish = func(dump Dump) error

// Journal is the durable log of one broker. aof.Log implements it; brokertest.Journal is the fake.
type Journal interface {
	// Replay feeds every surviving record in order, those of the last snapshot first. It is called once, before
	// anything else. The body is only valid during the call. An error from fn ends the replay and is returned.
	Replay(fn func(body []byte) error) error

	// Notify sets the function that the writer calls after each batch with the highest sequence written and the
	// highest fsynced, before the Waits for those sequences return: what a client was told is durable can be seen. It
	// runs with no journal lock held and must be short. Set it once, before the first Append.
	Notify(fn func(written, synced uint64))

	// Ready is nil when data may be added, or the *Error (IOERR or DISKFULL) to refuse with. A change that adds data
	// asks first; acks and deletes go on without asking.
	Ready() error

	// Append queues one record and returns its sequence number, which grows by one each time, starting at 1 in each
	// life of the process. It copies body, never blocks and never fails: what goes wrong later is told by the Waits.
	// sync asks that the batch of this record be fsynced at once.
	Append(body []byte, sync bool) (seq uint64)

	// WaitWritten returns when the record has been given to the kernel, WaitSynced when it has been fsynced.
	WaitWritten(seq uint64) error
	WaitSynced(seq uint64) error

	// Space tells whether new data is refused for want of space, how many bytes a snapshot may take, what is set aside
	// for it among them, and how many the last one has; see Relief.
	Space() (short bool, room, snapshot int64)
	// Reached tells without waiting whether such a Wait would return by now, and with what, for one that has waited so
	// long: that matters only while nothing can be written, when a Wait gives up after a while.
	Reached(seq uint64, synced bool, waited time.Duration) (done bool, err error)

	// Watch has wake called whenever what Reached tells may have changed. It runs with no journal lock held and must be short.
	Watch(wake func())

	// LogBytes is how much log there is since the last snapshot: what a restart would have to replay.
	LogBytes() int64

	// Cut begins a compaction. It is called under the broker's lock: records appended before it are replaced by the
	// snapshot, those after it are kept. The broker takes a copy of its state under the same lock, and calls finish
	// once, outside the lock, in the background; until finish returns nil the old log stays the truth. Only one
	// compaction runs at a time: a second Cut returns ErrCompacting.
	Cut() (finish Finish, err error)
}

// Receipt is the promise that a change makes to its caller: Wait returns nil once the change is as durable as its
// object asked. The zero Receipt has nothing to wait for.
type Receipt struct {
	Journal    Journal
	Seq        uint64
	Durability Durability
}

// Wait blocks until the change is durable.
func (r Receipt) Wait() error {
	switch {
	case r.Journal == nil || r.Seq == 0 || r.Durability == Never:
		return nil
	case r.Durability == Interval:
		return r.Journal.WaitWritten(r.Seq)
	default:
		return r.Journal.WaitSynced(r.Seq)
	}
}

// Error is an answer to the client: a code word and a text. docs/errors.md lists the code words;
// none is a word that client libraries retry on by themselves.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + " " + e.Message
}

// Is makes errors.Is compare by code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// Errorf makes an Error with the code word and a formatted text.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Clock is the time a broker sees. Now carries a monotonic reading, so leases survive a step of the wall clock.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in its own goroutine once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is what AfterFunc returns; *time.Timer implements it.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// SystemClock is the real clock.
type SystemClock struct{}

func (SystemClock) Now() time.Time                            { return time.Now() }
func (SystemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
