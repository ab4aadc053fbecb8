package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a door; zero values take the defaults named.
type Options struct {
	Addr      string      // host:port
	TLSConfig *tls.Config // nil: plain TCP

	MaxClients   int           // 10,000
	IdleTimeout  time.Duration // 0: idle clients stay
	BulkMax      int           // bytes of one argument: 32 MiB
	CommandMax   int           // bytes of one command: 64 MiB
	ArgumentsMax int           // 65,536
	InlineMax    int           // bytes of one inline command: 64 KiB

	Logger *slog.Logger
}

func (o *Options) fillDefaults() {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&o.MaxClients, 10_000)
	set(&o.BulkMax, 32<<20)
	set(&o.CommandMax, 64<<20)
	set(&o.ArgumentsMax, 65_536)
	set(&o.InlineMax, 64<<10)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) limits() limits {
	return limits{bulk: o.BulkMax, command: o.CommandMax, arguments: o.ArgumentsMax, inline: o.InlineMax}
}

// Counters is what a door has seen since it was opened.
type Counters struct {
	Accepted, Refused, ProtocolErrors, CutForOutput uint64
	Connected, Blocked                              int64
}

// Server accepts connections and runs one goroutine for each.
type Server struct {
	options  Options
	handler  Handler
	listener net.Listener
	draining chan struct{}
	drain    sync.Once
	running  sync.WaitGroup
	nextID   atomic.Uint64
	max      atomic.Int64

	counters struct {
		accepted, refused, protocolErrors, cut atomic.Uint64
		blocked                                atomic.Int64
	}

	mu struct {
		sync.Mutex
		conns map[uint64]*Conn
	}
}

// Listen opens the door; Serve lets clients in.
func Listen(options Options, handler Handler) (*Server, error) {
	options.fillDefaults()
	listener, err := net.Listen("tcp", options.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, handler: handler, listener: listener, draining: make(chan struct{})}
	s.mu.conns = map[uint64]*Conn{}
	s.max.Store(int64(options.MaxClients))
	return s, nil
}

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// SetMaxClients changes the limit for connections to come.
func (s *Server) SetMaxClients(n int) { s.max.Store(int64(n)) }

// Counters returns the figures of this moment.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	connected := len(s.mu.conns)
	s.mu.Unlock()
	return Counters{
		Accepted: s.counters.accepted.Load(), Refused: s.counters.refused.Load(),
		ProtocolErrors: s.counters.protocolErrors.Load(), CutForOutput: s.counters.cut.Load(),
		Connected: int64(connected), Blocked: s.counters.blocked.Load(),
	}
}

// Each calls fn with every connection until it returns false. fn may kill connections.
func (s *Server) Each(fn func(c *Conn) bool) {
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.mu.conns))
	for _, c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		if !fn(c) {
			return
		}
	}
}

// Serve accepts connections until Shutdown, and returns nil then. When accepting fails, as without file handles, it
// pauses and goes on.
func (s *Server) Serve() error {
	pause := time.Duration(0)
	for {
		sock, err := s.listener.Accept()
		if err != nil {
			if s.isDraining() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.options.Logger.Error("cannot accept a connection", "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-s.draining:
			}
			continue
		}
		pause = 0
		s.admit(sock)
	}
}

func (s *Server) admit(sock net.Conn) {
	s.mu.Lock()
	full := int64(len(s.mu.conns)) >= s.max.Load()
	if full || s.isDraining() {
		s.mu.Unlock()
		s.counters.refused.Add(1)
		// The socket is new, so its send buffer takes this line without waiting.
		_ = sock.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(sock, "-ERR max number of clients reached\r\n")
		_ = sock.Close()
		return
	}
	c := newConn(s, s.nextID.Add(1), sock)
	s.mu.conns[c.id] = c
	s.running.Add(1)
	s.mu.Unlock()
	s.counters.accepted.Add(1)
	go s.run(c)
}

func (s *Server) run(c *Conn) {
	defer s.running.Done()
	defer func() {
		s.mu.Lock()
		delete(s.mu.conns, c.id)
		s.mu.Unlock()
	}()
	if tcp, ok := c.sock.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlivePeriod(60 * time.Second)
	}
	if s.options.TLSConfig != nil {
		secure := tls.Server(c.sock, s.options.TLSConfig)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := secure.HandshakeContext(ctx)
		cancel()
		if err != nil {
			_ = c.sock.Close()
			return
		}
		c.sock = secure
	}
	c.serve()
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// Shutdown stops accepting, lets batches under way finish and their replies leave, and closes every connection. When ctx
// ends first the connections are cut and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain.Do(func() {
		s.mu.Lock()
		close(s.draining)
		s.mu.Unlock()
		_ = s.listener.Close()
		s.Each(func(c *Conn) bool {
			_ = c.sock.SetReadDeadline(past)
			return true
		})
	})
	finished := make(chan struct{})
	go func() {
		s.running.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		s.Each(func(c *Conn) bool {
			c.Kill()
			return true
		})
		<-finished
		return ctx.Err()
	}
}
