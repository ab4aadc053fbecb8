package queues

import (
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

// deadLetterSpecs are the subcommands of QDLQ.
func (f *Family) deadLetterSpecs() []commands.Spec {
	q, ids := commands.Word("queue", "key"), commands.Many(commands.Word("id", "string"))
	return []commands.Spec{
		{
			Name: "len", Summary: "Counts the dead letters of a queue", Reply: ":n",
			Arity: 3, Flags: commands.ReadOnly | commands.Fast, Keys: []commands.KeySpec{commands.Key(commands.RO, 2)}, Handler: f.qdlqLen,
			Arguments: []commands.Argument{q},
		},
		{
			Name: "list", Summary: "Lists the dead letters of a queue, newest first; MATCH looks into payload and reason, REASON into the " +
				"reason alone",
			Reply: "*2 :total *k *6 $id $payload :attempts $reason :failed-at-ms :priority",
			Arity: -3, Flags: commands.ReadOnly, Keys: []commands.KeySpec{commands.Key(commands.RO|commands.Reads, 2)}, Handler: f.qdlqList,
			Runs: commands.Beside, // it rests by itself, and would keep others waiting in a slot
			Arguments: []commands.Argument{q, commands.Option("OFFSET", "offset", "integer"), commands.Option("COUNT", "count", "integer"),
				commands.Option("MATCH", "text", "string"), commands.Option("REASON", "text-of-reason", "string")},
		},
		{
			Name: "replay", Summary: "Takes dead letters back into their queue, or all of them into another", Reply: ":n",
			Arity: -4, Flags: commands.Write, Keys: []commands.KeySpec{commands.Key(commands.RW|commands.Deletes, 2),
				{Access: commands.RW | commands.Inserts, At: 4, Keyword: "TO"}}, Handler: f.qdlqReplay,
			Arguments: []commands.Argument{q, {Name: "what", Type: "oneof", Arguments: []commands.Argument{
				{Name: "jobs", Type: "block", Arguments: []commands.Argument{ids, commands.Option("DELAY", "delay", "string")}},
				{Name: "all", Type: "block", Arguments: []commands.Argument{
					{Name: "all", Type: "pure-token", Token: "ALL"}, commands.Option("TO", "target", "key")}},
			}}},
		},
		{
			Name: "del", Summary: "Deletes dead letters", Reply: ":n",
			Arity: -4, Flags: commands.Write | commands.Fast, Keys: []commands.KeySpec{commands.Key(commands.RW|commands.Deletes, 2)},
			Handler: f.qdlqDel, Arguments: []commands.Argument{q, ids},
		},
		{
			Name: "purge", Summary: "Deletes all dead letters of a queue", Reply: ":n",
			Arity: 3, Flags: commands.Write, Keys: []commands.KeySpec{commands.Key(commands.RW|commands.Deletes, 2)}, Handler: f.qdlqPurge,
			Arguments: []commands.Argument{q},
		},
	}
}

// qack is QACK q handle [handle ...] [EACH].
func (f *Family) qack(ctx *commands.Context, args [][]byte) {
	q := f.queueState(ctx)
	each, err := q.handlesAndEach(args, 2)
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, receipt, err := f.broker.Ack(args[1], q.handles, each)
	f.answerEach(ctx, n, each, receipt, err)
}

// handlesAndEach reads handles, and EACH behind them.
func (q *queueSession) handlesAndEach(args [][]byte, first int) (each []bool, err error) {
	next, err := q.parseHandles(args, first)
	if err != nil {
		return nil, err
	}
	if next == len(args) {
		return nil, nil
	}
	o := commands.OptionsFrom(args, next)
	for o.Next() {
		if o.Word("EACH", 1<<0) {
			each = q.eachFor(len(q.handles))
			continue
		}
		o.Unknown()
	}
	return each, o.Err
}

// qextend is QEXTEND q dur handle [handle ...] [EACH].
func (f *Family) qextend(ctx *commands.Context, args [][]byte) {
	lease, err := commands.ParseDuration(args[2])
	if err == nil && lease == 0 {
		err = commands.SyntaxErrorNear(args[2])
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	q := f.queueState(ctx)
	each, err := q.handlesAndEach(args, 3)
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, receipt, err := f.broker.Extend(args[1], milliseconds(lease), q.handles, each)
	f.answerEach(ctx, n, each, receipt, err)
}

// qnack is QNACK q handle [handle ...] [REASON text] [DELAY dur] [DEAD|RELEASE] [EACH].
func (f *Family) qnack(ctx *commands.Context, args [][]byte) {
	q := f.queueState(ctx)
	next, err := q.parseHandles(args, 2)
	if err != nil {
		ctx.Fail(err)
		return
	}
	var nack queue.NackOptions
	var each []bool
	o := commands.OptionsFrom(args, next)
	for o.Next() {
		switch {
		case o.Word("REASON", 1<<0):
			nack.Reason = string(o.Value())
		case o.Word("DELAY", 1<<1):
			nack.Delay, nack.HasDelay = milliseconds(o.Duration()), true
		case o.Word("DEAD", 1<<2):
			nack.Dead = true
		case o.Word("RELEASE", 1<<2):
			nack.Release = true
		case o.Word("EACH", 1<<3):
			each = q.eachFor(len(q.handles))
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	n, receipt, err := f.broker.Nack(args[1], &nack, q.handles, each)
	f.answerEach(ctx, n, each, receipt, err)
}

// qdel is QDEL q id [id ...].
func (f *Family) qdel(ctx *commands.Context, args [][]byte) {
	ids, err := allIDs(args, 2)
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, receipt, err := f.broker.Delete(args[1], ids)
	ctx.Number(int64(n), receipt, err)
}

// allIDs reads ids up to the end of the arguments.
func allIDs(args [][]byte, first int) ([]uint64, error) {
	ids, next, err := parseIDs(args, first)
	if err == nil && next < len(args) {
		err = commands.SyntaxErrorNear(args[next])
	}
	return ids, err
}

// qdlqLen is QDLQ LEN q.
func (f *Family) qdlqLen(ctx *commands.Context, args [][]byte) {
	n, err := f.broker.Len(args[2], queue.Dead)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

// qdlqList is QDLQ LIST q [OFFSET n] [COUNT n] [MATCH text] [REASON text].
func (f *Family) qdlqList(ctx *commands.Context, args [][]byte) {
	p, err := parseQueuePage(args, 3, false)
	if err != nil {
		ctx.Fail(err)
		return
	}
	views, total, _, err := f.broker.Peek(args[2], queue.Dead, p.offset, p.count, p.match, replyBytes)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(2)
	ctx.W.Int(int64(total))
	ctx.W.Array(len(views))
	for i := range views {
		v := &views[i]
		ctx.W.Array(6)
		ctx.W.BulkUint(v.ID)
		ctx.W.BulkString(v.Body)
		ctx.W.Int(v.Attempts)
		ctx.W.BulkString(v.Reason)
		ctx.W.Int(v.FailedAt)
		ctx.W.Int(int64(v.Priority))
	}
}

// qdlqReplay is QDLQ REPLAY q id [id ...] [DELAY dur] and QDLQ REPLAY q ALL [TO q2].
func (f *Family) qdlqReplay(ctx *commands.Context, args [][]byte) {
	if commands.Is(args[3], "ALL") {
		var to []byte
		o := commands.OptionsFrom(args, 4)
		for o.Next() {
			if o.Word("TO", 1<<0) {
				to = o.Value()
				continue
			}
			o.Unknown()
		}
		if o.Err != nil {
			ctx.Fail(o.Err)
			return
		}
		n, receipt, err := f.broker.ReplayAllDead(args[2], to)
		ctx.Number(int64(n), receipt, err)
		return
	}
	ids, next, err := parseIDs(args, 3)
	if err != nil {
		ctx.Fail(err)
		return
	}
	delay := int64(0)
	o := commands.OptionsFrom(args, next)
	for o.Next() {
		if o.Word("DELAY", 1<<0) {
			delay = milliseconds(o.Duration())
			continue
		}
		o.Unknown()
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	n, receipt, err := f.broker.ReplayDead(args[2], ids, delay)
	ctx.Number(int64(n), receipt, err)
}

// qdlqDel is QDLQ DEL q id [id ...].
func (f *Family) qdlqDel(ctx *commands.Context, args [][]byte) {
	ids, err := allIDs(args, 3)
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, receipt, err := f.broker.DeleteDead(args[2], ids)
	ctx.Number(int64(n), receipt, err)
}

// qdlqPurge is QDLQ PURGE q.
func (f *Family) qdlqPurge(ctx *commands.Context, args [][]byte) {
	n, receipt, err := f.broker.PurgeDead(args[2])
	ctx.Number(int64(n), receipt, err)
}

// qpurge is QPURGE q [READY] [DELAYED] [INFLIGHT] [DEAD]; without a state READY and DELAYED.
func (f *Family) qpurge(ctx *commands.Context, args [][]byte) {
	var states queue.States
	for _, word := range args[2:] {
		state, ok := parseQueueState(word)
		if !ok || states&state != 0 {
			ctx.Fail(commands.SyntaxErrorNear(word))
			return
		}
		states |= state
	}
	if states == 0 {
		states = queue.Ready | queue.Delayed
	}
	n, receipt, err := f.broker.Purge(args[1], states)
	ctx.Number(int64(n), receipt, err)
}
