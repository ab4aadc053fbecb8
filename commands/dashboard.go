package commands

import (
	"net"
	"strings"

	"github.com/nexobroker/nexo/brokers/latency"
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
	return Help{Name: name, Summary: spec.Summary, Syntax: strings.ToUpper(name) + usage(spec.Arguments), Group: spec.Group,
		Flags: spec.Flags, Required: max(spec.Arity, -spec.Arity)}
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
	Errors             uint64         // error replies, those of rejected commands among them
	Measured           uint64         // commands of the families that are measured
	Latency            latency.Counts // a sample of those
}

// Activity reads the counters.
func (s *Server) Activity() (a Activity) {
	a.Commands, a.Rejected, a.Measured = s.counters.commands.Load(), s.counters.rejected.Load(), s.counters.measured.Load()
	a.Errors = s.errors.total.Load()
	a.Latency = s.latencies.Counts()
	return a
}
