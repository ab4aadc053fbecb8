package resp

import "syscall"

// A batch of many commands is work that another processor can do: while others wait in line the leader, who has read it, hands it to a
// helper, a goroutine that runs it and writes its replies. So the clients of one loop are not bound to one processor. Single commands
// are not worth the handing over.
//
// While a helper has a connection the leader touches nothing of it: what he is told of it (the kernel's events, marks) he tells
// on to handed, and the helper, when it is done, lets go only of a connection of which nothing was told, or has the leader look at it.

// helpersMax is how many helpers a loop has at a time. The leader runs what is beyond: more of them would only wait for a processor,
// each with buffers of its own.
const helpersMax = 4

const (
	handedOver uint32 = 1 << iota
	toldReadable
	toldHungUp
	toldRoom
	toldMarked
)

// told is what an event of epoll says.
func told(events uint32) (what uint32) {
	if events&(syscall.EPOLLIN|syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		what |= toldReadable
	}
	if events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		what |= toldHungUp
	}
	if events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		what |= toldRoom
	}
	return what
}

// hear keeps what was told.
func (io *looped) hear(what uint32) {
	io.readable = io.readable || what&toldReadable != 0
	io.hungUp = io.hungUp || what&toldHungUp != 0
	io.full = io.full && what&toldRoom == 0
}

// tell keeps what the leader was told for the helper that has the connection. It returns false when none has.
func (h *handed) tell(what uint32) bool {
	for {
		now := h.Load()
		if now == 0 {
			return false
		}
		if h.CompareAndSwap(now, now|what) {
			return true
		}
	}
}

// borrowed is what a loop lends to a connection for a batch.
type borrowed struct {
	input   []byte
	replies []byte
	awaited []awaited
	spans   []span
	args    [][]byte
}

// handOver has a helper run the batch that was just read, if that is worth it. A connection whose output takes another turn is in line
// for that, so the leader would come to it.
func (l *loop) handOver(c *Conn) bool {
	if !c.io.pipelined || c.io.queued || l.at == len(l.line) || l.helpers.Load() >= helpersMax {
		return false
	}
	l.helpers.Add(1)
	c.io.helped = true
	c.io.handed.Store(handedOver)
	go l.help(c)
	return true
}

// help is the life of a helper.
func (l *loop) help(c *Conn) {
	io := &c.io
	c.guard(c.runBuffered)
	input, stayed := l.returnInput(c)
	if !stayed {
		return // it has been no helper since
	}
	l.helpers.Add(-1)
	room := borrowed{input: input}
	room.spans, room.args = c.framer.giveRoom()
	if !io.toPark {
		room.awaited, room.replies = c.awaited, c.writer.buf
		c.awaited, c.writer.buf = nil, nil
	}
	l.mu.Lock()
	l.mu.returned = append(l.mu.returned, room)
	l.mu.Unlock()
	look := io.toPark || io.output || io.more || io.readable || io.aheadLen.Load() > 0 || io.aheadErr != nil ||
		c.closing || c.dead() || c.server.stopped.Load()
	if l.letGo(c) || look {
		l.mark(c, markLook)
	}
}

// letGo gives the connection back to the leader, and tells whether he has to look at it for what was told meanwhile.
func (l *loop) letGo(c *Conn) (look bool) {
	io := &c.io
	io.helped = false
	marked := false
	for {
		what := io.handed.Load()
		if what == handedOver {
			if io.handed.CompareAndSwap(what, 0) {
				break
			}
			continue
		}
		if io.handed.CompareAndSwap(what, handedOver) {
			io.hear(what)
			look = true
			marked = marked || what&toldMarked != 0
		}
	}
	if marked {
		l.list(c)
	}
	return look
}

// takeReturned takes back what helpers give back.
func (l *loop) takeReturned(returned []borrowed) {
	for i := range returned {
		b := &returned[i]
		l.release(b.input)
		l.outputs.put(b.replies)
		l.awaits.put(b.awaited)
		l.spans.put(b.spans)
		l.args.put(b.args)
		*b = borrowed{}
	}
}
