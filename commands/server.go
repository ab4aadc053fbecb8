package commands

import (
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/latency"
	"github.com/nexobroker/nexo/resp"
)

const (
	// RedisVersion is the level of Redis whose commands and replies are followed; client libraries choose their features
	// by it.
	RedisVersion = "7.2.0"
	// Version is Nexo's own.
	Version = "0.1.0"
)

// Config is what the process decides for the gates of the commands.
type Config struct {
	Clock         brokers.Clock // nil is the system's
	Password      string        // "" is none
	ProtectedMode bool
	// Loading tells how far the logs are when the families get their brokers later, before Loaded; nil when they have them.
	Loading func() Progress
}

// Server holds the command table and what all connections share. It implements resp.Handler.
type Server struct {
	Clock    brokers.Clock
	Started  time.Time
	Settings Settings
	SlowLog  SlowLog

	table    map[string]*Spec
	families []*Family
	flushes  []func(ctx *Context) // of the families that have one
	sections []Section            // of INFO, in order
	docs     [2]docsCache         // the whole of COMMAND DOCS, in RESP2 and in RESP3
	door     *resp.Server
	sessions sessions
	counters counters
	access   access
	pause    pause
	errors   errorStats
	pace     pace
	own      struct{ open, accepted atomic.Int64 } // connections of the process to itself

	// loading is set until the brokers are there. Before they are read it must have been seen to be nil.
	loading   atomic.Pointer[func() Progress]
	latencies latency.Histogram // of measured commands
	tap       atomic.Pointer[func(Tapped)]
}

// New builds the command table of the families. A mistake in their descriptions is a mistake of the program and panics.
func New(config Config, families ...*Family) *Server {
	s := &Server{Clock: config.Clock, table: map[string]*Spec{}}
	if s.Clock == nil {
		s.Clock = brokers.SystemClock{}
	}
	s.Started = s.Clock.Now()
	if config.Loading != nil {
		s.loading.Store(&config.Loading)
	}
	s.access.logins.clock = s.Clock
	s.access.guard.Store(config.ProtectedMode)
	s.access.setPassword(config.Password)
	s.SlowLog.setThreshold(slowerThanDefault)
	s.SlowLog.setMax(slowEntriesDefault)
	for _, family := range append(families, s.ownFamily()) {
		s.add(family)
	}
	s.Settings.sort()
	return s
}

// Attach tells the commands of the door they serve, for CLIENT LIST, INFO and SHUTDOWN. It is called once, before the
// door lets clients in.
func (s *Server) Attach(door *resp.Server) { s.door = door }

// Door is the door that is served; nil before it is attached.
func (s *Server) Door() *resp.Server { return s.door }

// counters are the figures of INFO; connections add theirs once a batch.
type counters struct {
	commands, rejected, measured atomic.Uint64
}

// add leaves out what the process does for the dashboard: watching must not change what is watched.
func (c *counters) add(ctx *Context) {
	if ctx.Session.own {
		ctx.commands, ctx.rejected, ctx.measured = 0, 0, 0
		return
	}
	if ctx.commands > 0 {
		c.commands.Add(ctx.commands)
		ctx.commands = 0
	}
	if ctx.rejected > 0 {
		c.rejected.Add(ctx.rejected)
		ctx.rejected = 0
	}
	if ctx.measured > 0 {
		c.measured.Add(ctx.measured)
		ctx.measured = 0
	}
}
