package commands

import (
	"strings"
)

// Family is a set of commands that work on the same thing, and what else they bring to the server. What is nil is not needed.
type Family struct {
	Specs []Spec
	// MakeRoom is asked before a command runs that may be refused for want of memory (DenyOOM): it makes room, or says why there is
	// none. Of a family without it no command has the flag.
	MakeRoom func() error
	// Measured families have their calls counted by themselves, and a sample of them timed.
	Measured bool

	// Flush is called when a batch of commands is over, Reset by RESET, Closed when the connection has gone; on its goroutine.
	Flush, Reset, Closed func(ctx *Context)
	// Shown tells what others may know of a state that the family keeps. Any goroutine.
	Shown func(state any) Shown

	Settings        []Setting // of CONFIG
	Sections        []Section // of INFO
	ResetStatistics func()    // CONFIG RESETSTAT

	server *Server
	index  int // of its state in a session
}

// Server is the one that the family belongs to, once it was made.
func (f *Family) Server() *Server { return f.server }

// familiesMax is how many there may be.
const familiesMax = 8

// Described says of the commands, and their subcommands, what they have in common and do not say themselves.
func Described(specs []Spec, group, since, categories string) []Spec {
	for i := range specs {
		spec := &specs[i]
		if spec.Group == "" {
			spec.Group = group
		}
		if spec.Since == "" {
			spec.Since = since
		}
		if spec.Categories == "" && spec.Handler != nil {
			spec.Categories = categories
		}
		Described(spec.Subcommands, spec.Group, spec.Since, categories)
	}
	return specs
}

// add takes a family into the server.
func (s *Server) add(family *Family) {
	if family.index = len(s.families); family.index == familiesMax {
		panic("BUG: there is no place for another family of commands")
	}
	family.server = s
	s.families = append(s.families, family)
	if family.Flush != nil {
		s.flushes = append(s.flushes, family.Flush)
	}
	s.Settings.add(family.Settings)
	s.addSections(family.Sections)
	for _, spec := range family.Specs {
		if s.table[spec.Name] != nil {
			panic("BUG: two commands are named " + spec.Name)
		}
		spec.prepare("", family)
		s.table[spec.Name] = &spec
	}
}

// prepare works out what is known of a command once the table is made; the prefix is the name of its command and a bar when it is
// a subcommand.
func (spec *Spec) prepare(prefix string, family *Family) {
	spec.full = prefix + spec.Name
	if spec.Name != strings.ToLower(spec.Name) || len(spec.Name) > nameMax || spec.Summary == "" || spec.Group == "" || spec.Arity == 0 ||
		spec.Handler == nil && spec.Subcommands == nil {
		panic("BUG: the description of command " + spec.full + " is incomplete")
	}
	spec.stats = new(commandStats)
	spec.measured = family.Measured
	if spec.Flags&DenyOOM != 0 {
		if family.MakeRoom == nil {
			panic("BUG: nobody makes room for command " + spec.full)
		}
		spec.makeRoom = family.MakeRoom
	}
	spec.long = spec.Flags&(Fast|Blocking) == 0 && !spec.Untimed
	if spec.Runs == byFast {
		if spec.Runs = Beside; spec.Flags&Fast != 0 {
			spec.Runs = InLoop
		}
	}
	for i := range spec.Subcommands {
		spec.Subcommands[i].prepare(spec.Name+"|", family)
	}
}

// GatedUnlessSaid lets what queues and streams do at length take a slot of the gate, but for what says where it runs.
func GatedUnlessSaid(specs []Spec) []Spec {
	for i := range specs {
		if spec := &specs[i]; spec.Runs == byFast && spec.Flags&Fast == 0 {
			spec.Runs = Gated
		}
		GatedUnlessSaid(specs[i].Subcommands)
	}
	return specs
}
