package queues

import (
	"math"
	"strconv"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

var errInvalidQueueCursor = &brokers.Error{Code: "ERR", Message: "invalid cursor"}

// qexists is QEXISTS q [q ...].
func (f *Family) qexists(ctx *commands.Context, args [][]byte) {
	n, err := f.broker.Exists(args[1:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

// qlist is QLIST [MATCH glob] [COUNT n] [CURSOR c].
func (f *Family) qlist(ctx *commands.Context, args [][]byte) {
	count, cursor := 100, uint64(0)
	var match func(string) bool
	glob := brokers.NewGlob("*")
	o := commands.OptionsFrom(args, 1)
	for o.Next() {
		switch {
		case o.Word("MATCH", 1<<0):
			glob = brokers.NewGlob(string(o.Value()))
			match = glob.Match
		case o.Word("COUNT", 1<<1):
			count = int(o.Integer(1, 10_000))
		case o.Word("CURSOR", 1<<2):
			word := o.Value()
			var ok bool
			if cursor, ok = commands.ParseUint(word); o.Err == nil && (!ok || cursor == math.MaxUint64) {
				o.Err = errInvalidQueueCursor
			}
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	names, next := f.broker.List(cursor, count, match)
	if err := glob.Err(); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(2)
	ctx.W.BulkUint(next)
	ctx.W.Array(len(names))
	for _, name := range names {
		ctx.W.BulkString(name)
	}
}

// queuePage is what QPEEK and QDLQ LIST ask for.
type queuePage struct {
	state  queue.States
	offset int
	count  int
	match  queue.Match
}

func parseQueuePage(args [][]byte, first int, anyState bool) (queuePage, error) {
	p := queuePage{state: queue.Ready, count: 10}
	o := commands.OptionsFrom(args, first)
	for o.Next() {
		switch {
		case o.Word("OFFSET", 1<<0):
			p.offset = int(o.Integer(0, math.MaxInt32))
		case o.Word("COUNT", 1<<1):
			p.count = int(o.Integer(1, 1000))
		case o.Word("MATCH", 1<<2):
			p.match.Text = string(o.Value())
		case o.Word("REASON", 1<<4):
			p.match.Reason = string(o.Value())
		case anyState && o.Word("STATE", 1<<3):
			word := o.Value()
			state, ok := parseQueueState(word)
			if !ok && o.Err == nil {
				o.Err = commands.SyntaxErrorNear(word)
			}
			p.state = state
		default:
			o.Unknown()
		}
	}
	return p, o.Err
}

// qpeek is QPEEK q [STATE s] [OFFSET n] [COUNT n] [MATCH text] [REASON text].
func (f *Family) qpeek(ctx *commands.Context, args [][]byte) {
	p, err := parseQueuePage(args, 2, true)
	if err != nil {
		ctx.Fail(err)
		return
	}
	views, total, next, err := f.broker.Peek(args[1], p.state, p.offset, p.count, p.match, replyBytes)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(3)
	ctx.W.Int(int64(total))
	ctx.W.Int(int64(next))
	ctx.W.Array(len(views))
	for i := range views {
		f.writeView(ctx, &views[i])
	}
}

// qget is QGET q id.
func (f *Family) qget(ctx *commands.Context, args [][]byte) {
	ids, err := allIDs(args, 2)
	if err != nil {
		ctx.Fail(err)
		return
	}
	view, found, err := f.broker.Get(args[1], ids[0])
	switch {
	case err != nil:
		ctx.Fail(err)
	case !found:
		ctx.W.NullArray()
	default:
		f.writeView(ctx, &view)
	}
}

func (f *Family) writeView(ctx *commands.Context, v *queue.View) {
	w := ctx.W
	w.Map(14)
	w.BulkString("id")
	w.BulkUint(v.ID)
	w.BulkString("state")
	w.BulkString(v.State)
	w.BulkString("payload")
	w.BulkString(v.Body)
	f.writeNumbers(ctx, []queueNumber{
		{"priority", int64(v.Priority)}, {"attempts", v.Attempts}, {"max-attempts", v.MaxAttempts},
		{"deliveries", int64(v.Deliveries)}, {"pushed-at", v.PushedAt}, {"due-at", v.DueAt},
		{"lease-until", v.LeaseUntil}, {"expires-at", v.ExpiresAt}, {"failed-at", v.FailedAt},
	})
	w.BulkString("last-reason")
	w.BulkString(v.Reason)
	w.BulkString("dedup")
	w.BulkString(v.Dedup)
}

// queueNumber is a named number of an introspection reply.
type queueNumber struct {
	name  string
	value int64
}

func (f *Family) writeNumbers(ctx *commands.Context, numbers []queueNumber) {
	for _, n := range numbers {
		ctx.W.BulkString(n.name)
		ctx.W.Int(n.value)
	}
}

// qinfo is QINFO q.
func (f *Family) qinfo(ctx *commands.Context, args [][]byte) {
	info, err := f.broker.Info(args[1])
	if err != nil {
		ctx.Fail(err)
		return
	}
	c := info.Counters
	numbers := []queueNumber{
		{"ready", int64(info.Ready)}, {"delayed", int64(info.Delayed)}, {"inflight", int64(info.Inflight)},
		{"dead", int64(info.Dead)}, {"pending", int64(info.Pending)}, {"waiters", int64(info.Waiters)},
		{"bytes", info.Bytes}, {"ready-on-disk", int64(info.Cold)}, {"timed-on-disk", int64(info.ColdTimed)}, {"bytes-on-disk", info.ColdBytes},
		{"dedup-keys", int64(info.DedupKeys)}, {"oldest-ready-ms", info.OldestReadyMS},
		{"pushed", int64(c.Pushed)}, {"delivered", int64(c.Delivered)}, {"acked", int64(c.Acked)},
		{"nacked", int64(c.Nacked)}, {"released", int64(c.Released)}, {"lease-expired", int64(c.LeaseExpired)},
		{"dead-total", int64(c.Dead)}, {"replayed", int64(c.Replayed)}, {"deduped", int64(c.Deduped)},
		{"deleted", int64(c.Deleted)}, {"expired", int64(c.Expired)}, {"dropped", int64(c.Dropped)},
		{"moved-in", int64(c.MovedIn)}, {"moved-out", int64(c.MovedOut)}, {"rejected", int64(c.Blocked)},
	}
	fields := info.Config.Fields()
	ctx.W.Map(3 + len(numbers) + len(fields))
	ctx.W.BulkString("name")
	ctx.W.Bulk(args[1])
	f.writeNumbers(ctx, numbers)
	ctx.W.BulkString("paused")
	ctx.W.BulkString(pausedWord(info.PausedIn, info.PausedOut))
	ctx.W.BulkString("priorities")
	ctx.W.Map(len(info.Priorities))
	for _, p := range info.Priorities {
		ctx.W.BulkString(strconv.Itoa(int(p.Priority)))
		ctx.W.Int(int64(p.Count))
	}
	for _, field := range fields {
		ctx.W.BulkString(field.Name)
		ctx.W.BulkString(field.Value)
	}
}

func pausedWord(in, out bool) string {
	switch {
	case in && out:
		return "all"
	case in:
		return "in"
	case out:
		return "out"
	}
	return "none"
}

// qlen is QLEN q [state].
func (f *Family) qlen(ctx *commands.Context, args [][]byte) {
	states := queue.Ready
	if len(args) > 2 {
		state, ok := parseQueueState(args[2])
		if !ok || len(args) > 3 {
			ctx.Fail(commands.SyntaxErrorNear(args[len(args)-1]))
			return
		}
		states = state
	}
	n, err := f.broker.Len(args[1], states)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}
