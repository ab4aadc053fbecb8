package commands

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/latency"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/resp"
)

// Deps is what the commands work on.
type Deps struct {
	Store  *store.Broker
	PubSub *pubsub.Broker
	Queue  *queue.Broker
	Stream *stream.Broker
	Clock  brokers.Clock
	// Shutdown asks the process to stop gracefully; nil refuses SHUTDOWN.
	Shutdown func()
}

// Server holds the command table and what all connections share. It implements resp.Handler.
type Server struct {
	Deps
	table    map[string]*Spec
	docs     [2]docsCache // the whole of COMMAND DOCS, in RESP2 and in RESP3
	config   *settings
	door     *resp.Server
	sessions sessions
	counters counters
	pause    pause
	logins   logins
	slow     slowLog
	errors   errorStats
	pace     pace
	runID    string // 40 hexadecimal digits, of this run of the process
	started  time.Time
	own      struct{ open, accepted atomic.Int64 } // connections of the process to itself

	retainedTTL time.Duration // of retained messages that say none; 0: none
	// loading is set until the brokers are there. Before they are read it must have been seen to be nil.
	loading   atomic.Pointer[func() Progress]
	latencies latency.Histogram // of commands of the store
	tap       atomic.Pointer[func(Tapped)]
}

// Session is the state of one connection that commands know of.
type Session struct {
	Database int    // SELECT
	Name     string // CLIENT SETNAME
	User     string
	bus      *busSession   // pub/sub state of the connection; nil until it is first needed
	queue    *queueSession // queue state of the connection; nil until it is first needed
	stream   *streamState  // memory for stream replies; nil until it is first needed

	authenticated bool
	wrongLogin    bool // the last password was wrong
	denied        bool // by protected mode
	own           bool // of the process itself, see OwnNetwork
	quit          bool // QUIT was sent: the will is not published
	replyOff      bool // CLIENT REPLY OFF
	replySkip     bool // CLIENT REPLY SKIP: the next reply is left out

	noTouch atomic.Bool // CLIENT NO-TOUCH: reads are no uses of the keys. CLIENT LIST of others shows it

	workers atomic.Pointer[[]worker] // newest first, immutable; nil before the first XCONSUME

	last atomic.Pointer[Spec] // the last command of the last batch

	shown struct { // what other connections see in CLIENT LIST
		sync.Mutex
		name, libraryName, libraryVersion string
		database                          int
		proto                             int
		bus                               *busSession
		owner                             *queue.Owner // of the leases bound to the connection; nil before the first
	}
}

// subscribed tells whether the connection held a subscription at the end of its last batch. Any goroutine.
func (session *Session) subscribed() bool {
	session.shown.Lock()
	defer session.shown.Unlock()
	channels, patterns, shards := session.shown.bus.counts()
	return channels+patterns+shards > 0
}

// holds tells whether a connection that says nothing is there for a reason: it is subscribed, has leases bound to it or has left a
// will, as of its last batch. Any goroutine.
func (session *Session) holds() bool {
	session.shown.Lock()
	bus, owner := session.shown.bus, session.shown.owner
	session.shown.Unlock()
	if channels, patterns, shards := bus.counts(); channels+patterns+shards > 0 {
		return true
	}
	return bus != nil && bus.shown.will.Load() || owner != nil && owner.Leases() > 0
}

// sessions finds the session of a connection for CLIENT LIST.
type sessions struct {
	mu   sync.Mutex
	byID map[uint64]*Session
}

func (s *sessions) add(id uint64, session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[uint64]*Session{}
	}
	s.byID[id] = session
}

func (s *sessions) remove(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

func (s *sessions) get(id uint64) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// counters are the figures of INFO; connections add theirs once a batch.
type counters struct {
	commands, rejected, measured atomic.Uint64
	streamRead, streamAcked      atomic.Uint64 // entries
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

// pause is CLIENT PAUSE: commands wait until it is over.
type pause struct {
	mu     sync.Mutex
	until  time.Time
	writes bool // only commands that write
	over   chan struct{}
	active atomic.Bool
}

// fail writes an error reply: an error with a code word as it is, anything else under ERR.
func (ctx *Context) fail(err error) {
	var e *brokers.Error
	if errors.As(err, &e) {
		ctx.W.Error(e.Error())
		return
	}
	if isCoded(err) {
		ctx.W.Error(err.Error())
		return
	}
	ctx.W.Error("ERR " + err.Error())
}

// await makes the reply of the current command wait until the change is as durable as its object asks.
func (ctx *Context) await(r brokers.Receipt) {
	if r.Journal == nil || r.Seq == 0 || r.Durability == brokers.Never {
		return
	}
	ctx.Conn.Await(r.Journal, r.Seq, r.Durability == brokers.Always)
}
