package queues

import (
	"slices"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

func popArguments() []commands.Argument {
	return []commands.Argument{
		commands.Option("COUNT", "count", "integer"), commands.Option("BLOCK", "timeout", "string"), commands.Option("LEASE", "lease", "string"),
		commands.Toggle("BIND"), commands.Toggle("META"),
	}
}

// queueTake is one QPOP or QMPOP.
type queueTake struct {
	queue.PopOptions
	names   [][]byte
	named   bool // QMPOP: the reply names the queue
	meta    bool
	blocks  bool
	timeout time.Duration // 0 waits for ever
}

// qpop is QPOP q [COUNT n] [BLOCK dur] [LEASE dur] [BIND] [META].
func (f *Family) qpop(ctx *commands.Context, args [][]byte) {
	f.take(ctx, args[1:2], commands.OptionsFrom(args, 2), false)
}

// qmpop is QMPOP n q*n [options].
func (f *Family) qmpop(ctx *commands.Context, args [][]byte) {
	names, err := commands.ReadCounted(args, 1, 1, queue.MaxBatch, "n")
	if err != nil {
		ctx.Fail(err)
		return
	}
	f.take(ctx, args[names.From:names.To], commands.OptionsBehind(args, names), true)
}

func (f *Family) take(ctx *commands.Context, names [][]byte, o *commands.Options, named bool) {
	t := queueTake{names: names, named: named}
	t.Count = 1
	bind := false
	for o.Next() {
		switch {
		case o.Word("COUNT", 1<<0):
			t.Count = int(o.Integer(1, queue.MaxCount))
		case o.Word("BLOCK", 1<<1):
			t.blocks, t.timeout = true, o.Duration()
		case o.Word("LEASE", 1<<2):
			t.Lease = leaseOf(o)
		case o.Word("BIND", 1<<3):
			bind = true
		case o.Word("META", 1<<4):
			t.meta = true
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	q := f.queueState(ctx)
	if bind {
		if q.owner.Load() == nil {
			q.owner.Store(queue.NewOwner())
		}
		t.Owner = q.owner.Load()
	}
	t.MaxBytes, t.Cold = replyBytes, q.cold
	if t.meta {
		t.MaxBytes -= t.Count * metaBytes
	}
	f.runTake(ctx, q, &t)
}

// metaBytes is an upper bound of the map that META adds to a job.
const metaBytes = 400 + queue.MaxReasonBytes

func (f *Family) runTake(ctx *commands.Context, q *queueSession, t *queueTake) {
	broker := f.broker
	jobs, index, receipt, err := broker.PopAny(t.names, &t.PopOptions, q.deliveries[:0])
	if err != nil {
		ctx.Fail(err)
		return
	}
	q.deliveries = jobs
	if len(jobs) == 0 && t.blocks {
		waiter, err := broker.Wait(t.names, &t.PopOptions)
		if err != nil {
			ctx.Fail(err)
			return
		}
		switch ctx.Conn.Block(t.timeout, waiter.C()) {
		case resp.Gone:
			broker.Return(waiter)
			return
		case resp.UnblockedWithError:
			broker.Return(waiter)
			ctx.W.Error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
			return
		}
		// What a queue gave at the last moment is the answer, whatever ended the wait.
		if jobs, index, receipt, err = waiter.Finish(); err != nil {
			ctx.Fail(err)
			return
		}
	}
	if len(jobs) == 0 {
		ctx.W.NullArray()
		return
	}
	f.deliver(ctx, q, t, t.names[index], jobs, receipt)
	// The buffer must not keep the payloads alive.
	clear(q.deliveries)
}

// deliver writes the jobs. If the reply cannot be written they go back.
func (f *Family) deliver(ctx *commands.Context, q *queueSession, t *queueTake, name []byte, jobs []queue.Delivery,
	receipt brokers.Receipt) {
	if t.named {
		ctx.W.Array(2)
		ctx.W.Bulk(name)
	}
	ctx.W.Array(len(jobs))
	for i := range jobs {
		f.writeJob(ctx, &jobs[i], t.meta)
	}
	ctx.Await(receipt)
	broker, copied, handles := f.broker, slices.Clone(name), queue.Handles(jobs)
	ctx.Conn.OnUndelivered(func() { broker.GiveBack(copied, handles) })
}

func (f *Family) writeJob(ctx *commands.Context, d *queue.Delivery, meta bool) {
	w := ctx.W
	if meta {
		w.Array(4)
	} else {
		w.Array(3)
	}
	var handle [48]byte
	w.Bulk(appendHandle(handle[:0], d.ID, d.Number))
	w.BulkString(d.Body)
	w.Int(d.Attempt)
	if !meta {
		return
	}
	w.Map(7)
	w.BulkString("priority")
	w.Int(int64(d.Priority))
	w.BulkString("pushed-at")
	w.Int(d.PushedAt)
	w.BulkString("lease-until")
	w.Int(d.LeaseUntil)
	w.BulkString("expires-at")
	w.Int(d.ExpiresAt)
	w.BulkString("deliveries")
	w.Int(int64(d.Number))
	w.BulkString("max-attempts")
	w.Int(d.MaxAttempts)
	w.BulkString("last-reason")
	w.BulkString(d.Reason)
}
