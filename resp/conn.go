package resp

import (
	"net"
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

// Wake says why Block returned.
type Wake uint8

const (
	Woken              Wake = iota // the channel fired
	TimedOut                       // the time given ran out
	Gone                           // the client left (FIN, RST) or was killed: nothing can be answered
	Unblocked                      // Unblock was called (CLIENT UNBLOCK)
	UnblockedWithError             // Unblock(true) was called (CLIENT UNBLOCK id ERROR)
	Draining                       // the server is stopping
)

// Conn is one client connection. Unless said otherwise its methods belong to the connection's own goroutine, that is
// to the Handler's calls.
type Conn struct {
	// Context is the handler's own state for this connection.
	Context any
}

// ID is unique in the life of the process and grows by one with each connection. Any goroutine.
func (c *Conn) ID() uint64 { panic("BUG: unbuilt") }

// RemoteAddr and LocalAddr are the ends of the socket. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr { panic("BUG: unbuilt") }
func (c *Conn) LocalAddr() net.Addr  { panic("BUG: unbuilt") }

// Writer takes the replies of the current batch.
func (c *Conn) Writer() *Writer { panic("BUG: unbuilt") }

// SetAuthenticated lifts the limits that hold before AUTH (10 arguments, 16 KiB).
func (c *Conn) SetAuthenticated(yes bool) { panic("BUG: unbuilt") }

// Await makes the reply of the current command wait for a journal at the end of the batch: for WaitSynced when synced,
// for WaitWritten otherwise. If the wait fails, the reply of every command that awaited it is replaced by an error with
// the text of the failure; the other replies of the batch stand.
func (c *Conn) Await(b Barrier, seq uint64, synced bool) { panic("BUG: unbuilt") }

// FlushReplies ends the batch so far: Handler.Flush, barrier, write (or append to the outbox). Afterwards what other
// goroutines Push comes after these replies.
func (c *Conn) FlushReplies() { panic("BUG: unbuilt") }

// Block flushes the replies so far and waits until wake fires (a value or a close), the timeout passes (0 waits for
// ever), the client goes away, Unblock, or the server drains. The socket is watched meanwhile; commands that arrive are
// kept and run afterwards.
func (c *Conn) Block(timeout time.Duration, wake <-chan struct{}) Wake { panic("BUG: unbuilt") }

// Unblock ends a Block from any goroutine and tells whether one was under way.
func (c *Conn) Unblock(withError bool) bool { panic("BUG: unbuilt") }

// OnUndelivered registers a function that is called once if the reply being written now cannot be given to the kernel
// in full (the client is gone); it is forgotten after a successful write.
func (c *Conn) OnUndelivered(fn func()) { panic("BUG: unbuilt") }

// CloseAfterReply closes the connection once the replies so far are written; the rest of the pipeline is dropped.
func (c *Conn) CloseAfterReply() { panic("BUG: unbuilt") }

// Kill closes the connection at once, from any goroutine.
func (c *Conn) Kill() { panic("BUG: unbuilt") }

// Push appends one encoded message, shared and never changed, to the connection's outbox, from any goroutine. It never
// blocks. It returns false when the connection is closed or has just been cut for being over its output limit.
func (c *Conn) Push(message []byte) bool { panic("BUG: unbuilt") }

// Outbox is the number of bytes waiting to be sent. Any goroutine.
func (c *Conn) Outbox() int { panic("BUG: unbuilt") }

// PullPushes sets a source of further output that is asked for more whenever the outbox runs dry: next appends messages
// to buf and returns it with done true when there are no more. It runs in the connection's writer goroutine at the
// speed of the socket, outside the output limit; Pushes that come meanwhile wait behind it in a queue of their own and
// count against the limit. Sources added while one runs are run one after the other.
func (c *Conn) PullPushes(next func(buf []byte) (out []byte, done bool)) { panic("BUG: unbuilt") }
