package commands

import "time"

// What the tests of the whole server look at beneath what the package offers.
const (
	NameMax         = nameMax
	PaceKept        = paceKept
	WrongPassText   = wrongPassText
	LoginsAtOnce    = wrongLoginsAtOnce
	LoginsPerSecond = wrongLoginsPerSecond
)

func (s *Server) Table() map[string]*Spec { return s.table }

func (s *Server) Sorted() []*Spec { return s.sorted() }

func (spec *Spec) FullName() string { return spec.full }

func (spec *Spec) Subcommand(word string) *Spec { return spec.subcommand([]byte(word)) }

// Times tells what the calls of a command took, in microseconds.
func (spec *Spec) Times() (total uint64, perCall float64) { return spec.stats.micros() }

// Usage writes arguments as a person types them.
func Usage(arguments []Argument) string { return usage(arguments) }

func (s *Settings) Named(name string) *Setting { return s.table[name] }

// PaceIsMeasured tells whether the commands of a second are counted now.
func (s *Server) PaceIsMeasured() bool {
	s.pace.mu.Lock()
	defer s.pace.mu.Unlock()
	return s.pace.running
}

// AddCommands counts commands as connections do.
func (s *Server) AddCommands(n uint64) { s.counters.commands.Add(n) }

// PauseLeft tells how long a pause lasts, and whether it is of writes only.
func (s *Server) PauseLeft() (left time.Duration, writes bool) {
	left, _, writes = s.pause.remaining(s.Clock.Now())
	return left, writes
}

// WordsOfErrors are the code words in the order of the list.
func WordsOfErrors() (words []string) {
	for _, e := range errorWords {
		words = append(words, e.word)
	}
	return words
}
