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
		case ctx.spec.Secret != nil && ctx.spec.Secret(args, i):
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

// forget is SLOWLOG RESET.
func (l *slowLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
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
	return described([]Spec{s.slowlogSpec(), s.latencySpec()}, "server", "0.1.0", "")
}

func (s *Server) slowlogSpec() Spec {
	const flags = Admin | Loading | Stale
	return Spec{
		Name: "slowlog", Arity: -2,
		Summary: "Tells of commands that took long; those of constant time or that add to one key only with a threshold below 10,000",
		Subcommands: []Spec{
			{
				Name: "get", Summary: "Answers the slowest commands of late, newest first",
				Reply: "*k *6 :id :unix-seconds :microseconds *n $arg $address $name", Arity: -2, Flags: flags | Harmless,
				Tips: AllNodes + " " + VariesByItself, Handler: slowlogGet,
				Arguments: []Argument{{Name: "count", Type: "integer", Optional: true}},
			},
			{
				Name: "len", Summary: "Answers how many commands are remembered", Reply: ":n", Arity: 2, Flags: flags | Harmless,
				Tips:    AllNodes + " response_policy:agg_sum " + VariesByItself,
				Handler: func(ctx *Context, _ [][]byte) { ctx.W.Int(int64(len(s.slow.newest(-1)))) },
			},
			{
				Name: "reset", Summary: "Forgets them", Reply: "+OK", Arity: 2, Flags: flags, Tips: AllNodes + " " + AllSucceed,
				Handler: func(ctx *Context, _ [][]byte) {
					s.slow.forget()
					ctx.W.OK()
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: s.help("slowlog")},
		},
	}
}

func (s *Server) latencySpec() Spec {
	sub := func(name, summary, reply, tips string, arity int, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: Admin | NoScript | Loading | Stale, Tips: tips,
			Handler: handler, Arguments: arguments}
	}
	const tips = VariesByItself + " " + AllNodes + " " + NoPolicy
	event := Argument{Name: "event", Type: "string"}
	empty := func(ctx *Context, _ [][]byte) { ctx.W.Array(0) }
	return Spec{
		Name: "latency", Arity: -2, Summary: "Answers as a Redis that does not watch latencies: there are no events",
		Subcommands: []Spec{
			sub("latest", "Answers an empty list", "*0", tips, 2, empty),
			sub("history", "Answers an empty list", "*0", tips, 3, empty, event),
			sub("reset", "Answers that nothing was forgotten", ":0", AllNodes+" "+AllSucceed, -2,
				func(ctx *Context, _ [][]byte) { ctx.W.Int(0) }, Argument{Name: "event", Type: "string", Optional: true, Multiple: true}),
			sub("graph", "Refused: there are no events", "-ERR", tips, 3, func(ctx *Context, args [][]byte) {
				ctx.W.Error(fmt.Sprintf("ERR No samples available for event '%s'", shorten(args[2])))
			}, event),
			sub("doctor", "Says where to look instead", "=text", tips, 2, func(ctx *Context, _ [][]byte) {
				ctx.W.Verbatim("Nexo does not watch latency events. SLOWLOG GET lists slow commands.\n")
			}),
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: s.help("latency")},
		},
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
