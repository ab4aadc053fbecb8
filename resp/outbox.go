package resp

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// outbox is the ordered output of a connection that has had a Push. It starts unused: until the first Push the
// connection's goroutine writes its replies itself, and says so with direct. From then on a writer goroutine takes all
// that has gathered, in one piece, each time the socket is ready for more.
type outbox struct {
	mu      sync.Mutex // leaf lock, held for appends and swaps, never while the socket is used
	ready   sync.Cond  // the writer waits for work and drain and awaitRoom for the writer; its lock is mu
	started bool       // output goes through the writer goroutine
	running bool       // the writer goroutine exists
	direct  bool       // the connection's goroutine is writing to the socket itself
	asleep  bool       // the writer goroutine waits for work
	ending  bool       // no more will be appended; the writer ends when it is done
	closed  bool       // the socket is of no use

	chunks    []chunk
	marks     []mark // what is special about some chunks, in their order
	spare     []chunk
	bytes     int   // all that was appended and not written
	replies   int   // of these, replies: they do not count against the limit
	softSince int64 // when pushes went over the soft limit; 0 while they are under it
}

// chunk is a piece of output: a shared message, or a copy of replies, or what stands for a source.
type chunk struct {
	bytes   []byte
	message *Message // nil when the bytes are the connection's own
}

// Message is one encoded message, never changed, that any number of connections are to be sent. It counts once against Options.MemoryMax
// for as long as one of them has not sent it.
type Message struct {
	bytes   []byte
	holders atomic.Int32
}

// messageOverhead is what a message takes beside its bytes.
const messageOverhead = 64

// NewMessage takes over what it is given.
func NewMessage(encoded []byte) *Message { return &Message{bytes: encoded} }

// Len is the number of bytes that a connection is sent.
func (m *Message) Len() int { return len(m.bytes) }

func (m *Message) hold(s *Server) {
	if m.holders.Add(1) == 1 {
		s.charge(len(m.bytes) + messageOverhead)
	}
}

func (m *Message) release(s *Server) {
	if m.holders.Add(-1) == 0 {
		s.charge(-len(m.bytes) - messageOverhead)
	}
}

// releaseAll lets go of messages that are not to be sent any more.
func releaseAll(s *Server, chunks []chunk) {
	for i := range chunks {
		if m := chunks[i].message; m != nil {
			chunks[i].message = nil
			m.release(s)
		}
	}
}

// mark says what a chunk is besides a pushed message. A source has an empty chunk.
type mark struct {
	at          int
	reply       bool
	undelivered []func()
	source      func([]byte) ([]byte, bool)
}

// copyMax is up to how many bytes a writer copies into one piece instead of giving the kernel a list of small ones.
const copyMax = 64 << 10

// beginDirect lets the connection's goroutine write to the socket itself if there never was a Push.
func (o *outbox) beginDirect() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.direct = !o.started
	return o.direct
}

// endDirect starts the writer if a Push came meanwhile.
func (o *outbox) endDirect(c *Conn) {
	o.mu.Lock()
	o.direct = false
	if o.started && !o.running {
		o.startLocked(c)
	}
	o.mu.Unlock()
}

func (o *outbox) startLocked(c *Conn) {
	o.started = true
	if o.direct || o.running {
		return
	}
	o.running = true
	go o.run(c)
}

// wakeLocked has the writer look at what there is.
func (o *outbox) wakeLocked(c *Conn) {
	if c.io.loop != nil {
		o.started = true
		c.io.loop.mark(c, markOutput)
		return
	}
	if !o.running {
		o.startLocked(c)
		return
	}
	if o.asleep {
		o.asleep = false
		o.ready.Broadcast()
	}
}

// Push appends a message to the connection's outbox, from any goroutine. It never blocks. It returns false when the connection is
// closed or has just been cut for being over its output limit.
func (c *Conn) Push(message *Message) bool {
	o := &c.out
	o.mu.Lock()
	if o.closed || o.ending || c.dead() {
		o.mu.Unlock()
		return false
	}
	waiting := o.bytes - o.replies + len(message.bytes)
	if waiting > c.server.options.OutboxSoftBytes {
		if waiting > c.server.options.OutboxHardBytes {
			o.mu.Unlock()
			c.cutForOutput()
			return false
		}
		if o.softSince == 0 {
			o.softSince = c.server.clock.Load()
		}
	}
	message.hold(c.server)
	o.chunks = append(o.chunks, chunk{message.bytes, message})
	o.bytes += len(message.bytes)
	o.wakeLocked(c)
	o.mu.Unlock()
	return true
}

// cutForOutput ends a connection that does not read what is pushed to it.
func (c *Conn) cutForOutput() {
	if c.dead() {
		return
	}
	c.server.counters.outputCuts.Add(1)
	c.server.options.Logger.Warn("connection cut: it does not read what is pushed to it", "client", c.RemoteAddr().String(),
		"id", c.id, "bytes", c.Outbox())
	c.Kill()
}

// Outbox is the number of bytes waiting to be sent. Any goroutine.
func (c *Conn) Outbox() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.bytes
}

// PullPushes sets a source of further output that is asked for more whenever the outbox runs dry: next appends messages
// to buf and returns it with done true when there are no more. It runs in the connection's writer goroutine at the
// speed of the socket, outside the output limit; Pushes that come meanwhile wait behind it in a queue of their own and
// count against the limit. Sources added while one runs are run one after the other.
func (c *Conn) PullPushes(next func(buf []byte) (out []byte, done bool)) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.ending {
		return
	}
	o.marks = append(o.marks, mark{at: len(o.chunks), source: next})
	o.chunks = append(o.chunks, chunk{})
	o.wakeLocked(c)
}

// appendReplies queues a copy of a reply batch.
func (o *outbox) appendReplies(c *Conn, replies []byte, undelivered []func()) {
	m := mark{reply: true, undelivered: slices.Clone(undelivered)}
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		m.fail(c)
		return
	}
	m.at = len(o.chunks)
	o.marks = append(o.marks, m)
	o.chunks = append(o.chunks, chunk{bytes: slices.Clone(replies)})
	c.charge(len(replies))
	o.bytes += len(replies)
	o.replies += len(replies)
	o.wakeLocked(c)
	o.mu.Unlock()
}

// awaitRoom holds the connection's goroutine back while the client does not read its replies. What it sends is read meanwhile.
func (o *outbox) awaitRoom(c *Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.replies <= writeMax || o.closed {
		return
	}
	if c.io.loop == nil { // a loop reads on by itself
		c.ahead.used = true
		c.ahead.begin(c)
		defer c.ahead.end()
	}
	for o.replies > writeMax && !o.closed {
		o.ready.Wait()
	}
}

func (m *mark) fail(c *Conn) {
	c.tell(m.undelivered)
	m.undelivered = nil
}

// run is the writer goroutine.
func (o *outbox) run(c *Conn) {
	defer func() {
		if reason := recover(); reason != nil {
			c.server.notePanic(c, reason)
		}
		o.stop(c)
	}()
	for {
		o.mu.Lock()
		for len(o.chunks) == 0 && !o.ending && !o.closed {
			o.asleep = true
			o.ready.Wait()
		}
		o.asleep = false
		if o.closed || len(o.chunks) == 0 {
			o.mu.Unlock()
			return
		}
		chunks, marks := o.chunks, o.marks
		o.chunks, o.marks = o.spare[:0], nil
		o.spare = nil
		o.mu.Unlock()
		if !o.write(c, chunks, marks) {
			releaseAll(c.server, chunks)
			return
		}
		clear(chunks)
		o.mu.Lock()
		if cap(chunks) <= 4096 {
			o.spare = chunks[:0]
		}
		o.mu.Unlock()
	}
}

// write sends what was taken, running its sources where they stand. When it fails, what was not sent has been told so.
func (o *outbox) write(c *Conn, chunks []chunk, marks []mark) bool {
	from := 0
	for i := 0; ; i++ {
		to := len(chunks)
		if i < len(marks) && marks[i].source == nil {
			continue
		}
		if i < len(marks) {
			to = marks[i].at
		}
		if !o.send(c, chunks[from:to], from, marks) || i < len(marks) && !o.pull(c, marks[i].source) {
			for k := range marks {
				marks[k].fail(c)
			}
			return false
		}
		if i >= len(marks) {
			return true
		}
		from = to + 1
	}
}

// send writes consecutive chunks, in rounds of which each is one system call; base is the first one's place among all
// that the marks speak of.
func (o *outbox) send(c *Conn, chunks []chunk, base int, marks []mark) bool {
	for len(chunks) > 0 {
		count, size := 0, 0
		for count < len(chunks) && (count == 0 || size+len(chunks[count].bytes) <= writeMax) {
			size += len(chunks[count].bytes)
			count++
		}
		c.writingSince.Store(c.server.clock.Load())
		err := c.writeChunks(chunks[:count], size)
		c.writingSince.Store(0)
		if err != nil {
			return false
		}
		o.sent(c, base, base+count, size, chunks[:count], marks)
		chunks = chunks[count:]
		base += count
	}
	return true
}

// sent settles the accounts of the chunks [from, to).
func (o *outbox) sent(c *Conn, from, to, size int, chunks []chunk, marks []mark) {
	replies := 0
	releaseAll(c.server, chunks)
	for i := range marks {
		if m := &marks[i]; m.reply && m.at >= from && m.at < to {
			replies += len(chunks[m.at-from].bytes)
			m.undelivered = nil
		}
	}
	o.paid(c, size, replies)
}

// writeChunks gives the kernel several chunks at once: copied together while they are small, as a list otherwise.
func (c *Conn) writeChunks(chunks []chunk, size int) error {
	if len(chunks) == 1 {
		return c.writePieces(chunks[0].bytes, c.server.clock.Load())
	}
	if size <= copyMax {
		piece := c.server.pieces.Get().(*[]byte)
		buf := (*piece)[:0]
		for i := range chunks {
			buf = append(buf, chunks[i].bytes...)
		}
		n, err := c.nc.Write(buf)
		c.bytesOut.Add(uint64(n))
		*piece = buf
		c.server.pieces.Put(piece)
		return err
	}
	list := make(net.Buffers, len(chunks))
	for i := range chunks {
		list[i] = chunks[i].bytes
	}
	n, err := list.WriteTo(c.nc)
	c.bytesOut.Add(uint64(n))
	return err
}

// pull runs a source to its end at the speed of the socket. The connection's end ends it too.
func (o *outbox) pull(c *Conn, next func([]byte) ([]byte, bool)) bool {
	piece := c.server.pieces.Get().(*[]byte)
	defer c.server.pieces.Put(piece)
	for done := false; !done; {
		o.mu.Lock()
		ending := o.ending || o.closed
		o.mu.Unlock()
		if ending {
			return true
		}
		var buf []byte
		buf, done = next((*piece)[:0])
		if cap(buf) <= 4*copyMax {
			*piece = buf
		}
		if c.writePieces(buf, c.server.clock.Load()) != nil {
			return false
		}
	}
	return true
}

// stop is the end of the writer goroutine, for whatever reason.
func (o *outbox) stop(c *Conn) {
	o.mu.Lock()
	ended := o.ending && len(o.chunks) == 0
	o.running = false
	o.closed = true
	o.ready.Broadcast()
	o.mu.Unlock()
	if !ended {
		c.Kill()
	}
}

// drain has the rest written, without running sources to their end, and returns when the writer goroutine has ended.
func (o *outbox) drain(c *Conn) {
	o.mu.Lock()
	o.ending = true
	if c.dead() {
		o.closed = true
	}
	o.ready.Broadcast()
	if o.running {
		c.ahead.begin(c) // the client may be in the middle of a write
		defer c.ahead.end()
	}
	for o.running {
		o.ready.Wait()
	}
	o.closed = true
	o.mu.Unlock()
}

// abandon tells those who wait to know that what is left was not delivered.
func (o *outbox) abandon(c *Conn) {
	o.mu.Lock()
	o.closed = true
	o.ready.Broadcast()
	marks := o.marks
	releaseAll(c.server, o.chunks)
	o.chunks, o.marks, o.spare, o.bytes, o.replies = nil, nil, nil, 0, 0
	o.mu.Unlock()
	for i := range marks {
		marks[i].fail(c)
	}
}

// pushed is the number of bytes of messages that are not sent.
func (o *outbox) pushed() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes - o.replies
}

// overSoftLimit tells whether too much has been waiting for too long.
func (o *outbox) overSoftLimit(now, limit int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.softSince != 0 && now-o.softSince >= limit
}

// holdsReplies tells whether a write that does not get on keeps a reply back; before the first Push every write does.
func (o *outbox) holdsReplies() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.started || o.direct || o.replies > 0 || o.ending
}

// waits tells whether there is something to write.
func (o *outbox) waits() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.chunks) > 0
}

// repliesWaiting is how many bytes of replies are not written.
func (o *outbox) repliesWaiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.replies
}

// owe counts the rest of a batch that its loop has kept.
func (o *outbox) owe(c *Conn, replies int) {
	c.charge(replies)
	o.mu.Lock()
	o.bytes += replies
	o.replies += replies
	o.mu.Unlock()
}

// paid counts what was written.
func (o *outbox) paid(c *Conn, size, replies int) {
	o.mu.Lock()
	o.bytes -= size
	o.replies -= replies
	if o.softSince != 0 && o.bytes-o.replies <= c.server.options.OutboxSoftBytes {
		o.softSince = 0
	}
	if replies > 0 {
		c.charge(-replies)
		o.ready.Broadcast()
	}
	o.mu.Unlock()
}

// end refuses further Pushes; what is there is written.
func (o *outbox) end() {
	o.mu.Lock()
	o.ending = true
	o.mu.Unlock()
}

func (o *outbox) isEnding() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending || o.closed
}

// shut is the end of a loop's writing: the socket is closed.
func (o *outbox) shut() {
	o.mu.Lock()
	o.closed = true
	o.ready.Broadcast()
	o.mu.Unlock()
}
