package commands

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Section is a part of INFO. Families may add lines to the same one.
type Section struct {
	Name, Title  string
	Write        func(line Line)
	OnDemand     bool // told only when it or everything is asked for
	NeedsBrokers bool // empty until they are there
}

// Line writes one line of a section.
type Line func(format string, args ...any)

// Sections are those of INFO, in order.
func (s *Server) Sections() []Section { return s.sections }

func (s *Server) addSections(added []Section) {
	for _, one := range added {
		write := one.Write
		if whole := one.Write; one.NeedsBrokers {
			write = func(line Line) {
				if _, loading := s.Loading(); !loading {
					whole(line)
				}
			}
		}
		at := slices.IndexFunc(s.sections, func(known Section) bool { return known.Name == one.Name })
		if at < 0 {
			one.Write = write
			s.sections = append(s.sections, one)
			continue
		}
		before := s.sections[at].Write
		s.sections[at].Write = func(line Line) {
			before(line)
			write(line)
		}
	}
}

// ownFamily is what the table tells of itself, and the parameters of its gates.
func (s *Server) ownFamily() *Family {
	return &Family{
		Specs: s.introspectionSpecs(),
		Settings: []Setting{
			{Name: "requirepass", Secret: true, Apply: func(_ *Server, value string) { s.access.setPassword(value) }},
			{Name: "protected-mode", Value: map[bool]string{true: "yes", false: "no"}[s.access.guard.Load()], Check: YesOrNo,
				Apply: func(_ *Server, value string) { s.access.guard.Store(value == "yes") }},
			{Name: "slowlog-log-slower-than", Value: strconv.Itoa(slowerThanDefault), Check: WholeNumber(-1, math.MaxInt64),
				Apply: func(_ *Server, value string) { s.SlowLog.setThreshold(int64(Parsed(value))) }},
			{Name: "slowlog-max-len", Value: strconv.Itoa(slowEntriesDefault), Check: WholeNumber(0, slowEntriesMax),
				Apply: func(_ *Server, value string) { s.SlowLog.setMax(Parsed(value)) }},
		},
		Sections: []Section{
			{Name: "commandstats", Title: "Commandstats", Write: s.infoCommands, OnDemand: true},
			{Name: "errorstats", Title: "Errorstats", Write: s.infoErrors},
		},
		ResetStatistics: s.resetCounters,
	}
}

// infoCommands tells of every command that was called, subcommands by themselves.
func (s *Server) infoCommands(line Line) {
	s.eachSpec(func(spec *Spec) {
		stats := spec.stats
		calls, rejected := stats.calls.Load(), stats.rejected.Load()
		if calls+rejected > 0 {
			micros, perCall := stats.micros()
			line("cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
				spec.full, calls, micros, perCall, rejected, stats.failed.Load())
		}
	})
}

func (s *Server) infoErrors(line Line) {
	counts := s.errors.snapshot()
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		line("errorstat_%s:count=%d", code, counts[code])
	}
}

// ResetStatistics sets the counters of INFO to zero.
func (s *Server) ResetStatistics() {
	for _, family := range s.families {
		if family.ResetStatistics != nil {
			family.ResetStatistics()
		}
	}
}

func (s *Server) resetCounters() {
	s.counters.commands.Store(0)
	s.counters.rejected.Store(0)
	s.errors.reset()
	s.eachSpec(func(spec *Spec) { spec.stats.reset() })
}

// HumanBytes writes a number of bytes as INFO does for people: 1.50M.
func HumanBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	size, units := float64(n), "KMGTP"
	for size /= 1024; size >= 1024 && len(units) > 1; size /= 1024 {
		units = units[1:]
	}
	return fmt.Sprintf("%.2f%c", size, units[0])
}
