package commands

import (
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
)

// qpush is QPUSH q payload [options].
func (f *Queues) qpush(ctx *Context, args [][]byte) {
	q := f.queueState(ctx)
	q.push = queue.PushOptions{}
	if len(args) > 3 {
		if err := q.parsePush(OptionsFrom(args, 3), 1); err != nil {
			ctx.Fail(err)
			return
		}
	}
	q.payload[0] = args[2]
	var receipt brokers.Receipt
	var err error
	q.pushed, receipt, err = f.broker.Push(args[1], q.payload[:], &q.push, q.pushed[:0])
	if err != nil {
		ctx.Fail(err)
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
	ctx.Await(receipt)
}

// qmpush is QMPUSH q n payload*n [options].
func (f *Queues) qmpush(ctx *Context, args [][]byte) {
	payloads, err := ReadCounted(args, 2, 1, queue.MaxBatch, "n")
	if err != nil {
		ctx.Fail(err)
		return
	}
	q := f.queueState(ctx)
	q.push = queue.PushOptions{}
	if err := q.parsePush(OptionsBehind(args, payloads), payloads.N); err != nil {
		ctx.Fail(err)
		return
	}
	var receipt brokers.Receipt
	q.pushed, receipt, err = f.broker.Push(args[1], args[payloads.From:payloads.To], &q.push, q.pushed[:0])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(payloads.N)
	for _, p := range q.pushed {
		ctx.W.BulkUint(p.ID)
	}
	ctx.Await(receipt)
}

// parsePush reads the options of a push of n payloads. The keys alias the arguments.
func (q *queueSession) parsePush(o *Options, n int) error {
	p := &q.push
	for o.Next() {
		switch {
		case o.Word("PRIORITY", 1<<0):
			p.Priority = uint8(o.Integer(0, 255))
		case o.Word("DELAY", 1<<1):
			p.Delay, p.HasDelay = milliseconds(o.Duration()), true
		case o.Word("AT", 1<<1):
			p.At, p.HasAt = o.Integer(0, math.MaxInt64/2), true
		case o.Word("TTL", 1<<2):
			p.TTL, p.HasTTL = milliseconds(o.Duration()), true
		case o.Word("MAXATTEMPTS", 1<<3):
			p.MaxAttempts = o.Integer(1, queue.MaxAttempts)
		case o.Word("LEASE", 1<<4):
			p.Lease = o.lease()
		case o.Word("NOMKQ", 1<<5):
			p.NoCreate = true
		case o.Word("DEDUP", 1<<6):
			p.Dedup = o.Several(n, "keys, one for each payload")
		default:
			o.Unknown()
		}
	}
	return o.Err
}
