package resp

import (
	"sync"
	"time"
)

const (
	aheadChunkMin = 512      // what a connection that blocks holds for what it may send
	aheadChunkMax = 64 << 10 // what is read at a time once much comes
)

// ahead reads the socket while the connection's goroutine cannot: a command blocks, or the replies are not read. So a client that
// writes its whole pipeline before it reads gets to its reads, and one that leaves is noticed behind whatever it has sent.
//
// A goroutine reads as long as somebody is held up (wanted). It is not interrupted when that ends: it makes its Read to the end and
// ends too, and fill takes what it brought instead of reading itself. What is read lies in chunks until it is framed.
type ahead struct {
	used    bool          // by the connection's goroutine: there may be something to take
	stall   *time.Timer   // see beginWrite
	changed chan struct{} // capacity 1: the reader has ended, or the peer has gone; made by the first begin

	mu      sync.Mutex // leaf lock, never held while the socket is used
	wanted  bool
	writing bool // the connection's goroutine writes
	reading bool // the reader exists; the memory behind open is its own then
	full    bool // the reader ended because as much is held as may be
	gone    bool // the peer has left behind what nobody reads
	chunks  [][]byte
	open    []byte // the chunk that is being filled
	bytes   int    // in chunks and open
	held    int    // memory of chunks and open, taken from the budget
	err     error  // came after all of them
}

// begin has a read under way until end, from any goroutine.
func (a *ahead) begin(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beginLocked(c)
}

func (a *ahead) beginLocked(c *Conn) {
	if a.changed == nil {
		a.changed = make(chan struct{}, 1)
	}
	a.wanted = true
	a.readLocked(c)
}

func (a *ahead) readLocked(c *Conn) {
	if a.reading || a.err != nil || !a.wanted {
		return
	}
	if a.full = !a.roomLocked(c); !a.full {
		a.reading = true
		go a.read(c)
	}
}

// resume tries again where the limit was met.
func (a *ahead) resume(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.full && a.wanted && !a.reading {
		a.readLocked(c)
	}
}

func (a *ahead) end() {
	a.mu.Lock()
	a.wanted = false
	a.mu.Unlock()
}

// roomLocked makes room for the next read; there is none when the limit of the connection or that of all is met.
func (a *ahead) roomLocked(c *Conn) bool {
	if len(a.open) < cap(a.open) {
		return true
	}
	size := min(max(2*cap(a.open), aheadChunkMin), aheadChunkMax)
	if a.held+int(c.inputHeld.Load())+size > c.aheadMost() || !c.tryCharge(size, 0) {
		return false
	}
	if len(a.open) > 0 {
		a.chunks = append(a.chunks, a.open)
	}
	a.held += size
	a.open = make([]byte, 0, size)
	return true
}

// aheadMost is how much a connection may have sent that is not run.
func (c *Conn) aheadMost() int {
	if c.stranger.Load() {
		return min(c.server.options.QueryBufferMax, unauthenticatedAhead)
	}
	return c.server.options.QueryBufferMax
}

func (a *ahead) read(c *Conn) {
	a.mu.Lock()
	for {
		room := a.open[len(a.open):cap(a.open)]
		a.mu.Unlock()
		n, err := c.nc.Read(room)
		c.noteInput(n)
		a.mu.Lock()
		a.open = a.open[:len(a.open)+n]
		a.bytes += n
		a.err = err
		if err != nil || !a.wanted {
			break
		}
		if a.full = !a.roomLocked(c); a.full {
			break
		}
	}
	a.reading = false
	a.signalLocked()
	a.mu.Unlock()
}

func (a *ahead) signalLocked() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// take returns the oldest of what came ahead, waiting for the read under way if there is nothing. It belongs to the connection's
// goroutine; what it returns is valid until the next call.
func (a *ahead) take(c *Conn) ([]byte, error) {
	if !a.used {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.reading && len(a.chunks) == 0 && len(a.open) == 0 {
		a.mu.Unlock()
		<-a.changed
		a.mu.Lock()
	}
	if len(a.chunks) > 0 {
		data := a.chunks[0]
		a.chunks[0] = nil
		a.chunks = a.chunks[1:]
		a.bytes -= len(data)
		a.giveBackLocked(c, cap(data))
		return data, nil
	}
	if len(a.open) > 0 {
		data := a.open
		a.open = a.open[len(data):]
		a.bytes -= len(data)
		a.giveBackLocked(c, len(data))
		return data, nil
	}
	a.used = false
	if cap(a.open) < aheadChunkMin || cap(a.open) > readBufferMin {
		a.giveBackLocked(c, a.held)
		a.open, a.chunks = nil, nil
	}
	return nil, a.err
}

func (a *ahead) giveBackLocked(c *Conn, n int) {
	a.held -= n
	c.charge(-n)
}

// left tells whether the client has gone, as far as the reads have come.
func (a *ahead) left() (error, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err, a.err != nil || a.gone
}

// watch looks at a socket that is not read any further: a peer that has gone ends a Block. Called by the sweeper.
func (a *ahead) watch(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.full && !a.reading && !a.gone && c.socket.hungUp() {
		a.gone = true
		a.signalLocked()
	}
}

// size is the number of bytes that wait to be framed.
func (a *ahead) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes
}

// abandon ends with the reader gone; the socket is closed.
func (a *ahead) abandon(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = false
	for a.reading {
		a.mu.Unlock()
		<-a.changed
		a.mu.Lock()
	}
	a.giveBackLocked(c, a.held)
	a.chunks, a.open = nil, nil
}
