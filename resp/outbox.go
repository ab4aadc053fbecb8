package resp

import (
	"net"
	"sync"
	"time"
)

const (
	outboxHard     = 32 << 20 // a connection whose outbox passes this is cut
	outboxSoft     = 8 << 20  // or one that stays over this
	outboxSoftTime = 60 * time.Second
	replyBacklog   = 1 << 20 // replies wait for the client while more than this is unsent
	chunksPerWrite = 512     // below the kernel's limit of vectors in one write
)

// outbox is what waits to be sent on a connection. While nothing was ever pushed it is a pass-through: the connection's
// goroutine writes its replies itself (writing is true meanwhile). The first push starts a writer goroutine, and from
// then on replies and pushes are chunks of one ordered list, so that they never interleave. Pushed chunks are shared
// between connections and never changed.
//
// While a source (PullPushes) runs, pushes wait in held; replies still go to chunks.
type outbox struct {
	mu      sync.Mutex // guards everything below; never held across a write
	changed *sync.Cond

	chunks    [][]byte
	held      [][]byte
	sources   []func(buf []byte) ([]byte, bool)
	size      int // bytes in chunks and held, and those being written
	writing   bool
	started   bool // the writer goroutine runs
	closed    bool
	failed    bool
	overSince time.Time
	stopped   chan struct{} // closed when the writer goroutine has ended
}

// send writes a batch of replies, or appends a copy of it. It returns false when the client cannot be written to.
func (o *outbox) send(c *Conn, b []byte) bool {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return false
	}
	if !o.started {
		o.writing = true
		o.mu.Unlock()
		err := c.writeDirect(b)
		o.mu.Lock()
		o.writing = false
		ok := err == nil && !o.closed
		if o.started {
			o.changed.Broadcast()
		}
		o.mu.Unlock()
		return ok
	}
	o.chunks = append(o.chunks, append([]byte(nil), b...))
	o.size += len(b)
	o.changed.Broadcast()
	ok := true
	if len(c.undelivered) > 0 {
		ok = o.waitLocked(c, 0)
	} else if o.size > replyBacklog {
		ok = o.waitLocked(c, replyBacklog)
	}
	o.mu.Unlock()
	return ok
}

// waitLocked waits until at most limit bytes are unsent; a client that takes nothing for the write timeout is cut.
func (o *outbox) waitLocked(c *Conn, limit int) bool {
	expired := false
	timer := time.AfterFunc(writeTimeout, func() {
		o.mu.Lock()
		expired = true
		o.changed.Broadcast()
		o.mu.Unlock()
	})
	defer timer.Stop()
	for o.size > limit && !o.closed && !o.failed && !expired {
		o.changed.Wait()
	}
	return !o.closed && !o.failed && o.size <= limit
}

// Push appends one encoded message, shared and never changed, to the connection's outbox, from any goroutine. It never
// blocks. It returns false when the connection is closed or has just been cut for being over its output limit.
func (c *Conn) Push(message []byte) bool {
	o := &c.out
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return false
	}
	o.startLocked(c)
	if len(o.sources) > 0 {
		o.held = append(o.held, message)
	} else {
		o.chunks = append(o.chunks, message)
	}
	idle := o.size == 0
	o.size += len(message)
	over := o.overLimitLocked()
	if idle {
		o.changed.Broadcast()
	}
	o.mu.Unlock()
	if over {
		c.server.counters.cut.Add(1)
		c.server.options.Logger.Warn("client cut: it does not read what it subscribed to", "client", c.RemoteAddr(), "id", c.id)
		c.Kill()
		return false
	}
	return true
}

func (o *outbox) overLimitLocked() bool {
	if o.size <= outboxSoft {
		o.overSince = time.Time{}
		return false
	}
	if o.size > outboxHard {
		return true
	}
	now := time.Now()
	if o.overSince.IsZero() {
		o.overSince = now
	}
	return now.Sub(o.overSince) > outboxSoftTime
}

// Outbox is the number of bytes waiting to be sent. Any goroutine.
func (c *Conn) Outbox() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.size
}

// PullPushes sets a source of further output that is asked for more whenever the outbox runs dry: next appends messages
// to buf and returns it with done true when there are no more. It runs in the connection's writer goroutine at the
// speed of the socket, outside the output limit; Pushes that come meanwhile wait behind it in a queue of their own and
// count against the limit. Sources added while one runs are run one after the other.
func (c *Conn) PullPushes(next func(buf []byte) (out []byte, done bool)) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.startLocked(c)
	o.sources = append(o.sources, next)
	o.changed.Broadcast()
}

func (o *outbox) startLocked(c *Conn) {
	if o.started {
		return
	}
	o.started = true
	o.stopped = make(chan struct{})
	go o.run(c)
}

// run is the writer goroutine.
func (o *outbox) run(c *Conn) {
	defer close(o.stopped)
	_ = c.sock.SetWriteDeadline(time.Time{}) // the output limits decide from now on
	var batch [][]byte
	var pulled []byte
	for {
		o.mu.Lock()
		for !o.closed && (o.writing || (len(o.chunks) == 0 && len(o.sources) == 0)) {
			o.changed.Wait()
		}
		if o.closed {
			o.mu.Unlock()
			return
		}
		if len(o.chunks) == 0 {
			next := o.sources[0]
			o.mu.Unlock()
			var done bool
			pulled, done = next(pulled[:0])
			err := error(nil)
			if len(pulled) > 0 {
				_, err = c.sock.Write(pulled)
			}
			o.pulled(done, err)
			continue
		}
		// The two lists change places, so that neither is allocated anew.
		batch, o.chunks = o.chunks, batch[:0]
		o.mu.Unlock()
		n, err := writeAll(c.sock, batch)
		clear(batch)
		o.mu.Lock()
		o.size -= n
		if err != nil {
			o.failed = true
		}
		o.changed.Broadcast()
		o.mu.Unlock()
		if err != nil {
			c.Kill()
		}
	}
}

func (o *outbox) pulled(done bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.failed = true
		done = true
		o.sources = o.sources[:1]
	}
	if done {
		o.sources[0] = nil
		o.sources = o.sources[1:]
		if len(o.sources) == 0 {
			o.chunks = append(o.chunks, o.held...)
			clear(o.held)
			o.held = o.held[:0]
		}
	}
	o.changed.Broadcast()
}

// writeAll writes the chunks with as few system calls as the kernel allows, joining small ones.
func writeAll(sock net.Conn, chunks [][]byte) (total int, err error) {
	for len(chunks) > 0 && err == nil {
		part := chunks[:min(len(chunks), chunksPerWrite)]
		chunks = chunks[len(part):]
		for _, chunk := range part {
			total += len(chunk)
		}
		if len(part) == 1 {
			_, err = sock.Write(part[0])
			continue
		}
		buffers := net.Buffers(part)
		_, err = buffers.WriteTo(sock)
	}
	return total, err
}

// drain waits until everything is sent, the connection is killed, or the time is over.
func (o *outbox) drain(limit time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	expired := false
	timer := time.AfterFunc(limit, func() {
		o.mu.Lock()
		expired = true
		o.changed.Broadcast()
		o.mu.Unlock()
	})
	defer timer.Stop()
	for o.size > 0 && !o.closed && !o.failed && !expired {
		o.changed.Wait()
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.chunks, o.held, o.sources = nil, nil, nil
	o.changed.Broadcast()
	o.mu.Unlock()
}

// join waits for the writer goroutine, if there is one, to end.
func (o *outbox) join() {
	o.mu.Lock()
	stopped := o.stopped
	o.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}
