package commands

import (
	"slices"
	"strconv"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/resp"
)

// replyBytes caps what a reply with jobs holds: fewer jobs are returned, never none.
const replyBytes = 16 << 20

// queueConn is what the queue commands need of a connection; *resp.Conn is one.
type queueConn interface {
	Await(b resp.Barrier, seq uint64, synced bool)
	Block(timeout time.Duration, wake <-chan struct{}) resp.Wake
	OnUndelivered(fn func())
}

// queueSession is the queue state of one connection: the leases bound to it, and buffers that its commands reuse.
type queueSession struct {
	conn  queueConn
	owner *queue.Owner // nil until the first BIND

	push       queue.PushOptions
	payload    [1][]byte
	pushed     []queue.Pushed
	deliveries []queue.Delivery
	handles    []queue.Handle
	each       []bool
	cold       func() // Conn.Admit: what comes from a file is not waited for in the connection's event loop
}

// queueState is the session's queue state, made when first needed.
func (ctx *Context) queueState() *queueSession {
	if ctx.Session.queue == nil {
		ctx.Session.queue = &queueSession{conn: ctx.Conn, cold: ctx.Conn.Admit}
	}
	return ctx.Session.queue
}

// awaitQueue makes the reply wait for a change of a queue.
func (ctx *Context) awaitQueue(r brokers.Receipt) {
	if r.Journal == nil || r.Seq == 0 || r.Durability == brokers.Never {
		return
	}
	ctx.queueState().conn.Await(r.Journal, r.Seq, r.Durability == brokers.Always)
}

// answerCount answers with a number and makes it wait for the change.
func (ctx *Context) answerCount(n int, r brokers.Receipt, err error) {
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Int(int64(n))
	ctx.awaitQueue(r)
}

// queueClosed gives back what the connection still holds: jobs leased with BIND return to their queues at once,
// uncounted. The dispatcher calls it once, when the connection has closed.
func (s *Server) queueClosed(ctx *Context) {
	if q := ctx.Session.queue; q != nil && q.owner != nil {
		s.Queue.CloseOwner(q.owner)
		q.owner = nil
	}
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
	if h.ID, ok = parseUint(word[:dash]); !ok {
		return h, false
	}
	h.Delivery, ok = parseUint(word[dash+1:])
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
		id, ok := parseUint(word)
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
func (ctx *Context) answerEach(n int, each []bool, r brokers.Receipt, err error) {
	if err != nil || each == nil {
		ctx.answerCount(n, r, err)
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
	ctx.awaitQueue(r)
}

// eachFor is the buffer for one answer per handle.
func (q *queueSession) eachFor(n int) []bool {
	q.each = slices.Grow(q.each[:0], n)[:n]
	clear(q.each)
	return q.each
}

// milliseconds is a duration as the queue broker takes it.
func milliseconds(d time.Duration) int64 { return int64(d / time.Millisecond) }

// lease is an option's value as a lease: at least a millisecond.
func (o *options) lease() int64 {
	name := o.current
	d := o.duration()
	if o.err == nil && d == 0 {
		o.err = brokers.Errorf("ERR", "%s must be at least 1 ms", name)
	}
	return milliseconds(d)
}

func parseQueueState(word []byte) (queue.States, bool) {
	switch {
	case is(word, "READY"):
		return queue.Ready, true
	case is(word, "DELAYED"):
		return queue.Delayed, true
	case is(word, "INFLIGHT"):
		return queue.Inflight, true
	case is(word, "DEAD"):
		return queue.Dead, true
	}
	return 0, false
}
