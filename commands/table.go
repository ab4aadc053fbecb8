package commands

import (
	"slices"
	"strings"
)

// Family is a set of commands that work on the same thing.
type Family struct {
	Specs []Spec
	// MakeRoom is asked before a command runs that may be refused for want of memory (DenyOOM): it makes room, or says why there is
	// none. Of a family without it no command has the flag.
	MakeRoom func() error
	// Measured families have their calls counted by themselves, and a sample of them timed.
	Measured bool
}

// families are all of the server's.
func (s *Server) families() []Family {
	return []Family{
		{Specs: s.connectionSpecs()}, {Specs: s.serverSpecs()}, {Specs: s.introspectionSpecs()}, {Specs: s.diagnosisSpecs()},
		{
			Specs:    slices.Concat(s.genericSpecs(), s.stringSpecs(), s.storeSpecs()),
			MakeRoom: func() error { return s.Store.MakeRoom() }, Measured: true,
		},
		{Specs: s.pubsubSpecs()}, {Specs: s.busSpecs()}, {Specs: s.queueSpecs()}, {Specs: s.streamSpecs()},
	}
}

// described says of the commands, and their subcommands, what they have in common and do not say themselves.
func described(specs []Spec, group, since, categories string) []Spec {
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
		described(spec.Subcommands, spec.Group, spec.Since, categories)
	}
	return specs
}

// add takes the commands of a family into the table. A mistake in their descriptions is a mistake of the program and panics.
func (s *Server) add(family *Family) {
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
