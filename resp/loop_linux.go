package resp

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// loop serves many connections from one goroutine, its leader: it asks the kernel which sockets are ready, runs their commands,
// and writes their replies, those of other connections' publishes included. The leader never waits but for the kernel's word:
//
//	replies that await a journal   the connection is parked, and goes on when the journal wakes the loop
//	a client that does not read    its output is kept, and it runs no commands until that is gone
//	a command that waits or is     Aside: the goroutine goes with the connection, and another one takes the lead; it
//	heavy                          gives the connection back when its batch is over
//
// Only the leader reads, writes and closes sockets. Other goroutines mark a connection and wake the loop, once however many
// connections they mark. Sockets are watched edge-triggered from the beginning to the end, so that a turn costs one system call
// besides a read and a write for each connection; what the edge told is kept in looped.readable and looped.full.
type loop struct {
	server *Server
	epoll  *os.File // in the runtime's poller, which so holds no processor while the loop sleeps
	fd     int
	raw    syscall.RawConn
	bell   int // an eventfd: it is written to wake the loop
	look   func(uintptr) bool
	events []syscall.EpollEvent
	count  int

	slots   []slot
	free    []int32
	line    []*Conn // to be served this turn
	at      int     // how far the turn has come
	next    []*Conn // to be served in the next turn
	writes  []*Conn // that have been pushed to
	written int     // how far these have been served
	taken   []*Conn // marked
	parks   []*parking
	tickets uint64

	// Buffers that came back: for input, of readBufferMin and of readBufferMax bytes, and for replies. They are lent to the
	// connection that is served; one that is parked or aside keeps what it has.
	small   [][]byte
	large   [][]byte
	outputs spares[byte]
	awaits  spares[awaited]
	spans   spares[span]
	args    spares[[]byte]
	piece   []byte // gathers small chunks for one write

	helpers   atomic.Int32
	returning []borrowed // taken

	asleep atomic.Bool
	moved  atomic.Bool // a journal has got on
	mu     struct {    // leaf lock, held for appends
		sync.Mutex
		marked   []*Conn
		returned []borrowed // by helpers
		stopped  bool
	}
	// ringing is a leaf lock too. Who wakes the loop has decided so before it rings, so the loop may have ended in between; and the
	// number of a closed bell may be somebody else's file.
	ringing struct {
		sync.Mutex
		ended bool
	}
}

// slot is where the kernel's events find their connection; an event of an earlier socket has another generation.
type slot struct {
	conn       *Conn
	generation int32
}

// marks are what other goroutines ask of the leader.
type marks struct{ atomic.Uint32 }

const (
	markNew      uint32 = 1 << iota // adopt it
	markOutput                      // there is something in its outbox
	markKilled                      // Kill was called
	markBack                        // its commands have been run elsewhere
	markAside                       // its commands are run elsewhere from now on
	markDraining                    // the server is stopping
	markMeasure                     // the sweeper asks how it gets on
	markLook                        // a helper has left something to do
)

const (
	eventsMax  = 256
	writesMax  = 16  // of the connections that have been pushed to, between two looks at who sends: few, for those wait meanwhile
	largeMax   = 16  // buffers, and spares of each kind, kept for reuse
	smallMax   = 256 // the same of the small ones
	watchFlags = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered

	edgeTriggered = 1 << 31
)

func newLoop(s *Server) (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("make an epoll instance pollable: %w", err)
	}
	l := &loop{server: s, fd: fd, epoll: os.NewFile(uintptr(fd), "epoll"), events: make([]syscall.EpollEvent, eventsMax)}
	// Small is what the batches of most clients need, so many of those are kept: some MiB of all kinds together.
	l.outputs = spares[byte]{limit: 4 * readBufferMin, most: 4 * repliesMax}
	l.awaits = spares[awaited]{limit: 128, most: awaitedMax}
	l.spans = spares[span]{limit: 64, most: argumentsKept}
	l.args = spares[[]byte]{limit: 64, most: argumentsKept}
	if l.raw, err = l.epoll.SyscallConn(); err == nil {
		l.bell, err = newBell()
	}
	if err == nil {
		err = syscall.EpollCtl(fd, syscall.EPOLL_CTL_ADD, l.bell, &syscall.EpollEvent{Events: syscall.EPOLLIN | edgeTriggered, Fd: -1})
		if err != nil {
			syscall.Close(l.bell)
		}
	}
	if err != nil {
		l.epoll.Close()
		return nil, fmt.Errorf("make an event loop: %w", err)
	}
	l.look = func(uintptr) bool {
		l.count = epollReady(l.fd, l.events)
		return l.count != 0
	}
	go l.lead()
	return l, nil
}

// stop ends the loop, which has no connections any more.
func (l *loop) stop() {
	l.mu.Lock()
	l.mu.stopped = true
	l.mu.Unlock()
	l.wake()
}

// wake has the leader look at what it was told. It costs a system call only when the leader sleeps.
func (l *loop) wake() {
	if l.asleep.CompareAndSwap(true, false) {
		l.ringing.Lock()
		if !l.ringing.ended {
			ring(l.bell)
		}
		l.ringing.Unlock()
	}
}

// mark asks something of the leader, from any goroutine.
func (l *loop) mark(c *Conn, what uint32) {
	if c.io.marks.Or(what) != 0 {
		return // the leader has it in its list already
	}
	l.list(c)
}

// list has the leader take the marks of a connection.
func (l *loop) list(c *Conn) {
	l.mu.Lock()
	l.mu.marked = append(l.mu.marked, c)
	l.mu.Unlock()
	l.wake()
}

// lead is the life of a leader: until the loop is stopped, or a connection's command has taken this goroutine with it.
func (l *loop) lead() {
	for {
		for l.at < len(l.line) {
			c := l.line[l.at]
			l.line[l.at] = nil
			l.at++
			c.io.queued = false
			if !l.attend(c) {
				return
			}
		}
		if !l.writeSome() {
			return
		}
		// Behind all that is served in this turn: who is left in next is not looked for when the loop goes to sleep.
		l.at = 0
		l.line, l.next = l.next, l.line[:0]
		if !l.gather() {
			return
		}
	}
}

// writeSome serves some of those that have been pushed to. Who sends comes first, between any writesMax of them: what publishers send in
// the meantime is written with one call, so a fan-out to many costs less the more there is of it.
func (l *loop) writeSome() bool {
	for n := 0; n < writesMax && l.written < len(l.writes); n++ {
		c := l.writes[l.written]
		l.writes[l.written] = nil
		l.written++
		c.io.queued = false
		if !l.attend(c) {
			return false
		}
	}
	switch {
	case l.written == len(l.writes):
		l.writes, l.written = l.writes[:0], 0
	case l.written > len(l.writes)/2:
		n := copy(l.writes, l.writes[l.written:])
		clear(l.writes[n:])
		l.writes, l.written = l.writes[:n], 0
	}
	return true
}

// gather finds out who is to be served, waiting when there is nobody.
func (l *loop) gather() bool {
	if !l.takeMarks() {
		l.close()
		return false
	}
	block := len(l.line) == 0 && len(l.writes) == 0 && !l.moved.Load()
	if block {
		l.asleep.Store(true)
		if l.isMarked() || l.moved.Load() {
			l.asleep.Store(false)
			block = false
		}
	}
	if block {
		if l.raw.Read(l.look) != nil {
			l.count = 0
		}
		l.asleep.Store(false)
	} else {
		l.count = epollReady(l.fd, l.events)
	}
	for i := range l.count {
		l.note(&l.events[i])
	}
	if l.moved.Load() {
		l.moved.Store(false)
		l.unpark()
	}
	return true
}

// note keeps what the kernel says of a socket.
func (l *loop) note(e *syscall.EpollEvent) {
	if e.Fd < 0 {
		return // the bell
	}
	s := &l.slots[e.Fd]
	if s.conn == nil || s.generation != e.Pad {
		return
	}
	what := told(e.Events)
	if s.conn.io.handed.tell(what) {
		return
	}
	s.conn.io.hear(what)
	l.enqueue(s.conn)
}

func (l *loop) enqueue(c *Conn) {
	if !c.io.queued {
		c.io.queued = true
		l.line = append(l.line, c)
	}
}

// enqueueWrite is enqueue for a connection that has been pushed to.
func (l *loop) enqueueWrite(c *Conn) {
	if !c.io.queued {
		c.io.queued = true
		l.writes = append(l.writes, c)
	}
}

// again has a connection served in the next turn: it has had its share of this one.
func (l *loop) again(c *Conn) {
	if !c.io.queued {
		c.io.queued = true
		l.next = append(l.next, c)
	}
}

func (l *loop) isMarked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.marked) > 0 || l.mu.stopped
}

// takeMarks puts those that were marked in line. It returns false when the loop is to end.
func (l *loop) takeMarks() bool {
	l.mu.Lock()
	stopped := l.mu.stopped
	l.taken, l.mu.marked = l.mu.marked, l.taken[:0]
	l.returning, l.mu.returned = l.mu.returned, l.returning[:0]
	l.mu.Unlock()
	l.takeReturned(l.returning)
	for i, c := range l.taken {
		l.taken[i] = nil
		if c.io.handed.tell(toldMarked) {
			continue // the helper that has it puts it back into the list
		}
		what := c.io.marks.Swap(0)
		if what&markBack != 0 {
			l.release(c.io.returned)
			l.takeRoom(&c.framer)
			l.takeBack(c)
			c.io.aside, c.io.gone, c.io.returned = false, nil, nil
			if !c.io.adopted {
				l.finish(c) // its socket was closed while it was away
				continue
			}
		}
		if what&markNew != 0 {
			l.adopt(c)
		}
		c.io.output = c.io.output || what&markOutput != 0
		if what&markMeasure != 0 && c.io.adopted {
			c.io.queuedBytes.Store(int64(queuedBytes(uintptr(c.io.fd))))
		}
		if what == markOutput {
			l.enqueueWrite(c)
		} else {
			l.enqueue(c)
		}
	}
	return !stopped
}

// attend does what a connection needs. It returns false when the lead was lost.
func (l *loop) attend(c *Conn) bool {
	io := &c.io
	if !io.adopted {
		return true // it is closed already
	}
	if c.dead() {
		l.drop(c)
		return true
	}
	if io.output {
		l.write(c)
	}
	switch {
	case c.dead():
		l.drop(c)
	case io.lingering:
		l.discard(c)
	case io.aside:
		l.readAhead(c)
	case io.parked:
	case io.toPark:
		l.parkFor(c)
	case io.output && c.out.repliesWaiting() > writeMax:
		l.readAhead(c)
	case io.ended || c.closing:
		l.end(c)
	case !io.more && c.server.stopped.Load():
		l.end(c)
	default:
		return l.serve(c)
	}
	return true
}

// serve reads once and runs the complete commands, until 64 KiB of replies have gathered.
func (l *loop) serve(c *Conn) bool {
	io := &c.io
	if len(io.ahead) > 0 && io.aheadLen.Load() == 0 {
		l.dropAhead(c, len(io.ahead)) // room that nothing came into
	}
	if !io.more && !io.readable && io.aheadLen.Load() == 0 && io.aheadErr == nil {
		return true
	}
	if size := c.framer.wants(); size > 0 {
		c.framer.borrow(l.buffer(size))
	}
	l.lend(c)
	if io.more || l.fill(c) {
		io.more = false
		if l.handOver(c) {
			return true
		}
		c.guard(c.runBuffered)
	}
	input, stayed := l.returnInput(c)
	if !stayed {
		return false
	}
	l.release(input)
	l.takeRoom(&c.framer)
	if !io.parked {
		l.takeBack(c)
		l.after(c)
	}
	return true
}

// returnInput takes the input buffer back from who has run a batch. stayed is false when the connection has gone aside in it: then the
// leader gets the connection back, and the buffer with it, by the mark.
func (l *loop) returnInput(c *Conn) (input []byte, stayed bool) {
	input = c.framer.giveBack()
	if c.inputHeld.Load() != 0 {
		c.payInput(c.framer.memory())
	}
	if !c.io.aside {
		return input, true
	}
	c.io.returned = input
	c.writer.buf = nil
	l.mark(c, markBack)
	return nil, false
}

// after decides how a connection goes on once its batch is delivered.
func (l *loop) after(c *Conn) {
	io := &c.io
	switch {
	case c.dead() || c.closing || io.ended:
		io.ended = true
		l.again(c)
	case io.more || io.readable || io.aheadLen.Load() > 0 || io.aheadErr != nil || c.server.stopped.Load():
		l.again(c)
	}
}

// lend gives a connection what its commands need besides input; takeBack takes it back once their replies are delivered.
func (l *loop) lend(c *Conn) {
	f := &c.framer
	if f.spans == nil {
		f.spans = l.spans.take()
	}
	if f.args == nil {
		f.args = l.args.take()
	}
	if c.awaited == nil {
		c.awaited = l.awaits.take()
	}
	if c.writer.buf = l.outputs.take(); c.writer.buf == nil {
		c.writer.buf = make([]byte, 0, readBufferMin)
	}
}

func (l *loop) takeBack(c *Conn) {
	l.awaits.put(c.awaited)
	l.outputs.put(c.writer.buf)
	c.awaited, c.writer.buf = nil, nil
}

// takeRoom takes back the room for the places of arguments.
func (l *loop) takeRoom(f *framer) {
	spans, args := f.giveRoom()
	l.spans.put(spans)
	l.args.put(args)
}

// buffer takes an input buffer of readBufferMin or readBufferMax bytes; release gives it back, and forgets others.
func (l *loop) buffer(size int) []byte {
	from := &l.small
	if size == readBufferMax {
		from = &l.large
	}
	if n := len(*from); n > 0 {
		buf := (*from)[n-1]
		*from = (*from)[:n-1]
		return buf
	}
	return make([]byte, size)
}

func (l *loop) release(buf []byte) {
	switch {
	case len(buf) == readBufferMin && len(l.small) < smallMax:
		l.small = append(l.small, buf)
	case len(buf) == readBufferMax && len(l.large) < largeMax:
		l.large = append(l.large, buf)
	}
}

// fill brings what is to be framed next: what came ahead, or one read.
func (l *loop) fill(c *Conn) bool {
	io := &c.io
	if io.aheadLen.Load() > 0 {
		return l.feedAhead(c)
	}
	if io.aheadErr != nil {
		c.broken = io.aheadErr
		io.ended = true
		return false
	}
	room, err := c.room()
	if err != nil {
		c.broken, c.closing = err, true
		return false
	}
	n, err := readSocket(io.fd, room)
	switch {
	case n > 0:
		io.readable = n == len(room) || io.hungUp
		c.framer.filled(n)
		c.noteInput(n)
		return true
	case err == syscall.EAGAIN:
		io.readable = false
	case err == syscall.EINTR:
	default:
		io.readable = false
		io.ended = true
		c.broken = endOf(err)
	}
	return false
}

func endOf(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// stepAside gives the lead to another goroutine; this one goes with the connection, which keeps what was lent to it.
func (l *loop) stepAside(c *Conn) {
	c.io.aside = true
	c.io.gone = make(chan struct{})
	if c.io.aheadErr != nil {
		close(c.io.gone)
	}
	helped := c.io.helped
	if helped {
		l.helpers.Add(-1) // what it waits for may take for ever
		l.letGo(c)
	}
	l.mark(c, markAside) // so that the leader looks at the socket
	if !helped {
		go l.lead()
	}
}

// adopt begins to watch a new connection.
func (l *loop) adopt(c *Conn) {
	io := &c.io
	if n := len(l.free); n > 0 {
		io.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		io.slot = int32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[io.slot]
	s.conn = c
	s.generation++
	io.adopted = true
	io.readable = true
	event := syscall.EpollEvent{Events: watchFlags, Fd: io.slot, Pad: s.generation}
	if err := syscall.EpollCtl(l.fd, syscall.EPOLL_CTL_ADD, io.fd, &event); err != nil {
		l.server.options.Logger.Error("cannot watch a connection", "client", c.RemoteAddr().String(), "error", err)
		c.Kill()
	}
	c.open() // in any case: Closed follows
}

// end closes a connection in good order: after its output, and with a moment for a client that is still sending to read its error.
func (l *loop) end(c *Conn) {
	io := &c.io
	io.ended = true
	c.out.end()
	if io.output || c.out.waits() {
		return // what came before the end is written first
	}
	if c.lingers() && syscall.Shutdown(io.fd, syscall.SHUT_WR) == nil {
		io.lingering = true
		time.AfterFunc(lingerTime, c.Kill)
		l.again(c)
		return
	}
	l.drop(c)
}

// discard reads what a client still sends after the error that ended it.
func (l *loop) discard(c *Conn) {
	io := &c.io
	buf := l.buffer(readBufferMax)
	defer l.release(buf)
	for io.readable {
		n, err := readSocket(io.fd, buf)
		io.discarded += max(n, 0)
		switch {
		case err == syscall.EAGAIN:
			io.readable = false
		case err == syscall.EINTR:
		case n <= 0 || io.discarded > lingerBytes:
			l.drop(c)
			return
		}
	}
}

// drop closes the socket. The rest of a connection's end may take long, so it is left to a goroutine of its own.
func (l *loop) drop(c *Conn) {
	io := &c.io
	s := &l.slots[io.slot]
	s.conn = nil
	l.free = append(l.free, io.slot)
	io.adopted = false
	syscall.Close(io.fd) // which ends the watching too: nobody else has this descriptor
	io.fd = -1
	c.out.shut()
	if io.gone != nil && !isClosed(io.gone) {
		close(io.gone)
	}
	if io.aside {
		return // it ends when it comes back
	}
	l.finish(c)
}

// finish hands a closed connection over for its end.
func (l *loop) finish(c *Conn) {
	io := &c.io
	io.parked = false
	io.aside = true // nobody may expect the leader to run it
	l.dropAhead(c, len(io.ahead))
	io.aheadLen.Store(0)
	go c.finishLooped()
}

// close ends the loop.
func (l *loop) close() {
	l.ringing.Lock()
	l.ringing.ended = true
	syscall.Close(l.bell)
	l.ringing.Unlock()
	l.epoll.Close()
}
