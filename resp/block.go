package resp

import (
	"sync/atomic"
	"time"
)

// ahead reads the socket while a command blocks. One goroutine at a time makes one Read and reports; it is not
// interrupted when the block ends, the next fill takes its report instead of reading itself. So blocking costs no
// socket deadline, and the read that would have been made anyway is made early.
//
// kept belongs to the connection's goroutine, buf to the reader while reading is true.
type ahead struct {
	reading bool
	report  chan aheadRead // capacity 1: the reader never waits for anyone
	buf     []byte
	kept    []byte // came while blocked and is not framed yet, at most aheadMax
	err     error  // came after kept
}

type aheadRead struct {
	n   int
	err error
}

// watch has a read under way unless as much is kept as may be.
func (a *ahead) watch(c *Conn) {
	if a.reading || a.err != nil || len(a.kept) >= aheadMax {
		return
	}
	if a.report == nil {
		a.report = make(chan aheadRead, 1)
		a.buf = make([]byte, 512)
	}
	a.reading = true
	go func() {
		n, err := c.nc.Read(a.buf)
		a.report <- aheadRead{n, err}
	}()
}

// keep takes a report.
func (a *ahead) keep(r aheadRead) {
	a.reading = false
	a.kept = append(a.kept, a.buf[:r.n]...)
	a.err = r.err
	if r.n == len(a.buf) && r.n < aheadMax/4 {
		a.buf = make([]byte, 2*r.n)
	}
}

// take returns what came ahead, waiting for the read under way if there is one.
func (a *ahead) take(c *Conn) ([]byte, error) {
	if a.reading && len(a.kept) == 0 {
		a.keep(<-a.report)
	}
	if len(a.kept) > 0 {
		return a.kept, nil // an error comes after what was sent before it
	}
	return nil, a.err
}

func (a *ahead) release() {
	a.kept = a.kept[:0]
	if cap(a.kept) > readBufferMin {
		a.kept = nil
	}
}

// wait ends with the reader gone; the socket is closed.
func (a *ahead) wait() {
	if a.reading {
		<-a.report
		a.reading = false
	}
}

// blockState lets other goroutines end a Block. It goes idle -> blocked -> unblocked -> idle.
type blockState struct {
	state  atomic.Uint32
	signal chan struct{} // capacity 1; made by the first Block
}

const (
	blockIdle uint32 = iota
	blockBlocked
	blockUnblocked
	blockUnblockedWithError
)

// Block flushes the replies so far and waits until wake fires (a value or a close), the timeout passes (0 waits for
// ever), the client goes away, Unblock, or the server drains. The socket is watched meanwhile; commands that arrive are
// kept and run afterwards. A slot that the command was admitted to is given back, and taken again by the one who is woken.
func (c *Conn) Block(timeout time.Duration, wake <-chan struct{}) Wake {
	heavy := c.admitted
	c.FlushReplies()
	result := c.blocked(timeout, wake)
	if heavy && result == Woken {
		c.Admit()
	}
	return result
}

func (c *Conn) blocked(timeout time.Duration, wake <-chan struct{}) Wake {
	select {
	case <-wake:
		return Woken
	default:
	}
	if c.dead() || c.ahead.err != nil && !c.server.isDraining() {
		return Gone
	}
	if c.server.isDraining() {
		return Draining
	}
	if c.block.signal == nil {
		c.block.signal = make(chan struct{}, 1)
	}
	c.block.state.Store(blockBlocked)
	c.server.counters.blocked.Add(1)
	result := c.wait(timeout, wake)
	c.server.counters.blocked.Add(-1)
	c.lastActive.Store(c.server.clock.Load())
	if c.block.state.Swap(blockIdle) >= blockUnblocked {
		if result != Unblocked && result != UnblockedWithError {
			<-c.block.signal // Unblock came when the block was over for another reason
		}
	}
	return result
}

func (c *Conn) wait(timeout time.Duration, wake <-chan struct{}) Wake {
	var expired <-chan time.Time
	if timeout > 0 {
		timer := c.server.timer(timeout)
		defer c.server.putTimer(timer)
		expired = timer.C
	}
	for {
		c.ahead.watch(c)
		select {
		case <-wake:
			return Woken
		case <-expired:
			return TimedOut
		case <-c.killed:
			return Gone
		case <-c.block.signal:
			if c.block.state.Load() == blockUnblockedWithError {
				return UnblockedWithError
			}
			return Unblocked
		case <-c.server.draining:
			return Draining
		case report := <-c.ahead.report:
			c.ahead.keep(report)
			if err := c.ahead.err; err != nil {
				if isTimeout(err) && c.server.isDraining() {
					return Draining
				}
				return Gone
			}
		}
	}
}

// Unblock ends a Block from any goroutine and tells whether one was under way.
func (c *Conn) Unblock(withError bool) bool {
	to := blockUnblocked
	if withError {
		to = blockUnblockedWithError
	}
	if !c.block.state.CompareAndSwap(blockBlocked, to) {
		return false
	}
	c.block.signal <- struct{}{}
	return true
}
