package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server accepts connections and runs their commands through a Handler.
type Server struct {
	options    Options
	handler    Handler
	listeners  []net.Listener
	unixPath   string
	draining   chan struct{} // closed by Shutdown
	swept      chan struct{} // closed when the sweeper has ended
	ids        atomic.Uint64
	clock      atomic.Int64 // nanoseconds since started, never 0; it moves when the sweeper ticks
	started    time.Time
	held       atomic.Int64  // of Options.MemoryMax
	missed     atomic.Int64  // bytes that somebody needs and did not get
	pressed    chan struct{} // capacity 1: the budget is used up
	relieving  sync.Mutex    // one goroutine at a time looks who must go; taken before mu
	stopped    atomic.Bool   // draining, for the hot path
	maxClients atomic.Int64
	idleMax    atomic.Int64 // Options.IdleTimeout, until SetIdleTimeout
	counters   counters
	timers     sync.Pool
	pieces     sync.Pool
	gate       gate // of heavy commands
	ends       gate // of what is taken back from those who have left, one at a time
	loops      []*loop

	mu       sync.Mutex // guards the registry
	conns    map[uint64]*Conn
	stopping bool
	empty    chan struct{} // closed when stopping and the last connection has ended
}

type counters struct {
	accepted, refused, commands, outputCuts, memoryCuts, slowCuts, protocolErrors, handshakes, panics atomic.Uint64
	blocked                                                                                           atomic.Int64
}

// Counters is what a server has seen since it began to listen.
type Counters struct {
	Connected         int64  // connections now
	Blocked           int64  // of these, in Block
	Accepted          uint64 // connections taken
	Refused           uint64 // connections over MaxClients
	Commands          uint64 // commands run
	CutForOutput      uint64 // connections cut because they did not read their pushes
	CutForMemory      uint64 // connections cut because MemoryMax was reached
	CutForTime        uint64 // connections cut by CommandTimeout, IdleTimeout, WriteTimeout or DrainTimeout
	ProtocolErrors    uint64 // connections closed for what they sent
	HandshakeFailures uint64 // TLS handshakes that failed
	Panics            uint64 // connections closed by a panic
	Memory            int64  // held by connections, as MemoryMax counts
}

// ConnStats is what CLIENT LIST tells of a connection. Durations are as exact as the server's clock, about a second.
type ConnStats struct {
	Age         time.Duration
	Idle        time.Duration // since bytes came in or a Block ended
	QueryBuffer int           // bytes of a command that is not complete
	Outbox      int           // bytes waiting to be sent
	Blocked     bool
	BytesIn     uint64
	BytesOut    uint64
}

// Listen opens the addresses of the options. Nothing is accepted before Serve.
func Listen(options Options, handler Handler) (*Server, error) {
	s := &Server{
		options:   options.withDefaults(),
		handler:   handler,
		listeners: slices.Clone(options.Listeners),
		draining:  make(chan struct{}),
		swept:     make(chan struct{}),
		started:   time.Now(),
		conns:     map[uint64]*Conn{},
		empty:     make(chan struct{}),
		pressed:   make(chan struct{}, 1),
	}
	s.gate, s.ends = make(gate, s.options.HeavyMax), make(gate, 1)
	s.clock.Store(1)
	s.maxClients.Store(int64(s.options.MaxClients))
	s.idleMax.Store(int64(s.options.IdleTimeout))
	s.pieces.New = func() any { return new([]byte) }
	if err := s.open(); err != nil {
		s.closeListeners()
		return nil, err
	}
	if len(s.listeners) == 0 {
		return nil, errors.New("resp: nowhere to listen: no address, socket or listener given")
	}
	if err := s.startLoops(); err != nil {
		s.closeListeners()
		return nil, err
	}
	go s.sweep()
	return s, nil
}

func (s *Server) open() error {
	if s.options.Addr != "" {
		config := net.ListenConfig{KeepAlive: s.options.KeepAlive}
		listener, err := config.Listen(context.Background(), "tcp", s.options.Addr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", s.options.Addr, err)
		}
		if s.options.TLSConfig != nil {
			listener = tls.NewListener(listener, s.options.TLSConfig)
		}
		s.listeners = slices.Insert(s.listeners, 0, listener)
	}
	if s.options.UnixSocket != "" {
		listener, err := listenUnix(s.options.UnixSocket)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", s.options.UnixSocket, err)
		}
		s.listeners = append(s.listeners, listener)
		s.unixPath = s.options.UnixSocket
	}
	return nil
}

// listenUnix makes a socket that was never open to others: it is bound in a directory of its own, closed to all but
// the owner, and moved to its place when its mode is set. A socket left by a crash is replaced, a live one is not.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, errors.New("the path exists and is not a socket")
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			conn.Close()
			return nil, errors.New("another server listens there")
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err = os.Chmod(hidden, 0o600); err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// Addr is the address of the first listener: Options.Addr's if there is one.
func (s *Server) Addr() net.Addr { return s.listeners[0].Addr() }

// SetMaxClients changes the limit for connections to come. Any goroutine.
func (s *Server) SetMaxClients(n int) { s.maxClients.Store(int64(n)) }

// SetIdleTimeout changes Options.IdleTimeout, for open connections too; it is kept to within a second. Any goroutine.
func (s *Server) SetIdleTimeout(d time.Duration) { s.idleMax.Store(int64(d)) }

// Serve accepts connections until Shutdown.
func (s *Server) Serve() error {
	var accepting sync.WaitGroup
	for _, listener := range s.listeners {
		accepting.Go(func() { s.accept(listener) })
	}
	accepting.Wait()
	return nil
}

func (s *Server) startLoops() error {
	for range s.options.Loops {
		l, err := newLoop(s)
		if err != nil {
			s.stopLoops()
			return err
		}
		if l == nil {
			break
		}
		s.loops = append(s.loops, l)
	}
	return nil
}

func (s *Server) stopLoops() {
	for _, l := range s.loops {
		l.stop()
	}
}

// accept takes what comes to a listener: plain sockets for the event loops, anything else for goroutines.
func (s *Server) accept(listener net.Listener) {
	if s.acceptSockets(listener) {
		return
	}
	s.acceptFrom(listener, func() error {
		nc, err := listener.Accept()
		if err == nil {
			s.admit(nc)
		}
		return err
	})
}

// acceptFrom goes on through errors, such as having no file descriptor left, with growing pauses.
func (s *Server) acceptFrom(listener net.Listener, next func() error) {
	pause := time.Duration(0)
	for {
		err := next()
		if err == nil {
			pause = 0
			continue
		}
		if s.isDraining() {
			return
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.options.Logger.Error("accept failed", "address", listener.Addr().String(), "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-s.draining:
			return
		}
	}
}

// admission is what becomes of a new connection.
type admission uint8

const (
	admitted admission = iota
	refusedFull
	refusedStopping
)

const fullText = "-ERR max number of clients reached\r\n"

func (s *Server) newConn() *Conn {
	c := &Conn{
		id:     s.ids.Add(1),
		server: s,
		opened: time.Now(),
		killed: make(chan struct{}),
		framer: newFramer(&s.options),
		writer: Writer{proto: 2},
	}
	c.stranger.Store(true)
	c.out.ready.L = &c.out.mu
	c.lastActive.Store(s.clock.Load())
	return c
}

// register takes a connection into the registry, if there is room.
func (s *Server) register(c *Conn) admission {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return refusedStopping
	}
	if int64(len(s.conns)) >= s.maxClients.Load() {
		s.counters.refused.Add(1)
		return refusedFull
	}
	s.conns[c.id] = c
	s.counters.accepted.Add(1)
	return admitted
}

// admit starts a connection with a goroutine of its own or refuses it. It never waits for the client.
func (s *Server) admit(nc net.Conn) {
	raw := nc
	if secure, ok := nc.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	c := s.newConn()
	c.nc, c.raw, c.socket = nc, raw, newSocket(raw)
	c.remote, c.local = raw.RemoteAddr(), raw.LocalAddr()
	switch s.register(c) {
	case admitted:
		go c.serve()
		return
	case refusedFull:
		if raw == nc { // 40 bytes always fit in a new socket's buffer; the deadline is for sockets that are not
			_ = raw.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			_, _ = raw.Write([]byte(fullText))
		}
	}
	raw.Close()
}

// forget is the end of a connection.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
	if s.stopping && len(s.conns) == 0 {
		close(s.empty)
	}
}

// Shutdown stops accepting, ends every Block with Draining, lets running batches finish and deliver their replies and
// waits for the connections to end. When ctx ends first, what is left is cut, and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopping
	s.stopping = true
	if first {
		s.stopped.Store(true)
		close(s.draining)
		if len(s.conns) == 0 {
			close(s.empty)
		}
	}
	s.mu.Unlock()
	if first {
		s.closeListeners()
	}
	s.Each(func(c *Conn) bool {
		if c.io.loop != nil {
			c.io.loop.mark(c, markDraining)
		} else {
			_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // a socket that is closed already needs no waking
		}
		return true
	})
	select {
	case <-s.empty:
		<-s.swept
		return nil
	case <-ctx.Done():
		s.Each(func(c *Conn) bool { c.Kill(); return true })
		return fmt.Errorf("connections cut before they were done: %w", ctx.Err())
	}
}

func (s *Server) closeListeners() {
	for _, listener := range s.listeners {
		listener.Close()
	}
	if s.unixPath != "" {
		os.Remove(s.unixPath)
	}
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// Each calls f for every connection, oldest first, until it returns false. Any goroutine; f may Kill.
func (s *Server) Each(f func(*Conn) bool) {
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	slices.SortFunc(conns, func(a, b *Conn) int { return int(int64(a.id) - int64(b.id)) })
	for _, c := range conns {
		if !f(c) {
			return
		}
	}
}

// Counters is a snapshot. Any goroutine.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	current := len(s.conns)
	s.mu.Unlock()
	n := &s.counters
	return Counters{
		Connected: int64(current), Blocked: n.blocked.Load(), Accepted: n.accepted.Load(), Refused: n.refused.Load(),
		Commands: n.commands.Load(), CutForOutput: n.outputCuts.Load(), CutForMemory: n.memoryCuts.Load(), CutForTime: n.slowCuts.Load(),
		ProtocolErrors: n.protocolErrors.Load(), HandshakeFailures: n.handshakes.Load(), Panics: n.panics.Load(),
		Memory: s.held.Load(),
	}
}

// Stats is a snapshot. Any goroutine.
func (c *Conn) Stats() ConnStats {
	return ConnStats{
		Age:         time.Since(c.opened),
		Idle:        time.Duration(max(0, c.server.clock.Load()-c.lastActive.Load())),
		QueryBuffer: c.QueryBuffer(),
		Outbox:      c.Outbox(),
		Blocked:     c.block.state.Load() != blockIdle,
		BytesIn:     c.bytesIn.Load(),
		BytesOut:    c.bytesOut.Load(),
	}
}

// Created is when the connection was accepted, LastCommand when it last sent something or ended a Block (to about a
// second). Any goroutine.
func (c *Conn) Created() time.Time { return c.opened }
func (c *Conn) LastCommand() time.Time {
	return c.server.started.Add(time.Duration(c.lastActive.Load()))
}

// QueryBuffer is the number of bytes read and not yet run, as of the last batch. Any goroutine.
func (c *Conn) QueryBuffer() int {
	return int(c.buffered.Load()) + c.ahead.size() + int(c.io.aheadLen.Load())
}

// Blocked tells whether a command of this connection waits in Block. Any goroutine.
func (c *Conn) Blocked() bool { return c.block.state.Load() != blockIdle }

func (s *Server) notePanic(c *Conn, reason any) {
	s.counters.panics.Add(1)
	if s.options.Panicked != nil {
		s.options.Panicked(reason)
	}
	s.options.Logger.Error("connection closed by a panic", "client", c.RemoteAddr().String(), "id", c.id, "panic", reason,
		"stack", string(debug.Stack()))
}

// timer takes a timer for d; putTimer gives it back.
func (s *Server) timer(d time.Duration) *time.Timer {
	if t, ok := s.timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (s *Server) putTimer(t *time.Timer) {
	t.Stop() // since Go 1.23 nothing stale stays in its channel
	s.timers.Put(t)
}
