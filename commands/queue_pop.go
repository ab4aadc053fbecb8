package commands

import (
	"slices"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/resp"
)

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
func qpop(ctx *Context, args [][]byte) {
	ctx.take(args[1:2], optionsFrom(args, 2), false)
}

// qmpop is QMPOP n q*n [options].
func qmpop(ctx *Context, args [][]byte) {
	names, err := readCounted(args, 1, 1, queue.MaxBatch, "n")
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.take(args[names.from:names.to], optionsBehind(args, names), true)
}

func (ctx *Context) take(names [][]byte, o *options, named bool) {
	t := queueTake{names: names, named: named}
	t.Count = 1
	bind := false
	for o.next() {
		switch {
		case o.word("COUNT", 1<<0):
			t.Count = int(o.integer(1, queue.MaxCount))
		case o.word("BLOCK", 1<<1):
			t.blocks, t.timeout = true, o.duration()
		case o.word("LEASE", 1<<2):
			t.Lease = o.lease()
		case o.word("BIND", 1<<3):
			bind = true
		case o.word("META", 1<<4):
			t.meta = true
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	q := ctx.queueState()
	if bind {
		if q.owner == nil {
			q.owner = queue.NewOwner()
			ctx.Session.shown.Lock()
			ctx.Session.shown.owner = q.owner
			ctx.Session.shown.Unlock()
		}
		t.Owner = q.owner
	}
	t.MaxBytes, t.Cold = replyBytes, q.cold
	if t.meta {
		t.MaxBytes -= t.Count * metaBytes
	}
	ctx.runTake(q, &t)
}

// metaBytes is an upper bound of the map that META adds to a job.
const metaBytes = 400 + queue.MaxReasonBytes

func (ctx *Context) runTake(q *queueSession, t *queueTake) {
	broker := ctx.Server.Queue
	jobs, index, receipt, err := broker.PopAny(t.names, &t.PopOptions, q.deliveries[:0])
	if err != nil {
		ctx.fail(err)
		return
	}
	q.deliveries = jobs
	if len(jobs) == 0 && t.blocks {
		waiter, err := broker.Wait(t.names, &t.PopOptions)
		if err != nil {
			ctx.fail(err)
			return
		}
		switch q.conn.Block(t.timeout, waiter.C()) {
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
			ctx.fail(err)
			return
		}
	}
	if len(jobs) == 0 {
		ctx.W.NullArray()
		return
	}
	ctx.deliver(q, t, t.names[index], jobs, receipt)
	// The buffer must not keep the payloads alive.
	clear(q.deliveries)
}

// deliver writes the jobs. If the reply cannot be written they go back.
func (ctx *Context) deliver(q *queueSession, t *queueTake, name []byte, jobs []queue.Delivery, receipt brokers.Receipt) {
	if t.named {
		ctx.W.Array(2)
		ctx.W.Bulk(name)
	}
	ctx.W.Array(len(jobs))
	for i := range jobs {
		ctx.writeJob(&jobs[i], t.meta)
	}
	ctx.awaitQueue(receipt)
	broker, copied, handles := ctx.Server.Queue, slices.Clone(name), queue.Handles(jobs)
	q.conn.OnUndelivered(func() { broker.GiveBack(copied, handles) })
}

func (ctx *Context) writeJob(d *queue.Delivery, meta bool) {
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
