package resp

import (
	"sync/atomic"
	"time"
)

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
	heavy := c.admitted != nil
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
	if c.dead() {
		return Gone
	}
	if c.server.isDraining() {
		return Draining
	}
	c.Aside()
	if c.io.loop == nil {
		c.ahead.used = true
		c.ahead.begin(c)
		defer c.ahead.end()
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
		if err, left := c.ahead.left(); left {
			if isTimeout(err) && c.server.isDraining() {
				return Draining
			}
			return Gone
		}
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
		case <-c.ahead.changed: // another look at what the reads have met
		case <-c.io.gone:
			return Gone
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
