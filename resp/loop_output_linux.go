package resp

import (
	"slices"
	"syscall"
)

// The output of a connection on a loop: its batch goes to the socket at once while nothing waits before it; everything else, and
// what the socket does not take, goes through the outbox. The leader alone takes from there and writes.

const (
	shareMax   = 256 << 10 // what one connection may write in a turn
	pieceCost  = 1 << 10   // what a write counts at least: a source may have little, or nothing, to say each time it is asked
	chunksKept = 64        // for how many chunks room is kept while nothing waits
)

// deliverOnLoop writes a batch, or puts it behind what waits already.
func (c *Conn) deliverOnLoop() {
	io, replies := &c.io, c.writer.Bytes()
	if io.output || c.out.waits() {
		c.out.appendReplies(c, replies, c.undelivered)
		return
	}
	n := 0
	for n < len(replies) && n < shareMax {
		written, err := writeSocket(io.fd, replies[n:min(len(replies), n+shareMax)])
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			io.full = true
			break
		}
		if err != nil {
			c.Kill()
			c.runUndelivered()
			return
		}
		n += written
	}
	c.bytesOut.Add(uint64(n))
	if n == len(replies) {
		return
	}
	io.output = true
	if !io.full && !io.helped {
		io.loop.again(c) // it has had its share of this turn
	}
	rest := replies[n:]
	if cap(replies) > 4*repliesMax {
		c.writer.buf = nil // too large to be kept, so it need not be copied
	} else {
		rest = slices.Clone(rest)
	}
	io.chunks = append(io.chunks[:0], chunk{bytes: rest})
	io.special = append(io.special[:0], mark{reply: true, undelivered: slices.Clone(c.undelivered)})
	io.chunkAt, io.offset, io.markAt = 0, 0, 0
	c.out.owe(c, len(replies)-n)
	c.writingSince.Store(c.server.clock.Load())
}

// write gives the socket what waits, as much as it takes and a share of the turn allows.
func (l *loop) write(c *Conn) {
	io := &c.io
	for share := shareMax; !io.full; {
		if share <= 0 {
			l.again(c)
			return
		}
		if io.chunkAt == len(io.chunks) && !io.refill(&c.out) {
			io.output = false
			c.writingSince.Store(0)
			return
		}
		piece, ok := l.nextPiece(c)
		if !ok {
			c.Kill()
			return
		}
		n, err := 0, error(nil)
		if len(piece) > 0 {
			n, err = writeSocket(io.fd, piece)
		}
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			io.full, n = true, 0
		case err != nil:
			c.Kill()
			return
		}
		share -= max(n, pieceCost)
		if c.writingSince.Load() == 0 {
			c.writingSince.Store(c.server.clock.Load())
		}
		c.bytesOut.Add(uint64(n))
		if n > 0 || len(piece) == 0 {
			l.wrote(c, n)
		}
	}
}

// refill takes what has gathered in the outbox.
func (io *looped) refill(o *outbox) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.chunks) == 0 {
		if cap(io.chunks) > chunksKept || cap(io.special) > chunksKept {
			io.chunks, io.special = nil, nil
			io.chunkAt, io.markAt, io.offset = 0, 0, 0
		}
		if cap(o.chunks) > chunksKept || cap(o.marks) > chunksKept {
			o.chunks, o.marks = nil, nil // a burst has made both grow
		}
		return false
	}
	io.chunks, o.chunks = o.chunks, io.chunks[:0]
	io.special, o.marks = o.marks, io.special[:0]
	io.chunkAt, io.markAt, io.offset = 0, 0, 0
	return true
}

// nextPiece is what is to be written next: the rest of a large chunk as it is, several small ones copied together, or more of a
// source. It returns false when the source has panicked.
func (l *loop) nextPiece(c *Conn) (piece []byte, ok bool) {
	io := &c.io
	if m := io.markHere(); m != nil && m.source != nil {
		if io.offset == len(io.pulled) && !io.pullEnd {
			io.offset = 0
			if !l.pull(c, m.source) {
				return nil, false
			}
		}
		return io.pulled[io.offset:], true
	}
	first := io.chunks[io.chunkAt].bytes[io.offset:]
	if len(first) >= pieceMax || io.chunkAt+1 == len(io.chunks) {
		return first, true
	}
	l.piece = append(l.piece[:0], first...)
	for i := io.chunkAt + 1; i < len(io.chunks) && !io.isSource(i) && len(l.piece)+len(io.chunks[i].bytes) <= copyMax; i++ {
		l.piece = append(l.piece, io.chunks[i].bytes...)
	}
	return l.piece, true
}

// isSource tells whether a chunk not yet begun stands for a source.
func (io *looped) isSource(chunk int) bool {
	if len(io.chunks[chunk].bytes) > 0 {
		return false
	}
	for i := io.markAt; i < len(io.special) && io.special[i].at <= chunk; i++ {
		if io.special[i].at == chunk {
			return io.special[i].source != nil
		}
	}
	return false
}

// pull asks a source for its next part.
func (l *loop) pull(c *Conn, source func([]byte) ([]byte, bool)) (ok bool) {
	defer func() {
		if reason := recover(); reason != nil {
			l.server.notePanic(c, reason)
		}
	}()
	io := &c.io
	if c.out.isEnding() {
		io.pulled, io.pullEnd = nil, true
		return true
	}
	io.pulled, io.pullEnd = source(io.pulled[:0])
	return true
}

// wrote moves on by n bytes and settles the accounts of what is complete.
func (l *loop) wrote(c *Conn, n int) {
	io := &c.io
	size, replies := 0, 0
	for io.chunkAt < len(io.chunks) {
		m := io.markHere()
		if m != nil && m.source != nil {
			io.offset += n
			if io.offset == len(io.pulled) && io.pullEnd {
				io.pulled, io.pullEnd = nil, false
				l.advance(io, m)
			}
			break
		}
		part := min(n, len(io.chunks[io.chunkAt].bytes)-io.offset)
		io.offset += part
		n -= part
		size += part
		if m != nil {
			replies += part
		}
		if io.offset < len(io.chunks[io.chunkAt].bytes) {
			break
		}
		l.advance(io, m)
		if n == 0 {
			break
		}
	}
	if size > 0 {
		c.out.paid(c, size, replies)
	}
}

// markHere is the mark of the chunk that is written now, if it has one.
func (io *looped) markHere() *mark {
	if io.markAt < len(io.special) && io.special[io.markAt].at == io.chunkAt {
		return &io.special[io.markAt]
	}
	return nil
}

// advance leaves a chunk, which is written, behind.
func (l *loop) advance(io *looped, m *mark) {
	if m != nil {
		*m = mark{}
		io.markAt++
	}
	releaseAll(l.server, io.chunks[io.chunkAt:io.chunkAt+1])
	io.chunks[io.chunkAt] = chunk{}
	io.chunkAt++
	io.offset = 0
}
