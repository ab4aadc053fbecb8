package resp

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// What clients make grow beyond the working buffers is taken from one budget (Options.MemoryMax): input not run, output not read,
// and what the Handler keeps for a connection. When it is used up, those who hold most go, and first those that do not move.

const (
	stuckAfter  = 2 * time.Second // how long no byte of what a connection waits for must have moved
	stuckWeight = 8               // and how much more each byte that it holds counts then
)

// Hold adds to what the connection holds of the memory of all; a negative n gives back. Any goroutine. What is held in the end is
// given back with the connection.
func (c *Conn) Hold(n int) { c.charge(n) }

// TryHold is Hold for what may be refused: it takes n bytes if as many are left, and tells whether they were. The last eighth is
// left to what cannot be refused, such as replies on their way.
func (c *Conn) TryHold(n int) bool { return c.tryCharge(n, c.server.options.MemoryMax/8) }

// Memory is how much the connection holds of the memory of all. Any goroutine.
func (c *Conn) Memory() int { return int(c.held.Load()) }

// charge takes n bytes, whatever is left, and has the sweeper make room when nothing is.
func (c *Conn) charge(n int) {
	c.held.Add(int64(n))
	c.server.charge(n)
}

func (s *Server) charge(n int) {
	if s.held.Add(int64(n)) > s.options.MemoryMax && n > 0 {
		s.press()
	}
}

// press has the sweeper make room.
func (s *Server) press() {
	select {
	case s.pressed <- struct{}{}:
	default:
	}
}

// tryCharge takes n bytes if they are left beside those to keep.
func (c *Conn) tryCharge(n int, keep int64) bool {
	s := c.server
	for {
		held := s.held.Load()
		if held+int64(n) > s.options.MemoryMax-keep {
			s.missed.Store(int64(n))
			s.press()
			return false
		}
		if s.held.CompareAndSwap(held, held+int64(n)) {
			c.held.Add(int64(n))
			return true
		}
	}
}

// Spare keeps the connection from being cut to make room for others, or no longer. Any goroutine.
func (c *Conn) Spare(yes bool) { c.spared.Store(yes) }

// Spared tells whether it is. Any goroutine.
func (c *Conn) Spared() bool { return c.spared.Load() }

// chargeInput takes what the read buffer has grown to. It returns an error when this connection is the one that must go.
func (c *Conn) chargeInput(size int) error {
	if c.payInput(size) > 0 && !c.server.relieve(c, 0) {
		return errMemory
	}
	return nil
}

// payInput returns how much more it took.
func (c *Conn) payInput(size int) (more int) {
	if size <= 2*readBufferMax {
		size = 0 // the working buffers are bounded by MaxClients
	}
	if more = size - int(c.inputHeld.Load()); more != 0 {
		c.inputHeld.Store(int64(size))
		c.charge(more)
	}
	return more
}

// holder is a candidate of relieve.
type holder struct {
	conn  *Conn
	bytes int64
	stuck bool
}

func (h holder) weight() int64 {
	if h.stuck {
		return stuckWeight * h.bytes
	}
	return h.bytes
}

// holds is what a cut would give back, pushes that others hold too among it.
func (c *Conn) holds() int64 { return c.held.Load() + int64(c.out.pushed()) }

// relieve cuts connections until the rest are within the budget, with what somebody missed; for the latter only those that are
// stuck go. It returns false, without cutting it, when asking is the next to go.
func (s *Server) relieve(asking *Conn, missed int64) bool {
	over := s.held.Load() + missed - s.options.MemoryMax
	if over <= 0 {
		return true
	}
	s.relieving.Lock()
	defer s.relieving.Unlock()
	dying := int64(0) // on its way back
	now := s.now()
	var holders []holder
	s.Each(func(c *Conn) bool {
		switch bytes := c.holds(); {
		case bytes <= 0:
		case c.dead():
			dying += bytes
		case c.spared.Load() && c != asking:
		default:
			holders = append(holders, holder{c, bytes, c.stuck(now)})
		}
		return true
	})
	over = s.held.Load() + missed - dying - s.options.MemoryMax // now: what was given back since is in nobody's account
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(b.weight(), a.weight()) })
	for _, h := range holders {
		if over <= 0 {
			break
		}
		if over <= missed && !h.stuck {
			continue
		}
		if h.conn == asking {
			return false
		}
		over -= h.bytes
		if h.conn.asking.Load() || h.conn.holds() < h.bytes {
			continue // it is about to find out by itself, and will be told why; or it has given back meanwhile
		}
		s.counters.memoryCuts.Add(1)
		s.options.Logger.Warn("connection cut: the memory for all connections is used up", "client", h.conn.RemoteAddr().String(),
			"id", h.conn.id, "bytes", h.bytes)
		h.conn.Kill()
	}
	return true
}

// now is the time on the server's clock, exact.
func (s *Server) now() int64 { return int64(time.Since(s.started)) }

// progress is what a connection has moved, as the sweeper last saw it.
type progress struct {
	bytes  uint64
	queued int          // bytes that the kernel has of us and the peer does not have
	at     atomic.Int64 // when these last changed
}

// observe is called by the sweeper. A peer that reads more slowly than the kernel asks us for more is seen by what the kernel holds.
func (p *progress) observe(c *Conn, now int64) {
	bytes, queued := c.bytesIn.Load()+c.bytesOut.Load(), 0
	if c.writingSince.Load() != 0 {
		queued = c.queued()
	}
	if bytes != p.bytes || queued != p.queued {
		p.bytes, p.queued = bytes, queued
		p.at.Store(now)
	}
}

// queued is how many bytes the kernel holds that the peer has not taken. A loop, which alone may touch its sockets, is asked for
// it and tells by the next time.
func (c *Conn) queued() int {
	if c.io.loop == nil {
		return c.socket.queued()
	}
	c.io.loop.mark(c, markMeasure)
	return int(c.io.queuedBytes.Load())
}

// stuck tells whether the connection waits for its client to read or to send, and the client does not.
func (c *Conn) stuck(now int64) bool {
	waits := c.writingSince.Load() != 0 || c.partialSince.Load() != 0 || c.Outbox() > 0
	return waits && now-c.lastMoved() > int64(stuckAfter)
}

func (c *Conn) lastMoved() int64 { return max(c.progress.at.Load(), c.lastActive.Load()) }
