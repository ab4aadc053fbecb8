package commands

import (
	"github.com/nexobroker/nexo/brokers/queue"
)

// qack is QACK q handle [handle ...] [EACH].
func qack(ctx *Context, args [][]byte) {
	q := ctx.queueState()
	each, err := q.handlesAndEach(args, 2)
	if err != nil {
		ctx.fail(err)
		return
	}
	n, receipt, err := ctx.Server.Queue.Ack(args[1], q.handles, each)
	ctx.answerEach(n, each, receipt, err)
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
	o := optionsFrom(args, next)
	for o.next() {
		if o.word("EACH", 1<<0) {
			each = q.eachFor(len(q.handles))
			continue
		}
		o.unknown()
	}
	return each, o.err
}

// qextend is QEXTEND q dur handle [handle ...] [EACH].
func qextend(ctx *Context, args [][]byte) {
	lease, err := ParseDuration(args[2])
	if err == nil && lease == 0 {
		err = syntaxErrorNear(args[2])
	}
	if err != nil {
		ctx.fail(err)
		return
	}
	q := ctx.queueState()
	each, err := q.handlesAndEach(args, 3)
	if err != nil {
		ctx.fail(err)
		return
	}
	n, receipt, err := ctx.Server.Queue.Extend(args[1], milliseconds(lease), q.handles, each)
	ctx.answerEach(n, each, receipt, err)
}

// qnack is QNACK q handle [handle ...] [REASON text] [DELAY dur] [DEAD|RELEASE] [EACH].
func qnack(ctx *Context, args [][]byte) {
	q := ctx.queueState()
	next, err := q.parseHandles(args, 2)
	if err != nil {
		ctx.fail(err)
		return
	}
	var nack queue.NackOptions
	var each []bool
	o := optionsFrom(args, next)
	for o.next() {
		switch {
		case o.word("REASON", 1<<0):
			nack.Reason = string(o.value())
		case o.word("DELAY", 1<<1):
			nack.Delay, nack.HasDelay = milliseconds(o.duration()), true
		case o.word("DEAD", 1<<2):
			nack.Dead = true
		case o.word("RELEASE", 1<<2):
			nack.Release = true
		case o.word("EACH", 1<<3):
			each = q.eachFor(len(q.handles))
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	n, receipt, err := ctx.Server.Queue.Nack(args[1], &nack, q.handles, each)
	ctx.answerEach(n, each, receipt, err)
}

// qdel is QDEL q id [id ...].
func qdel(ctx *Context, args [][]byte) {
	ids, err := allIDs(args, 2)
	if err != nil {
		ctx.fail(err)
		return
	}
	n, receipt, err := ctx.Server.Queue.Delete(args[1], ids)
	ctx.answerCount(n, receipt, err)
}

// allIDs reads ids up to the end of the arguments.
func allIDs(args [][]byte, first int) ([]uint64, error) {
	ids, next, err := parseIDs(args, first)
	if err == nil && next < len(args) {
		err = syntaxErrorNear(args[next])
	}
	return ids, err
}

// qdlqLen is QDLQ LEN q.
func qdlqLen(ctx *Context, args [][]byte) {
	n, err := ctx.Server.Queue.Len(args[2], queue.Dead)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

// qdlqList is QDLQ LIST q [OFFSET n] [COUNT n] [MATCH text] [REASON text].
func qdlqList(ctx *Context, args [][]byte) {
	p, err := parseQueuePage(args, 3, false)
	if err != nil {
		ctx.fail(err)
		return
	}
	views, total, _, err := ctx.Server.Queue.Peek(args[2], queue.Dead, p.offset, p.count, p.match, replyBytes)
	if err != nil {
		ctx.fail(err)
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
func qdlqReplay(ctx *Context, args [][]byte) {
	if is(args[3], "ALL") {
		var to []byte
		o := optionsFrom(args, 4)
		for o.next() {
			if o.word("TO", 1<<0) {
				to = o.value()
				continue
			}
			o.unknown()
		}
		if o.err != nil {
			ctx.fail(o.err)
			return
		}
		n, receipt, err := ctx.Server.Queue.ReplayAllDead(args[2], to)
		ctx.answerCount(n, receipt, err)
		return
	}
	ids, next, err := parseIDs(args, 3)
	if err != nil {
		ctx.fail(err)
		return
	}
	delay := int64(0)
	o := optionsFrom(args, next)
	for o.next() {
		if o.word("DELAY", 1<<0) {
			delay = milliseconds(o.duration())
			continue
		}
		o.unknown()
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	n, receipt, err := ctx.Server.Queue.ReplayDead(args[2], ids, delay)
	ctx.answerCount(n, receipt, err)
}

// qdlqDel is QDLQ DEL q id [id ...].
func qdlqDel(ctx *Context, args [][]byte) {
	ids, err := allIDs(args, 3)
	if err != nil {
		ctx.fail(err)
		return
	}
	n, receipt, err := ctx.Server.Queue.DeleteDead(args[2], ids)
	ctx.answerCount(n, receipt, err)
}

// qdlqPurge is QDLQ PURGE q.
func qdlqPurge(ctx *Context, args [][]byte) {
	n, receipt, err := ctx.Server.Queue.PurgeDead(args[2])
	ctx.answerCount(n, receipt, err)
}

// qpurge is QPURGE q [READY] [DELAYED] [INFLIGHT] [DEAD]; without a state READY and DELAYED.
func qpurge(ctx *Context, args [][]byte) {
	var states queue.States
	for _, word := range args[2:] {
		state, ok := parseQueueState(word)
		if !ok || states&state != 0 {
			ctx.fail(syntaxErrorNear(word))
			return
		}
		states |= state
	}
	if states == 0 {
		states = queue.Ready | queue.Delayed
	}
	n, receipt, err := ctx.Server.Queue.Purge(args[1], states)
	ctx.answerCount(n, receipt, err)
}
