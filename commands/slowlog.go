package commands

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// slowLog remembers the last commands that took long. The wait for the journal does not count: it is the batch's.
//
// With the threshold that it starts with, commands that may block are not looked at, nor are those of constant time or that add to
// one key: reading the clock would cost the fastest of them a tenth of their speed, and none of them takes that long. A lower
// threshold looks at all. The wait of a command that blocks does not count either.
type slowLog struct {
	slowerThan atomic.Int64 // microseconds; negative is off
	everything atomic.Bool  // the threshold is below the default

	mu      sync.Mutex // guards what follows; taken once per slow command
	max     int
	next    int64
	entries []slowEntry // oldest first
}

type slowEntry struct {
	id           int64
	at           time.Time
	took         time.Duration
	args         []string
	client, name string
}

// Limits of what one entry keeps, which are those of Redis, and of the number of entries.
const (
	slowArgumentsMax = 32
	slowArgumentMax  = 128
	slowEntriesMax   = 10_000

	slowEntriesDefault = 128
	slowerThanDefault  = 10_000 // microseconds
)

// takesLong tells whether the slow log looks at the command whatever its threshold.
func (spec *Spec) takesLong() bool {
	addsToOneKey := spec.Flags&DenyOOM != 0 && spec.FirstKey == 1 && spec.LastKey == 1
	return spec.Flags&(Fast|Blocking) == 0 && !addsToOneKey
}

// setThreshold changes from how many microseconds on commands are remembered. One below the default asks for every command.
func (l *slowLog) setThreshold(micros int64) {
	l.slowerThan.Store(micros)
	l.everything.Store(micros >= 0 && micros < slowerThanDefault)
}

// consider remembers a command that was slow, but for those of the dashboard.
func (l *slowLog) consider(ctx *Context, args [][]byte, took time.Duration) {
	limit := l.slowerThan.Load()
	if limit >= 0 && !ctx.Session.own && took.Microseconds() >= limit {
		l.add(ctx, args, took)
	}
}

func (l *slowLog) add(ctx *Context, args [][]byte, took time.Duration) {
	entry := slowEntry{at: ctx.Server.Clock.Now(), took: took, client: ctx.Conn.RemoteAddr().String(), name: ctx.Session.Name}
	for i, arg := range args {
		switch {
		case i == slowArgumentsMax-1 && len(args) > slowArgumentsMax:
			entry.args = append(entry.args, fmt.Sprintf("... (%d more arguments)", len(args)-i))
		case i >= slowArgumentsMax:
		case secret(args, i):
			entry.args = append(entry.args, "(redacted)")
		case len(arg) > slowArgumentMax:
			entry.args = append(entry.args, fmt.Sprintf("%s... (%d more bytes)", arg[:slowArgumentMax], len(arg)-slowArgumentMax))
		default:
			entry.args = append(entry.args, string(arg))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.id = l.next
	l.next++
	l.entries = append(l.entries, entry)
	l.trimLocked()
}

// secret tells whether an argument may be a password, or the name that goes with it.
func secret(args [][]byte, i int) bool {
	switch {
	case is(args[0], "AUTH"):
		return i > 0
	case is(args[0], "HELLO"):
		return i > 1 && is(args[i-1], "AUTH") || i > 2 && is(args[i-2], "AUTH")
	case is(args[0], "CONFIG"):
		return i > 2 && i%2 == 1 && is(args[1], "SET") && (is(args[i-1], "REQUIREPASS") || is(args[i-1], "MASTERAUTH"))
	}
	return false
}

func (l *slowLog) trimLocked() {
	if over := len(l.entries) - l.max; over > 0 {
		l.entries = append(l.entries[:0], l.entries[over:]...)
		clear(l.entries[len(l.entries):cap(l.entries)])
	}
}

func (l *slowLog) setMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = n
	l.trimLocked()
}

// newest returns up to n entries, newest first; all when n is negative.
func (l *slowLog) newest(n int) (entries []slowEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.entries) - 1; i >= 0 && (n < 0 || len(entries) < n); i-- {
		entries = append(entries, l.entries[i])
	}
	return entries
}

func (s *Server) diagnosisSpecs() []Spec {
	sub := func(name, summary, reply string, arity int, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Group: "server", Summary: summary, Since: "0.1.0", Reply: reply, Arity: arity, Flags: Admin | Loading, Handler: handler, Arguments: arguments}
	}
	family := func(name, summary string, subcommands ...Spec) Spec {
		return Spec{Name: name, Group: "server", Summary: summary, Since: "0.1.0", Arity: -2, Flags: Admin | Loading,
			Subcommands: append(subcommands, sub("help", "Lists the subcommands", "*n +line", 2, s.help(name)))}
	}
	event := Argument{Name: "event", Type: "string"}
	return []Spec{
		family("slowlog", "Tells of commands that took long; those of constant time or that add to one key only with a threshold below 10,000",
			sub("get", "Answers the slowest commands of late, newest first", "*k *6 :id :unix-seconds :microseconds *n $arg $address $name", -2, slowlogGet,
				Argument{Name: "count", Type: "integer", Optional: true}),
			sub("len", "Answers how many commands are remembered", ":n", 2, func(ctx *Context, _ [][]byte) {
				ctx.W.Int(int64(len(s.slow.newest(-1))))
			}),
			sub("reset", "Forgets them", "+OK", 2, func(ctx *Context, _ [][]byte) {
				s.slow.mu.Lock()
				s.slow.entries = nil
				s.slow.mu.Unlock()
				ctx.W.OK()
			})),
		family("latency", "Answers as a Redis that does not watch latencies: there are no events",
			sub("latest", "Answers an empty list", "*0", 2, func(ctx *Context, _ [][]byte) { ctx.W.Array(0) }),
			sub("history", "Answers an empty list", "*0", 3, func(ctx *Context, _ [][]byte) { ctx.W.Array(0) }, event),
			sub("reset", "Answers that nothing was forgotten", ":0", -2, func(ctx *Context, _ [][]byte) { ctx.W.Int(0) },
				Argument{Name: "event", Type: "string", Optional: true, Multiple: true}),
			sub("graph", "Refused: there are no events", "-ERR", 3, func(ctx *Context, args [][]byte) {
				ctx.W.Error(fmt.Sprintf("ERR No samples available for event '%s'", shorten(args[2])))
			}, event),
			sub("doctor", "Says where to look instead", "=text", 2, func(ctx *Context, _ [][]byte) {
				ctx.W.Verbatim("Nexo does not watch latency events. SLOWLOG GET lists slow commands.\n")
			})),
	}
}

func slowlogGet(ctx *Context, args [][]byte) {
	count := int64(10)
	if len(args) > 3 {
		ctx.W.Error("ERR wrong number of arguments for 'slowlog|get' command")
		return
	}
	if len(args) == 3 {
		var ok bool
		if count, ok = parseInt(args[2]); !ok || count < -1 {
			ctx.W.Error("ERR count should be greater than or equal to -1")
			return
		}
	}
	entries := ctx.Server.slow.newest(int(min(count, slowEntriesMax)))
	ctx.W.Array(len(entries))
	for _, entry := range entries {
		ctx.W.Array(6)
		ctx.W.Int(entry.id)
		ctx.W.Int(entry.at.Unix())
		ctx.W.Int(entry.took.Microseconds())
		ctx.W.Array(len(entry.args))
		for _, arg := range entry.args {
			ctx.W.BulkString(arg)
		}
		ctx.W.BulkString(entry.client)
		ctx.W.BulkString(entry.name)
	}
}
