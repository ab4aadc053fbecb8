package resp

import (
	"sync/atomic"
	"time"
)

// looped is a connection's part in its event loop. It belongs to the loop's leader unless said otherwise; a connection without a
// loop has none of it.
type looped struct {
	loop  *loop // nil: a goroutine of its own serves the connection
	marks marks // set by any goroutine, taken by the leader

	fd       int
	slot     int32
	queued   bool // in the loop's line, this turn's or the next, or among its writes
	readable bool // the socket may have bytes, or its end, to read
	hungUp   bool // it has an end to read
	full     bool // the socket takes no more for now
	output   bool // there may be something to write
	adopted  bool // the loop watches the socket

	more      bool // the buffer may hold complete commands: the batch ended early
	ended     bool // no more will be read
	lingering bool // everything was written, the client's last words are read and dropped
	discarded int

	// aside tells that another goroutine runs the connection's commands and has its framer, writer and replies. Set by that
	// goroutine before the loop goes on without it, reset by the leader once it has come back.
	aside bool
	gone  chan struct{} // closed when the client has left while the connection is aside
	// returned is the input buffer that was lent to it, for the leader.
	returned []byte

	// helped tells whoever runs the connection's commands that it is a helper, which has all of looped but handed meanwhile.
	helped    bool
	handed    handed
	pipelined bool // the last batch was worth a helper
	toPark    bool // the helper's batch awaits a journal

	// What came while no command could be run.
	ahead     [][]byte
	aheadAt   int          // of ahead[0] that was fed
	aheadLen  atomic.Int64 // bytes not fed
	aheadHeld int          // memory, taken from the budget
	aheadErr  error        // came after all of them
	aheadFull atomic.Bool

	queuedBytes atomic.Int64 // see Conn.queued

	parked   bool
	ticket   uint64 // of this parking
	parkedAt int64
	waitAt   int // of Conn.waits: those before it are over

	// What was taken from the outbox, and how far it is written.
	chunks  []chunk
	chunkAt int
	offset  int // in chunks[chunkAt]
	special []mark
	markAt  int
	pulled  []byte // of the source at chunkAt, from offset on
	pullEnd bool   // the source has no more
}

// handed is nothing while the leader has the connection, and else what he was told of it: see loop.handOver.
type handed struct{ atomic.Uint32 }

// pipelineMin is how many commands in a connection's last batch make its next one worth a helper. With fewer, the system calls that
// the leader saves by serving many connections in one turn are worth more.
const pipelineMin = 32

// onLoop tells whether the loop's leader or a helper runs this connection's commands: neither may wait.
func (c *Conn) onLoop() bool { return c.io.loop != nil && !c.io.aside }

// Aside takes the connection off its event loop until its batch is over: what the current command does next may wait or take
// long. It is called by Block and Admit; without a loop it does nothing.
func (c *Conn) Aside() {
	if c.onLoop() {
		c.io.loop.stepAside(c)
	}
}

// waited is how long the connection has been parked.
func (c *Conn) waited() time.Duration {
	return time.Duration(c.server.clock.Load() - c.io.parkedAt)
}

// finishLooped ends a connection whose socket its loop has closed, on a goroutine of its own: what is done for a client that
// has gone, such as taking a million subscriptions back, may take a while.
func (c *Conn) finishLooped() {
	if c.kills.CompareAndSwap(false, true) {
		close(c.killed)
	}
	for i := c.io.markAt; i < len(c.io.special); i++ {
		c.io.special[i].fail(c)
	}
	releaseAll(c.server, c.io.chunks)
	c.io.chunks, c.io.special, c.io.pulled = nil, nil, nil
	c.runUndelivered()
	c.guard(func() { c.server.handler.Closed(c) })
	c.leave()
	c.out.abandon(c)
	c.charge(int(-c.held.Load()))
	c.server.forget(c)
}

// open tells the handler of a connection that its loop has adopted.
func (c *Conn) open() {
	defer func() {
		if reason := recover(); reason != nil {
			c.server.notePanic(c, reason)
			c.Kill()
		}
	}()
	c.server.handler.Open(c)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
