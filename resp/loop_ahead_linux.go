package resp

import "syscall"

// What a client sends while its commands cannot be run: they wait or run elsewhere, or it does not read its replies.

// readAhead keeps reading a client whose commands cannot be run for now: one that sends its whole pipeline before it reads can
// get to its reading, and the end of the connection is seen. It stops where the limit of the connection or that of all is met; then
// the kernel still tells of the peer's end.
func (l *loop) readAhead(c *Conn) {
	in := &c.io
	for share := shareMax; in.readable && in.aheadErr == nil && share > 0; {
		room := l.aheadRoom(c)
		if room == nil {
			break
		}
		n, err := readSocket(in.fd, room)
		switch {
		case n > 0:
			last := len(in.ahead) - 1
			in.ahead[last] = in.ahead[last][:len(in.ahead[last])+n]
			in.aheadLen.Add(int64(n))
			share -= n
			c.noteInput(n)
		case err == syscall.EAGAIN:
			in.readable = false
		case err == syscall.EINTR:
		default:
			in.readable = false
			in.aheadErr = endOf(err)
		}
	}
	if in.gone != nil && (in.aheadErr != nil || in.hungUp && in.aheadFull.Load()) && !isClosed(in.gone) {
		close(in.gone)
	}
	if in.readable && in.aheadErr == nil && !in.aheadFull.Load() {
		l.again(c)
	}
}

// aheadRoom is where the next bytes go; nil when there may be no more.
func (l *loop) aheadRoom(c *Conn) []byte {
	in := &c.io
	size := aheadChunkMin
	if last := len(in.ahead) - 1; last >= 0 {
		if chunk := in.ahead[last]; len(chunk) < cap(chunk) {
			return chunk[len(chunk):cap(chunk)]
		}
		size = min(2*cap(in.ahead[last]), aheadChunkMax)
	}
	if in.aheadHeld+int(c.inputHeld.Load())+size > c.aheadMost() || !c.tryCharge(size, 0) {
		in.aheadFull.Store(true)
		return nil
	}
	in.aheadFull.Store(false)
	in.aheadHeld += size
	in.ahead = append(in.ahead, make([]byte, 0, size))
	return in.ahead[len(in.ahead)-1][:size]
}

// feedAhead gives the framer as much as it has room for of what came ahead. It returns false when the connection must go for the
// memory that this takes.
func (l *loop) feedAhead(c *Conn) bool {
	in := &c.io
	room, err := c.room()
	if err != nil {
		c.broken, c.closing = err, true
		return false
	}
	chunk := in.ahead[0][in.aheadAt:]
	n := copy(room, chunk)
	c.framer.filled(n)
	in.aheadAt += n
	in.aheadLen.Add(int64(-n))
	if n == len(chunk) {
		l.dropAhead(c, 1)
	}
	return true
}

// dropAhead forgets the first chunks, and gives their memory back.
func (l *loop) dropAhead(c *Conn, count int) {
	in := &c.io
	for i := range count {
		in.aheadHeld -= cap(in.ahead[i])
		c.charge(-cap(in.ahead[i]))
		in.ahead[i] = nil
	}
	in.ahead, in.aheadAt = in.ahead[count:], 0
	in.aheadFull.Store(false)
	if len(in.ahead) == 0 {
		in.ahead = nil
	}
}
