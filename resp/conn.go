package resp

import (
	"errors"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Handler is what the door calls for each connection. All calls for one connection come from that connection's
// goroutine, one after the other.
type Handler interface {
	// Open is called once the connection is accepted. It may set c.Context.
	Open(c *Conn)
	// Command runs one command and writes its reply to c.Writer(). The arguments alias the read buffer: they are valid
	// until Command returns, so what is kept must be copied. args[0] is the command's name as sent; there is always one.
	Command(c *Conn, args [][]byte)
	// Flush is called when the batch is over, before its durability barrier and its write: what was gathered for other
	// connections (publishes) goes out here.
	Flush(c *Conn)
	// Closed is called once, when no more commands will come: the client left, was killed, or broke the protocol.
	Closed(c *Conn)
}

// Barrier is a journal that replies wait for.
type Barrier interface {
	WaitWritten(seq uint64) error
	WaitSynced(seq uint64) error
}

const (
	flushBytes   = 64 << 10         // replies are written once they pass this, so that big ones do not pile up
	flushAwaits  = 4096             // and the barrier is passed once this many replies wait for it
	writeTimeout = 10 * time.Second // for a client that does not read its replies

	// Before AUTH a client gets no more than a handshake needs.
	unauthenticatedArguments = 10
	unauthenticatedBulk      = 16 << 10

	// A command must be whole this long after its first byte, and a second longer for every 64 KiB.
	commandTimeout = 30 * time.Second
)

// span is the part of the reply buffer that one Await covers.
type span struct {
	barrier    Barrier
	seq        uint64
	start, end int
	synced     bool
}

// Conn is one client connection. Unless said otherwise its methods belong to the connection's own goroutine, that is
// to the Handler's calls.
//
// Until the first Push the connection's goroutine writes to the socket itself. From then on an outbox stands between,
// emptied by a writer goroutine; see outbox.go.
type Conn struct {
	// Context is the handler's own state for this connection.
	Context any

	server  *Server
	id      uint64
	sock    net.Conn
	created time.Time
	framer  framer
	writer  Writer

	spans        []span
	commandStart int // where the reply of the command under way begins
	undelivered  []func()
	closing      bool
	dead         bool // a write failed or the client was killed: nothing more can be said
	writeBy      time.Time
	ahead        []byte // read while a command was blocked

	out outbox

	gone     chan struct{} // closed by Kill
	goneOnce sync.Once

	block struct {
		sync.Mutex
		waiting bool
		unblock chan Wake // capacity 1
	}
	lastCommand atomic.Int64 // Unix seconds
	queryBuffer atomic.Int64
}

func newConn(s *Server, id uint64, sock net.Conn) *Conn {
	c := &Conn{server: s, id: id, sock: sock, created: time.Now(), gone: make(chan struct{})}
	c.framer = newFramer(s.options.limits())
	c.writer.proto = 2
	c.out.changed = sync.NewCond(&c.out.mu)
	c.block.unblock = make(chan Wake, 1)
	c.lastCommand.Store(c.created.Unix())
	return c
}

// ID is unique in the life of the process and grows by one with each connection. Any goroutine.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr and LocalAddr are the ends of the socket. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }
func (c *Conn) LocalAddr() net.Addr  { return c.sock.LocalAddr() }

// Created is when the connection was accepted, LastCommand when it last ran a batch of commands (to the second). Any
// goroutine.
func (c *Conn) Created() time.Time     { return c.created }
func (c *Conn) LastCommand() time.Time { return time.Unix(c.lastCommand.Load(), 0) }

// QueryBuffer is the number of bytes read and not yet run, as of the last batch. Any goroutine.
func (c *Conn) QueryBuffer() int { return int(c.queryBuffer.Load()) }

// Blocked tells whether a command of this connection waits in Block. Any goroutine.
func (c *Conn) Blocked() bool {
	c.block.Lock()
	defer c.block.Unlock()
	return c.block.waiting
}

// Writer takes the replies of the current batch.
func (c *Conn) Writer() *Writer { return &c.writer }

// SetAuthenticated lifts the limits that hold before AUTH (10 arguments, 16 KiB).
func (c *Conn) SetAuthenticated(yes bool) {
	c.framer.limits = c.server.options.limits()
	if !yes {
		c.framer.limits.arguments = unauthenticatedArguments
		c.framer.limits.bulk = unauthenticatedBulk
	}
}

// Await makes the reply of the current command wait for a journal at the end of the batch: for WaitSynced when synced,
// for WaitWritten otherwise. If the wait fails, the reply of every command that awaited it is replaced by an error with
// the text of the failure; the other replies of the batch stand.
func (c *Conn) Await(b Barrier, seq uint64, synced bool) {
	c.spans = append(c.spans, span{barrier: b, seq: seq, synced: synced, start: c.commandStart, end: -1})
}

// serve runs the connection until it ends.
func (c *Conn) serve() {
	defer c.finish()
	c.server.handler.Open(c)
	for {
		if !c.runBatch() {
			return
		}
		if err := c.read(); err != nil {
			return
		}
	}
}

// finish releases everything, whatever ended the connection.
func (c *Conn) finish() {
	if cause := recover(); cause != nil {
		c.server.options.Logger.Error("panic while serving a connection", "cause", cause, "client", c.RemoteAddr(), "stack", string(debug.Stack()))
		c.writer.Reset(flushBytes)
		c.spans = c.spans[:0]
		c.writer.Error("ERR internal error")
		c.write()
	}
	c.fail()
	c.server.handler.Closed(c)
	c.out.drain(time.Second)
	c.Kill()
	c.out.join()
	_ = c.sock.Close()
}

// runBatch runs every whole command that has been read and writes the replies; false ends the connection.
func (c *Conn) runBatch() bool {
	ran := false
	for !c.closing && !c.dead {
		args, err := c.framer.next()
		if err != nil {
			c.server.counters.protocolErrors.Add(1)
			c.commandStart = c.writer.Len()
			c.writer.Error(err.Error())
			c.closing = true
			break
		}
		if args == nil {
			break
		}
		ran = true
		if foreign(args[0]) {
			c.server.options.Logger.Warn("possible attack: an HTTP request instead of commands; connection closed", "client", c.RemoteAddr())
			c.dead = true
			return false
		}
		c.run(args)
	}
	if ran {
		c.lastCommand.Store(time.Now().Unix())
	}
	c.queryBuffer.Store(int64(c.framer.end - c.framer.start))
	c.FlushReplies()
	return !c.closing && !c.dead
}

// foreign tells a word that HTTP sends and Redis clients do not.
func foreign(word []byte) bool {
	switch len(word) {
	case 4:
		return equalFold(word, "post")
	case 5:
		return equalFold(word, "host:")
	}
	return false
}

func equalFold(word []byte, lower string) bool {
	for i := range word {
		b := word[i]
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}

func (c *Conn) run(args [][]byte) {
	first := len(c.spans)
	c.commandStart = c.writer.Len()
	c.server.handler.Command(c, args)
	end := c.writer.Len()
	for i := first; i < len(c.spans); i++ {
		c.spans[i].end = end
	}
	if end >= flushBytes || len(c.spans) >= flushAwaits {
		c.FlushReplies()
	}
}

// FlushReplies ends the batch so far: Handler.Flush, barrier, write (or append to the outbox). Afterwards what other
// goroutines Push comes after these replies.
func (c *Conn) FlushReplies() {
	c.server.handler.Flush(c)
	if len(c.spans) > 0 {
		c.passBarrier()
	}
	c.write()
	c.commandStart = 0
}

// passBarrier waits for the journals that the replies await: once for each journal, with the highest sequence.
func (c *Conn) passBarrier() {
	failed := false
	for i := 0; i < len(c.spans); i++ {
		// The last span of a journal has its highest sequence, since replies are in order.
		s := &c.spans[i]
		last := true
		if i+1 < len(c.spans) {
			next := &c.spans[i+1]
			last = next.barrier != s.barrier || next.synced != s.synced
		}
		if last && s.wait() != nil {
			failed = true
		}
	}
	if failed {
		c.replaceFailed()
	}
	clear(c.spans)
	c.spans = c.spans[:0]
}

func (s *span) wait() error {
	if s.synced {
		return s.barrier.WaitSynced(s.seq)
	}
	return s.barrier.WaitWritten(s.seq)
}

// replaceFailed rewrites the batch: a reply whose journal failed becomes the error.
func (c *Conn) replaceFailed() {
	rebuilt := Writer{proto: c.writer.proto}
	from := 0
	for i := range c.spans {
		s := &c.spans[i]
		end := s.end
		if end < 0 {
			end = c.writer.Len()
		}
		if s.start < from { // a second Await of a reply already replaced
			continue
		}
		err := s.wait()
		if err == nil {
			continue
		}
		rebuilt.Raw(c.writer.buf[from:s.start])
		rebuilt.Error(err.Error())
		from = end
	}
	rebuilt.Raw(c.writer.buf[from:])
	c.writer.buf = rebuilt.buf
}

// write gives the replies to the socket, or to the outbox once there is one.
func (c *Conn) write() {
	if c.writer.Len() == 0 {
		if len(c.undelivered) > 0 && !c.dead {
			c.delivered()
		}
		return
	}
	ok := !c.dead
	if ok {
		ok = c.out.send(c, c.writer.buf)
	}
	c.writer.Reset(4 * flushBytes)
	if !ok {
		c.fail()
		return
	}
	c.delivered()
}

func (c *Conn) delivered() {
	clear(c.undelivered)
	c.undelivered = c.undelivered[:0]
}

// fail ends the connection and gives back what could not be delivered.
func (c *Conn) fail() {
	c.dead = true
	for _, fn := range c.undelivered {
		fn()
	}
	c.delivered()
}

// writeDirect writes from the connection's goroutine. The deadline is moved only now and then: it is a safety net, not a
// clock.
func (c *Conn) writeDirect(b []byte) error {
	if now := time.Now(); now.Add(writeTimeout).After(c.writeBy) {
		c.writeBy = now.Add(2 * writeTimeout)
		if err := c.sock.SetWriteDeadline(c.writeBy); err != nil {
			return err
		}
	}
	_, err := c.sock.Write(b)
	return err
}

// read waits for more bytes.
func (c *Conn) read() error {
	room := c.framer.space()
	if len(c.ahead) > 0 {
		n := copy(room, c.ahead)
		c.ahead = c.ahead[n:]
		c.framer.written(n)
		return nil
	}
	partial := !c.framer.idle()
	switch {
	case partial:
		_ = c.sock.SetReadDeadline(time.Now().Add(commandTimeout + time.Duration(c.framer.end>>16)*time.Second))
	case c.server.options.IdleTimeout > 0:
		_ = c.sock.SetReadDeadline(time.Now().Add(c.server.options.IdleTimeout))
	}
	if c.server.isDraining() {
		return errors.New("the server is stopping")
	}
	n, err := c.sock.Read(room)
	if partial {
		_ = c.sock.SetReadDeadline(time.Time{})
		if c.server.isDraining() {
			_ = c.sock.SetReadDeadline(past)
		}
	}
	c.framer.written(n)
	if n > 0 {
		return nil
	}
	return err
}

// past interrupts a read under way.
var past = time.Unix(1, 0)

// aheadMax is how much is read ahead while a command is blocked.
const aheadMax = 64 << 10

// Block flushes the replies so far and waits until wake fires (a value or a close), the timeout passes (0 waits for
// ever), the client goes away, Unblock, or the server drains. The socket is watched meanwhile; commands that arrive are
// kept and run afterwards.
func (c *Conn) Block(timeout time.Duration, wake <-chan struct{}) Wake {
	c.FlushReplies()
	if c.dead {
		return Gone
	}
	c.block.Lock()
	c.block.waiting = true
	c.block.Unlock()
	c.server.counters.blocked.Add(1)
	defer c.unblocked()

	left := make(chan struct{})
	watched := make(chan struct{})
	go c.watch(left, watched)
	defer func() {
		_ = c.sock.SetReadDeadline(past)
		<-watched
		if !c.server.isDraining() {
			_ = c.sock.SetReadDeadline(time.Time{})
		}
	}()

	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-wake:
		return Woken
	case <-expired:
		return TimedOut
	case reason := <-c.block.unblock:
		return reason
	case <-left:
	case <-c.gone:
	case <-c.server.draining:
		return Draining
	}
	c.dead = true
	return Gone
}

func (c *Conn) unblocked() {
	c.block.Lock()
	c.block.waiting = false
	select {
	case <-c.block.unblock:
	default:
	}
	c.block.Unlock()
	c.server.counters.blocked.Add(-1)
}

// watch reads ahead while the connection's goroutine waits, so that a client that leaves is noticed at once. It ends when
// the read deadline is moved to the past.
func (c *Conn) watch(left, watched chan<- struct{}) {
	defer close(watched)
	buf := make([]byte, 512)
	for len(c.ahead) < aheadMax {
		n, err := c.sock.Read(buf)
		c.ahead = append(c.ahead, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			close(left)
			return
		}
	}
}

// Unblock ends a Block from any goroutine and tells whether one was under way.
func (c *Conn) Unblock(withError bool) bool {
	reason := Unblocked
	if withError {
		reason = UnblockedWithError
	}
	c.block.Lock()
	defer c.block.Unlock()
	if !c.block.waiting {
		return false
	}
	select {
	case c.block.unblock <- reason:
	default:
	}
	return true
}

// OnUndelivered registers a function that is called once if the reply being written now cannot be given to the kernel
// in full (the client is gone); it is forgotten after a successful write.
func (c *Conn) OnUndelivered(fn func()) { c.undelivered = append(c.undelivered, fn) }

// CloseAfterReply closes the connection once the replies so far are written; the rest of the pipeline is dropped.
func (c *Conn) CloseAfterReply() { c.closing = true }

// Kill closes the connection at once, from any goroutine.
func (c *Conn) Kill() {
	c.goneOnce.Do(func() {
		close(c.gone)
		_ = c.sock.SetDeadline(past)
		c.out.close()
	})
}
