package commands

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nexobroker/nexo/brokers/latency"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/resp"
)

// OwnNetwork is the network of addresses of connections that the process opens to itself, for the dashboard. They need no
// password (the dashboard has asked for it), and neither the slow log nor a tap sees them.
const OwnNetwork = "nexo"

func isOwn(addr net.Addr) bool { return addr.Network() == OwnNetwork }

// Help describes one command for a console; the name of a subcommand follows its command's.
type Help struct {
	Name, Summary, Syntax, Group string
	Flags                        Flag
	Required                     int // words, with the name, before any option
}

// Help describes every command by name.
func (s *Server) Help() (all []Help) {
	for _, spec := range s.sorted() {
		if spec.Handler != nil {
			all = append(all, helpOf("", spec))
		}
		for i := range spec.Subcommands {
			all = append(all, helpOf(spec.Name+" ", &spec.Subcommands[i]))
		}
	}
	return all
}

func helpOf(prefix string, spec *Spec) Help {
	name := prefix + spec.Name
	return Help{Name: name, Summary: spec.Summary, Syntax: strings.ToUpper(name) + usage(spec.Arguments), Group: spec.Group, Flags: spec.Flags, Required: max(spec.Arity, -spec.Arity)}
}

// HelpFor describes the command that the words are; false when there is none.
func (s *Server) HelpFor(words []string) (Help, bool) {
	if len(words) == 0 {
		return Help{}, false
	}
	spec := find(s.table, []byte(words[0]))
	if spec == nil {
		return Help{}, false
	}
	if len(words) > 1 {
		if sub := spec.subcommand([]byte(words[1])); sub != nil {
			return helpOf(spec.Name+" ", sub), true
		}
	}
	return helpOf("", spec), spec.Handler != nil
}

// Credentials names the password in force without telling it; "" when there is none.
func (s *Server) Credentials() string {
	hash, set := s.config.passwordHash()
	if !set {
		return ""
	}
	again := sha256.Sum256(hash[:])
	return hex.EncodeToString(again[:])
}

// Denies tells whether protected mode keeps clients at this address out.
func (s *Server) Denies(remote net.Addr) bool { return s.deniesAddress(remote) }

// Tapped is one command as a tap is shown it. The arguments alias the read buffer.
type Tapped struct {
	Client uint64
	Name   string
	Addr   net.Addr
	Args   [][]byte
}

// DoorCounters are those of the door without the process' own connections.
func (s *Server) DoorCounters() resp.Counters {
	c := s.door.Counters()
	c.Connected = max(c.Connected-s.own.open.Load(), 0)
	c.Accepted -= min(uint64(s.own.accepted.Load()), c.Accepted)
	return c
}

// SetTap lets a function see every command that is run, but those of the dashboard itself; nil ends it. The function is called
// on the connections' goroutines and must not block.
func (s *Server) SetTap(see func(Tapped)) {
	if see == nil {
		s.tap.Store(nil)
		return
	}
	s.tap.Store(&see)
}

// Secret tells whether the arguments of a command may hold a password.
func (s *Server) Secret(args [][]byte) bool {
	spec := s.resolve(args)
	if spec == nil || spec.Secret == nil {
		return false
	}
	for i := range args {
		if spec.Secret(args, i) {
			return true
		}
	}
	return false
}

// NamingWords is how many words of a command, its name among them, tell what it is about and hold no payload or value.
func (s *Server) NamingWords(name []byte) int {
	spec := find(s.table, name)
	if spec == nil || len(spec.Arguments) > 0 && spec.Arguments[0].Name == "message" {
		return 1
	}
	return 2
}

// sampleEvery is how many measured commands a connection runs at least from one sample of their latency to the next.
const sampleEvery = 64

// Activity is a snapshot of what the commands have counted since the start.
type Activity struct {
	Commands, Rejected uint64
	Errors             uint64 // error replies, those of rejected commands among them
	Measured           uint64 // commands of the families that are measured
	// Entries of streams that were given to readers and consumers, and acknowledged.
	StreamRead, StreamAcked uint64
	Latency                 latency.Counts // a sample of those
}

// Activity reads the counters.
func (s *Server) Activity() (a Activity) {
	a.Commands, a.Rejected, a.Measured = s.counters.commands.Load(), s.counters.rejected.Load(), s.counters.measured.Load()
	a.Errors = s.errors.total.Load()
	a.StreamRead, a.StreamAcked = s.counters.streamRead.Load(), s.counters.streamAcked.Load()
	a.Latency = s.latencies.Counts()
	return a
}

// Peer is one connection as a dashboard lists it.
type Peer struct {
	ID                uint64
	Name, Addr, User  string
	Age, Idle         time.Duration
	Library           string // with its version
	Command           string // the last one
	Database          int
	Subscriptions     int
	BytesIn, BytesOut uint64
	Protocol          int
}

// Peers lists the connections in the order they came, without the process' own.
func (s *Server) Peers() (peers []Peer) {
	now := s.Clock.Now()
	s.eachConn(func(c *resp.Conn) {
		session := s.sessions.get(c.ID())
		if session == nil || isOwn(c.RemoteAddr()) {
			return
		}
		stats := c.Stats()
		peer := Peer{ID: c.ID(), Addr: c.RemoteAddr().String(), User: session.User, Age: now.Sub(c.Created()), Idle: max(0, now.Sub(c.LastCommand())),
			BytesIn: stats.BytesIn, BytesOut: stats.BytesOut}
		if spec := session.last.Load(); spec != nil {
			peer.Command = spec.full
		}
		shown := &session.shown
		shown.Lock()
		channels, patterns, shards := shown.bus.counts()
		peer.Name, peer.Database, peer.Protocol, peer.Subscriptions = shown.name, shown.database, max(shown.proto, 2), channels+patterns+shards
		peer.Library = strings.TrimSpace(shown.libraryName + " " + shown.libraryVersion)
		shown.Unlock()
		peers = append(peers, peer)
	})
	return peers
}

// SlowCommand is an entry of the slow log.
type SlowCommand struct {
	ID           int64
	At           time.Time
	Took         time.Duration
	Args         []string
	Client, Name string
}

// SlowCommands lists the slow log, newest first.
func (s *Server) SlowCommands() (list []SlowCommand) {
	for _, e := range s.slow.newest(-1) {
		list = append(list, SlowCommand{e.id, e.at, e.took, e.args, e.client, e.name})
	}
	return list
}

// ParsePosition reads a place in a stream as the native commands take it.
func ParsePosition(text string) (stream.Position, error) { return parsePosition([]byte(text)) }

// StreamFields are the names and values of a stream's configuration, as XCONF GET tells them.
func StreamFields(c stream.Config) (list [][2]string) {
	for _, f := range streamFields(c) {
		list = append(list, [2]string{f.name, fmt.Sprint(f.value)})
	}
	return list
}
