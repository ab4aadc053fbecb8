package queues

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

// replyBytes caps what a reply with jobs holds: fewer jobs are returned, never none.
const replyBytes = 16 << 20

// queueSession is the queue state of one connection: the leases bound to it, and buffers that its commands reuse.
type queueSession struct {
	owner atomic.Pointer[queue.Owner] // of the leases bound to it; nil until the first BIND

	push       queue.PushOptions
	payload    [1][]byte
	pushed     []queue.Pushed
	deliveries []queue.Delivery
	handles    []queue.Handle
	each       []bool
	cold       func() // Conn.Admit: what comes from a file is not waited for in the connection's event loop
}

// queueState is the session's queue state, made when first needed.
func (f *Family) queueState(ctx *commands.Context) *queueSession {
	if q, ok := f.family.State(ctx.Session).(*queueSession); ok {
		return q
	}
	q := &queueSession{cold: ctx.Conn.Admit}
	f.family.Keep(ctx.Session, q)
	return q
}

// closed gives back what the connection still holds: jobs leased with BIND return to their queues at once, uncounted.
func (f *Family) closed(ctx *commands.Context) {
	if q, ok := f.family.State(ctx.Session).(*queueSession); ok {
		if owner := q.owner.Load(); owner != nil {
			f.broker.CloseOwner(owner)
		}
	}
}

// shown: a connection that holds leases is there for a reason.
func shownQueueState(state any) commands.Shown {
	owner := state.(*queueSession).owner.Load()
	return commands.Shown{Holds: owner != nil && owner.Leases() > 0}
}

// handlesMax is how many handles or ids one command may name.
const handlesMax = queue.MaxHandles

// appendHandle writes a handle as clients see it.
func appendHandle(buf []byte, id, delivery uint64) []byte {
	buf = strconv.AppendUint(buf, id, 10)
	buf = append(buf, '-')
	return strconv.AppendUint(buf, delivery, 10)
}

// parseHandle reads id-delivery.
func parseHandle(word []byte) (h queue.Handle, ok bool) {
	dash := slices.Index(word, '-')
	if dash < 0 {
		return h, false
	}
	if h.ID, ok = commands.ParseUint(word[:dash]); !ok {
		return h, false
	}
	h.Delivery, ok = commands.ParseUint(word[dash+1:])
	return h, ok
}

// parseHandles reads the handles from args[first] on, up to the first word that is no number, into the session's buffer.
// next is where the options begin.
func (q *queueSession) parseHandles(args [][]byte, first int) (next int, err error) {
	q.handles = q.handles[:0]
	for next = first; next < len(args); next++ {
		word := args[next]
		if next > first && (len(word) == 0 || word[0] < '0' || word[0] > '9') {
			break
		}
		h, ok := parseHandle(word)
		if !ok {
			return next, brokers.Errorf("BADHANDLE", "'%s' is not <id>-<delivery>", cutWord(word))
		}
		if len(q.handles) == handlesMax {
			return next, brokers.Errorf("ERR", "more than %d handles", handlesMax)
		}
		q.handles = append(q.handles, h)
	}
	return next, nil
}

// parseIDs reads job ids up to the first word that is no number.
func parseIDs(args [][]byte, first int) (ids []uint64, next int, err error) {
	for next = first; next < len(args); next++ {
		word := args[next]
		if next > first && (len(word) == 0 || word[0] < '0' || word[0] > '9') {
			break
		}
		id, ok := commands.ParseUint(word)
		if !ok {
			return nil, next, brokers.Errorf("BADHANDLE", "'%s' is not a job id", cutWord(word))
		}
		if len(ids) == handlesMax {
			return nil, next, brokers.Errorf("ERR", "more than %d ids", handlesMax)
		}
		ids = append(ids, id)
	}
	return ids, next, nil
}

// cutWord is a client's word, cut to what an error message should hold.
func cutWord(word []byte) []byte { return word[:min(len(word), 64)] }

// answerEach answers with a count, or with one number per handle.
func (f *Family) answerEach(ctx *commands.Context, n int, each []bool, r brokers.Receipt, err error) {
	if err != nil || each == nil {
		ctx.Number(int64(n), r, err)
		return
	}
	ctx.W.Array(len(each))
	for _, settled := range each {
		if settled {
			ctx.W.Int(1)
		} else {
			ctx.W.Int(0)
		}
	}
	ctx.Await(r)
}

// eachFor is the buffer for one answer per handle.
func (q *queueSession) eachFor(n int) []bool {
	q.each = slices.Grow(q.each[:0], n)[:n]
	clear(q.each)
	return q.each
}

// milliseconds is a duration as the queue broker takes it.
func milliseconds(d time.Duration) int64 { return int64(d / time.Millisecond) }

// leaseOf is an option's value as a lease: at least a millisecond.
func leaseOf(o *commands.Options) int64 {
	name := o.Current
	d := o.Duration()
	if o.Err == nil && d == 0 {
		o.Err = brokers.Errorf("ERR", "%s must be at least 1 ms", name)
	}
	return milliseconds(d)
}

func parseQueueState(word []byte) (queue.States, bool) {
	switch {
	case commands.Is(word, "READY"):
		return queue.Ready, true
	case commands.Is(word, "DELAYED"):
		return queue.Delayed, true
	case commands.Is(word, "INFLIGHT"):
		return queue.Inflight, true
	case commands.Is(word, "DEAD"):
		return queue.Dead, true
	}
	return 0, false
}
