package commands

import (
	"github.com/nexobroker/nexo/brokers/queue"
)

// qack is QACK q handle [handle ...] [EACH].
func (f *Queues) qack(ctx *Context, args [][]byte) {
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
	o := OptionsFrom(args, next)
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
func (f *Queues) qextend(ctx *Context, args [][]byte) {
	lease, err := ParseDuration(args[2])
	if err == nil && lease == 0 {
		err = SyntaxErrorNear(args[2])
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
func (f *Queues) qnack(ctx *Context, args [][]byte) {
	q := f.queueState(ctx)
	next, err := q.parseHandles(args, 2)
	if err != nil {
		ctx.Fail(err)
		return
	}
	var nack queue.NackOptions
	var each []bool
	o := OptionsFrom(args, next)
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
func (f *Queues) qdel(ctx *Context, args [][]byte) {
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
		err = SyntaxErrorNear(args[next])
	}
	return ids, err
}

// qdlqLen is QDLQ LEN q.
func (f *Queues) qdlqLen(ctx *Context, args [][]byte) {
	n, err := f.broker.Len(args[2], queue.Dead)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

// qdlqList is QDLQ LIST q [OFFSET n] [COUNT n] [MATCH text] [REASON text].
func (f *Queues) qdlqList(ctx *Context, args [][]byte) {
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
func (f *Queues) qdlqReplay(ctx *Context, args [][]byte) {
	if Is(args[3], "ALL") {
		var to []byte
		o := OptionsFrom(args, 4)
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
	o := OptionsFrom(args, next)
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
func (f *Queues) qdlqDel(ctx *Context, args [][]byte) {
	ids, err := allIDs(args, 3)
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, receipt, err := f.broker.DeleteDead(args[2], ids)
	ctx.Number(int64(n), receipt, err)
}

// qdlqPurge is QDLQ PURGE q.
func (f *Queues) qdlqPurge(ctx *Context, args [][]byte) {
	n, receipt, err := f.broker.PurgeDead(args[2])
	ctx.Number(int64(n), receipt, err)
}

// qpurge is QPURGE q [READY] [DELAYED] [INFLIGHT] [DEAD]; without a state READY and DELAYED.
func (f *Queues) qpurge(ctx *Context, args [][]byte) {
	var states queue.States
	for _, word := range args[2:] {
		state, ok := parseQueueState(word)
		if !ok || states&state != 0 {
			ctx.Fail(SyntaxErrorNear(word))
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
