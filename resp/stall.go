package resp

import (
	"runtime"
	"time"
)

// stallAfter is how long a write may take before the connection counts as one that does not read.
const stallAfter = 10 * time.Millisecond

// writeDirect writes a batch from the connection's own goroutine. While the client does not read, its commands are not run any
// further, so what it is owed is bounded, but what it sends is read on into memory: it may be in the middle of a write itself.
func (c *Conn) writeDirect(b []byte, now int64) error {
	return c.pieces(b, now, true)
}

// writePieces is writeDirect for the writer goroutine, beside which the connection's own goes on reading.
func (c *Conn) writePieces(b []byte, now int64) error {
	return c.pieces(b, now, false)
}

// pieces writes b in pieces, so that the time limit on a write that does not get on is not one on its size. Between two pieces others
// that are ready go first: a replay at full speed is otherwise one long call into the kernel after the other.
func (c *Conn) pieces(b []byte, now int64, direct bool) (err error) {
	n, owed := 0, 0
	if direct && len(b) > repliesMax {
		owed = len(b)
		c.charge(owed)
		defer func() { c.charge(-owed) }()
	}
	for len(b) > 0 {
		c.writingSince.Store(now)
		piece := b[:min(len(b), pieceMax)]
		if direct {
			n, err = c.writeAhead(piece)
		} else {
			n, err = c.nc.Write(piece)
		}
		c.bytesOut.Add(uint64(n))
		if err != nil {
			break
		}
		if b = b[n:]; len(b) > 0 {
			runtime.Gosched()
			now = c.server.clock.Load()
		}
	}
	c.writingSince.Store(0)
	return err
}

// writeAhead writes a piece; while it stands still, the socket is read.
func (c *Conn) writeAhead(piece []byte) (n int, err error) {
	c.ahead.beginWrite(c)
	n, err = c.nc.Write(piece)
	c.ahead.endWrite()
	return n, err
}

// beginWrite has the socket read unless endWrite comes soon.
func (a *ahead) beginWrite(c *Conn) {
	a.mu.Lock()
	a.writing = true
	a.mu.Unlock()
	if a.stall != nil {
		a.stall.Reset(stallAfter)
		return
	}
	a.stall = time.AfterFunc(stallAfter, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.writing {
			a.beginLocked(c)
		}
	})
}

func (a *ahead) endWrite() {
	a.stall.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writing, a.wanted = false, false
	if a.reading || a.bytes > 0 || a.err != nil {
		a.used = true
	}
}
