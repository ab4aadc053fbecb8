package commands

import (
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
)

// qpush is QPUSH q payload [options].
func qpush(ctx *Context, args [][]byte) {
	q := ctx.queueState()
	q.push = queue.PushOptions{}
	if len(args) > 3 {
		if err := q.parsePush(optionsFrom(args, 3), 1); err != nil {
			ctx.fail(err)
			return
		}
	}
	q.payload[0] = args[2]
	var receipt brokers.Receipt
	var err error
	q.pushed, receipt, err = ctx.Server.Queue.Push(args[1], q.payload[:], &q.push, q.pushed[:0])
	if err != nil {
		ctx.fail(err)
		return
	}
	if q.push.Dedup != nil {
		ctx.W.Array(2)
		ctx.W.BulkUint(q.pushed[0].ID)
		if q.pushed[0].New {
			ctx.W.Int(1)
		} else {
			ctx.W.Int(0)
		}
	} else {
		ctx.W.BulkUint(q.pushed[0].ID)
	}
	ctx.awaitQueue(receipt)
}

// qmpush is QMPUSH q n payload*n [options].
func qmpush(ctx *Context, args [][]byte) {
	payloads, err := readCounted(args, 2, 1, queue.MaxBatch, "n")
	if err != nil {
		ctx.fail(err)
		return
	}
	q := ctx.queueState()
	q.push = queue.PushOptions{}
	if err := q.parsePush(optionsBehind(args, payloads), payloads.n); err != nil {
		ctx.fail(err)
		return
	}
	var receipt brokers.Receipt
	q.pushed, receipt, err = ctx.Server.Queue.Push(args[1], args[payloads.from:payloads.to], &q.push, q.pushed[:0])
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Array(payloads.n)
	for _, p := range q.pushed {
		ctx.W.BulkUint(p.ID)
	}
	ctx.awaitQueue(receipt)
}

// parsePush reads the options of a push of n payloads. The keys alias the arguments.
func (q *queueSession) parsePush(o *options, n int) error {
	p := &q.push
	for o.next() {
		switch {
		case o.word("PRIORITY", 1<<0):
			p.Priority = uint8(o.integer(0, 255))
		case o.word("DELAY", 1<<1):
			p.Delay, p.HasDelay = milliseconds(o.duration()), true
		case o.word("AT", 1<<1):
			p.At, p.HasAt = o.integer(0, math.MaxInt64/2), true
		case o.word("TTL", 1<<2):
			p.TTL, p.HasTTL = milliseconds(o.duration()), true
		case o.word("MAXATTEMPTS", 1<<3):
			p.MaxAttempts = o.integer(1, queue.MaxAttempts)
		case o.word("LEASE", 1<<4):
			p.Lease = o.lease()
		case o.word("NOMKQ", 1<<5):
			p.NoCreate = true
		case o.word("DEDUP", 1<<6):
			p.Dedup = o.several(n, "keys, one for each payload")
		default:
			o.unknown()
		}
	}
	return o.err
}
