package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"
)

// Handler is what the door calls for each connection. All calls for one connection come from that connection's
// goroutine, one after the other.
type Handler interface {
	// Open is called once the connection is accepted. It may set c.Context.
	Open(c *Conn)
	// Command runs one command and writes its reply to c.Writer(). The arguments alias the read buffer: they are valid
	// until Command returns, so what is kept must be copied. args[0] is the command's name as sent; there is always one.
	Command(c *Conn, args [][]byte)
	// Refused answers a command that was over a limit of the door and has been read past.
	Refused(c *Conn, refusal *RefusedError)
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
	// Reached tells without waiting whether such a Wait would return by now, and with what, for one that has waited so long.
	Reached(seq uint64, synced bool, waited time.Duration) (done bool, err error)
	// Watch has wake called whenever what Reached tells may have changed. It is short and may be called from any goroutine.
	Watch(wake func())
}

// Conn is one client connection. Unless said otherwise its methods belong to the connection's own goroutine, that is
// to the Handler's calls.
type Conn struct {
	// Context is the handler's own state for this connection.
	Context any

	id     uint64
	server *Server
	nc     net.Conn // TLS when the listener is; nil when an event loop has the socket
	raw    net.Conn // the socket itself: closing it never waits for a peer
	remote net.Addr
	local  net.Addr
	opened time.Time
	killed chan struct{} // closed by Kill
	kills  atomic.Bool

	framer       framer
	writer       Writer
	commandStart int // where in the writer the current command's reply begins
	awaited      []awaited
	settled      int // awaited replies whose end is known
	waits        []wait
	undelivered  []func()
	came         []byte // ahead, and is not framed yet
	closing      bool   // no further command is run
	quietWrites  int
	broken       error // what ended the reading

	socket   socket
	ahead    ahead // for a connection with a goroutine of its own
	io       looped
	block    blockState
	out      outbox
	progress progress

	// What other goroutines may see. Times are ticks of the server's clock, 0 for none.
	lastActive   atomic.Int64
	partialSince atomic.Int64
	buffered     atomic.Int64
	writingSince atomic.Int64
	bytesIn      atomic.Uint64
	bytesOut     atomic.Uint64
	held         atomic.Int64 // bytes taken of Options.MemoryMax
	inputHeld    atomic.Int64 // of these, for the read buffer
	running      atomic.Bool  // a batch is under way
	stranger     atomic.Bool  // the client is not authenticated
	spared       atomic.Bool  // it is not cut for MemoryMax
	asking       atomic.Bool  // in room
	busy         atomic.Pointer[func() bool]
	admitted     gate // where it holds a slot; nil is nowhere
}

// awaited is a reply that waits for a journal. Its end is known once its command has returned.
type awaited struct {
	span
	wait
}

type wait struct {
	barrier Barrier
	seq     uint64
	synced  bool
	err     error // its end
}

func (w wait) run() error {
	if w.synced {
		return w.barrier.WaitSynced(w.seq)
	}
	return w.barrier.WaitWritten(w.seq)
}

// ID is unique in the life of the process and grows by one with each connection. Any goroutine.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr and LocalAddr are the ends of the socket. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }
func (c *Conn) LocalAddr() net.Addr  { return c.local }

// Writer takes the replies of the current batch.
func (c *Conn) Writer() *Writer { return &c.writer }

// SetAuthenticated lifts the limits that hold before AUTH (10 arguments, 16 KiB).
func (c *Conn) SetAuthenticated(yes bool) {
	c.framer.trusted = yes
	c.stranger.Store(!yes)
}

// KeepWhile says when the connection is not idle although nothing is sent: as long as busy, which is called from any goroutine,
// tells that it holds something. Commands that run, wait or are not answered need no such word.
func (c *Conn) KeepWhile(busy func() bool) { c.busy.Store(&busy) }

// Await makes the reply of the current command wait for a journal at the end of the batch: for WaitSynced when synced,
// for WaitWritten otherwise. If the wait fails, the reply of every command that awaited it is replaced by an error with
// the text of the failure; the other replies of the batch stand.
func (c *Conn) Await(b Barrier, seq uint64, synced bool) {
	for i := c.settled; i < len(c.awaited); i++ {
		if a := &c.awaited[i]; a.barrier == b && a.synced == synced {
			a.seq = max(a.seq, seq)
			return
		}
	}
	c.awaited = append(c.awaited, awaited{span{c.commandStart, -1}, wait{barrier: b, seq: seq, synced: synced}})
}

// FlushReplies ends the batch so far: Handler.Flush, barrier, write (or append to the outbox). Afterwards what other
// goroutines Push comes after these replies. It may wait, so a connection that has something to wait for leaves its loop.
func (c *Conn) FlushReplies() {
	c.server.handler.Flush(c)
	c.endCommand()
	if c.onLoop() && (len(c.awaited) > 0 || c.io.output) {
		c.Aside()
	}
	c.leave()
	c.settle()
	c.deliver()
	c.commandStart = 0
}

// endBatch is FlushReplies for the end of a batch, where a loop need not wait: it parks the connection.
func (c *Conn) endBatch() {
	if !c.onLoop() {
		c.FlushReplies()
		return
	}
	c.server.handler.Flush(c)
	c.endCommand()
	switch {
	case len(c.awaited) == 0:
		c.deliver()
	case c.io.helped:
		c.io.toPark = true // by the leader
	default:
		c.park()
	}
	c.commandStart = 0
}

// endCommand fixes the ends of the replies that the current command made wait.
func (c *Conn) endCommand() {
	for ; c.settled < len(c.awaited); c.settled++ {
		c.awaited[c.settled].to = c.writer.Len()
	}
}

// settle waits once for each journal that the batch depends on, for the highest number asked of it.
func (c *Conn) settle() {
	if len(c.awaited) == 0 {
		return
	}
	c.gatherWaits()
	for i := range c.waits {
		c.waits[i].err = c.waits[i].run()
	}
	c.finishWaits()
}

// gatherWaits finds out what the batch depends on.
func (c *Conn) gatherWaits() {
	c.waits = c.waits[:0]
	for i := range c.awaited {
		a := &c.awaited[i]
		if w := c.waitOf(a); w != nil {
			w.seq = max(w.seq, a.seq)
		} else {
			c.waits = append(c.waits, a.wait)
		}
	}
}

// waitOf is the wait that covers an awaited reply.
func (c *Conn) waitOf(a *awaited) *wait {
	for i := range c.waits {
		if w := &c.waits[i]; w.barrier == a.barrier && w.synced == a.synced {
			return w
		}
	}
	return nil
}

// finishWaits makes errors of what failed, once the ends of all waits are known.
func (c *Conn) finishWaits() {
	for i := range c.waits {
		if c.waits[i].err != nil {
			c.replaceFailed()
			break
		}
	}
	clear(c.waits)
	clear(c.awaited)
	c.waits, c.awaited, c.settled = c.waits[:0], c.awaited[:0], 0
	if cap(c.awaited) > awaitedMax {
		c.awaited = nil
	}
}

// replaceFailed rebuilds the batch with an error in place of each reply whose own number failed. A command that awaited
// two journals is replaced once.
func (c *Conn) replaceFailed() {
	replies := c.writer.Bytes()
	rebuilt := make([]byte, 0, len(replies))
	copied := 0
	for i := range c.awaited {
		a := &c.awaited[i]
		if a.from < copied || a.from == a.to {
			continue // replaced already, or a command that answers nothing
		}
		err := c.waitOf(a).err
		if done, own := a.barrier.Reached(a.seq, a.synced, math.MaxInt64); done {
			err = own
		}
		if err != nil {
			rebuilt = append(rebuilt, replies[copied:a.from]...)
			rebuilt = redcon.AppendError(rebuilt, err.Error())
			copied = a.to
			c.server.noteError(err.Error())
		}
	}
	c.writer.buf = append(rebuilt, replies[copied:]...)
}

// deliver hands the batch to the socket or, once there are pushes, to the outbox.
func (c *Conn) deliver() {
	if c.writer.Len() == 0 {
		c.noReply()
		return
	}
	if c.dead() {
		c.noReply()
		c.writer.Reset(0)
		return
	}
	if c.onLoop() {
		c.deliverOnLoop()
		c.undelivered = c.undelivered[:0]
		c.writer.Reset(4 * repliesMax)
		return
	}
	now := c.server.clock.Load()
	if c.io.loop == nil && c.out.beginDirect() {
		err := c.writeDirect(c.writer.Bytes(), now)
		if err != nil {
			c.Kill()
			c.runUndelivered()
		}
		c.out.endDirect(c)
	} else {
		c.out.appendReplies(c, c.writer.Bytes(), c.undelivered)
		c.out.awaitRoom(c)
	}
	c.undelivered = c.undelivered[:0]
	c.resetWriter()
}

// noReply ends a batch that writes nothing: what was to be delivered was only if the client is still there.
func (c *Conn) noReply() {
	if c.dead() {
		c.runUndelivered()
	}
	c.undelivered = c.undelivered[:0]
}

func (c *Conn) runUndelivered() { c.tell(c.undelivered) }

// tell runs the callbacks of a reply that was not delivered. One that panics keeps neither the others from running nor the
// connection from ending.
func (c *Conn) tell(undelivered []func()) {
	for _, fn := range undelivered {
		func() {
			defer func() {
				if reason := recover(); reason != nil {
					c.server.notePanic(c, reason)
				}
			}()
			fn()
		}()
	}
	clear(undelivered)
}

// resetWriter empties the writer and gives back memory that the last batches did not need.
func (c *Conn) resetWriter() {
	if c.writer.Len() < cap(c.writer.buf)/8 {
		c.quietWrites++
	} else {
		c.quietWrites = 0
	}
	keep := 4 * repliesMax
	if c.quietWrites > 64 {
		keep, c.quietWrites = readBufferMin, 0
	}
	c.writer.Reset(keep)
}

// OnUndelivered registers a function that is called once if the reply being written now cannot be given to the kernel
// in full (the client is gone); it is forgotten after a successful write. It may be called from the goroutine that writes.
func (c *Conn) OnUndelivered(fn func()) { c.undelivered = append(c.undelivered, fn) }

// CloseAfterReply closes the connection once the replies so far are written; the rest of the pipeline is dropped.
func (c *Conn) CloseAfterReply() { c.closing = true }

// Kill closes the connection at once, from any goroutine.
func (c *Conn) Kill() {
	if c.kills.CompareAndSwap(false, true) {
		close(c.killed)
		if c.io.loop != nil {
			c.io.loop.mark(c, markKilled) // who alone closes the socket
		} else {
			c.raw.Close()
		}
	}
}

func (c *Conn) dead() bool { return c.kills.Load() }

// serve is the life of the connection's goroutine.
func (c *Conn) serve() {
	defer c.finish()
	if !c.handshake() {
		return
	}
	c.guard(func() { c.server.handler.Open(c) })
	for !c.closing && !c.dead() && !c.server.stopped.Load() {
		if err := c.fill(); err != nil {
			c.broken = err
			break
		}
		c.guard(c.runBuffered)
	}
	c.guard(func() { c.server.handler.Closed(c) })
	c.leave()
	c.out.drain(c)
}

// handshake completes TLS. It returns false when the connection is of no use.
func (c *Conn) handshake() bool {
	secure, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.options.HandshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		c.server.counters.handshakes.Add(1)
		c.server.options.Logger.Debug("TLS handshake failed", "client", c.RemoteAddr().String(), "error", err)
		c.Kill()
		return false
	}
	return true
}

// guard runs a part of the connection's life and turns a panic in it into an error for this client alone.
func (c *Conn) guard(part func()) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		c.Aside()
		c.leave()
		c.server.notePanic(c, reason)
		if c.closing { // a second panic, perhaps in what the first one's answer needs
			c.Kill()
			return
		}
		c.closing = true
		c.guard(func() {
			if c.commandStart <= c.writer.Len() {
				c.writer.Truncate(c.commandStart)
			}
			c.endCommand()
			c.commandStart = c.writer.Len()
			c.writer.Error("ERR internal error")
			c.server.noteError("ERR internal error")
			c.settle()
			c.deliver()
		})
	}()
	part()
}

// fill reads once, after what came ahead while the connection was held up.
func (c *Conn) fill() error {
	room, err := c.room() // first of all: it gives back what the last command needed
	if err != nil {
		return err
	}
	if len(c.came) == 0 {
		if c.came, err = c.ahead.take(c); err != nil {
			return err
		}
	}
	if len(c.came) > 0 {
		n := copy(room, c.came)
		c.framer.filled(n)
		c.came = c.came[n:]
		return nil
	}
	n, err := c.nc.Read(room)
	if n > 0 {
		c.framer.filled(n)
		c.noteInput(n)
		return nil // an error is met again by the next read, after these commands were answered
	}
	return err
}

// room is where to read next, in a buffer that was taken from the budget. A connection that must go is told why.
func (c *Conn) room() ([]byte, error) {
	room := c.framer.room()
	c.asking.Store(true)
	defer c.asking.Store(false)
	if err := c.chargeInput(c.framer.memory()); err != nil {
		if c.framer.skip(err.Error()) { // what it has sent of its command is dropped, and the rest read past
			room = c.framer.room()
			c.payInput(c.framer.memory())
			return room, nil
		}
		c.server.counters.memoryCuts.Add(1)
		c.writer.Error(err.Error())
		c.server.noteError(err.Error())
		c.endBatch()
		return nil, err
	}
	return room, nil
}

// noteInput shows to others what came in.
func (c *Conn) noteInput(n int) {
	c.bytesIn.Add(uint64(n))
	c.lastActive.Store(c.server.clock.Load())
}

// runBuffered runs every complete command of the buffer and delivers their replies.
func (c *Conn) runBuffered() {
	handler := c.server.handler
	commands := 0
	c.running.Store(true)
	for !c.closing {
		args, err := c.framer.next()
		if err != nil {
			if refusal, ok := err.(*RefusedError); ok {
				commands++
				c.commandStart = c.writer.Len()
				handler.Refused(c, refusal)
				continue
			}
			c.refuse(err)
			break
		}
		if args == nil {
			break
		}
		if commands == 0 && c.partialSince.Load() != 0 {
			c.partialSince.Store(0) // it is complete, however long it now runs or blocks
		}
		commands++
		c.commandStart = c.writer.Len()
		handler.Command(c, args)
		if c.settled < len(c.awaited) {
			c.endCommand()
		}
		if c.writer.Len() >= repliesMax || len(c.awaited) >= awaitedMax {
			if c.onLoop() {
				c.io.more = true // the rest in its next turn
				break
			}
			c.FlushReplies()
			if c.dead() {
				c.closing = true
			}
		}
	}
	c.server.counters.commands.Add(uint64(commands))
	c.io.pipelined = commands >= pipelineMin && len(c.awaited) == 0
	c.endBatch()
	c.notePartial(commands)
	if !c.io.parked && !c.io.toPark {
		c.batchDone()
	}
}

// batchDone ends what counts as running.
func (c *Conn) batchDone() {
	c.lastActive.Store(c.server.clock.Load()) // what it waited for was not its idleness
	c.running.Store(false)
}

// notePartial starts and stops the clock on a command that has come in part.
func (c *Conn) notePartial(commands int) {
	c.buffered.Store(int64(c.framer.end - c.framer.start))
	since := c.partialSince.Load()
	switch {
	case !c.framer.partial() || c.io.more: // what is left may be complete
		if since != 0 {
			c.partialSince.Store(0)
		}
	case since == 0 || commands > 0:
		c.partialSince.Store(c.server.clock.Load())
	}
}

// refuse ends the connection for what the client sent: with an error after the replies so far or, for HTTP, without a word.
func (c *Conn) refuse(err error) {
	c.closing = true
	c.server.counters.protocolErrors.Add(1)
	c.broken = err
	level := c.server.options.Logger.Debug
	if errors.Is(err, errHTTP) {
		level = c.server.options.Logger.Warn
	} else {
		c.writer.Error(err.Error())
		c.server.noteError(err.Error())
	}
	level("connection closed for what it sent", "client", c.RemoteAddr().String(), "id", c.id, "error", err)
}

// finish gives everything back. The outbox is drained already, or the connection is dead.
func (c *Conn) finish() {
	if c.lingers() {
		c.linger()
	}
	if c.kills.CompareAndSwap(false, true) {
		close(c.killed)
		if err := c.nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			c.raw.Close()
		}
	}
	c.out.abandon(c)
	c.ahead.abandon(c)
	c.charge(int(-c.held.Load()))
	c.server.forget(c)
}

// lingers tells whether the client is to get a moment to read the error that ended it.
func (c *Conn) lingers() bool {
	var protocol *ProtocolError
	return errors.As(c.broken, &protocol) && !c.dead()
}

const (
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 1 << 20
)

// linger lets a client that is still sending read its error: closing at once would reset the connection and the
// error with it. It gives at most a quarter of a second and one megabyte.
func (c *Conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.raw.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
}

// isTimeout tells a read that Shutdown interrupted from one that failed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
