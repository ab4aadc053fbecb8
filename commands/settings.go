package commands

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nexobroker/nexo/brokers"
)

// Setting describes one parameter of CONFIG, under Redis' name. It is the only place where one is described: CONFIG GET, CONFIG
// SET and the dashboard read it.
type Setting struct {
	Name    string
	Aliases []string // Redis' older names of the same
	Value   string   // at the start
	Effect  Effect
	Secret  bool // CONFIG GET tells nothing

	Check func(given string) (value string, err error) // its grammar, as Redis has it; nil takes any text
	Apply func(s *Server, value string)                // makes a checked value act
	Why   string                                       // why a constant one is
}

// Effect is what setting a parameter does.
type Effect uint8

const (
	// Acting parameters take effect at once.
	Acting Effect = iota
	// Remembered ones tune encodings that Redis has and this server has not: what is set is told, and nothing else comes of it.
	// Tools and client libraries set them and stop at an error.
	Remembered
	// Constant ones tell what the server does; setting them to anything else is refused, since it would not act.
	Constant
	// Fixed ones are decided when the process starts.
	Fixed
)

var (
	errImmutable  = errors.New("can't set immutable config")
	errDuplicate  = errors.New("duplicate parameter")
	errNotYesOrNo = errors.New("argument must be 'yes' or 'no'")
)

// prepare checks a new value and returns it as CONFIG GET will tell it.
func (s *Setting) prepare(current, given string) (value string, err error) {
	if s.Effect == Fixed {
		return "", errImmutable
	}
	value = given
	if s.Check != nil {
		if value, err = s.Check(given); err != nil {
			return "", err
		}
	}
	if s.Effect == Constant && value != current {
		return "", fmt.Errorf("it is always '%s' here: %s", current, s.Why)
	}
	return value, nil
}

// Settings are the parameters of CONFIG GET and CONFIG SET.
type Settings struct {
	table map[string]*Setting // by name and by alias
	names []string            // of both kinds, in order

	mu     sync.Mutex // held while values are changed and made to act
	values map[*Setting]string
}

func (s *Settings) add(all []Setting) {
	if s.table == nil {
		s.table, s.values = map[string]*Setting{}, map[*Setting]string{}
	}
	for _, one := range all {
		for _, name := range append([]string{one.Name}, one.Aliases...) {
			if s.table[name] != nil {
				panic("BUG: two parameters are named " + name)
			}
			s.table[name] = &one
			s.names = append(s.names, name)
		}
		s.values[&one] = one.Value
	}
}

func (s *Settings) sort() { slices.Sort(s.names) }

// NamedValue is a parameter as CONFIG GET tells it.
type NamedValue struct{ Name, Value string }

// Matching returns the parameters whose names match one of the patterns, by name. The password is never told.
func (s *Settings) Matching(patterns [][]byte) (found []NamedValue, err error) {
	globs := make([]*brokers.Glob, len(patterns))
	for i, pattern := range patterns {
		globs[i] = brokers.NewGlob(strings.ToLower(string(pattern)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.names {
		for i, pattern := range patterns {
			matches := globs[i].Match(known)
			if err := globs[i].Err(); err != nil {
				return nil, err
			}
			if matches {
				name := known
				if strings.EqualFold(string(pattern), name) {
					name = string(pattern) // as the client wrote it
				}
				found = append(found, NamedValue{name, s.values[s.table[known]]})
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b NamedValue) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// settingChange is a change that was checked: applying it cannot fail.
type settingChange struct {
	name    string // as it was given, which may be an alias
	setting *Setting
	value   string
}

// Configure changes all of the parameters or none, as Redis does; names and values stand in turn.
func (server *Server) Configure(pairs [][]byte) error {
	s := &server.Settings
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []settingChange
	for i := 0; i+1 < len(pairs); i += 2 {
		name := strings.ToLower(string(pairs[i]))
		setting := s.table[name]
		if setting == nil {
			return brokers.Errorf("ERR", "Unknown option or number of arguments for CONFIG SET - '%s'", Shorten(pairs[i]))
		}
		change := settingChange{name: name, setting: setting}
		var err error
		if slices.ContainsFunc(changes, func(c settingChange) bool { return c.name == name }) {
			err = errDuplicate
		} else {
			change.value, err = setting.prepare(s.values[setting], string(pairs[i+1]))
		}
		if err != nil {
			return brokers.Errorf("ERR", "CONFIG SET failed (possibly related to argument '%s') - %v", name, err)
		}
		changes = append(changes, change)
	}
	for _, change := range changes {
		if change.setting.Apply != nil {
			change.setting.Apply(server, change.value)
		}
		if !change.setting.Secret {
			s.values[change.setting] = change.value
		}
	}
	return nil
}

// Value is that of one parameter.
func (s *Settings) Value(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[s.table[name]]
}

// ShownSetting is a parameter as a dashboard lists it.
type ShownSetting struct {
	Name, Value string
	// Mutable tells whether CONFIG SET of it acts: whoever offers to change parameters offers these.
	Mutable bool
	// Note says why setting another one changes nothing; "" for those that act or name what the process was started with.
	Note string
}

// List lists the parameters by name, without Redis' older names and without the password.
func (s *Settings) List() (list []ShownSetting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.names {
		one := s.table[name]
		if one.Name != name {
			continue
		}
		shown := ShownSetting{Name: name, Value: s.values[one], Mutable: one.Effect == Acting, Note: one.Why}
		if one.Effect == Remembered {
			shown.Note = "an encoding of Redis, which this server has not"
		}
		list = append(list, shown)
	}
	return list
}

// WholeNumber, ByteCount, YesOrNo and OneWordOf are the grammars of values, with Redis' texts.
func WholeNumber(least, most int64) func(string) (string, error) {
	return func(given string) (string, error) {
		n, ok := ParseInt([]byte(given))
		if !ok {
			return "", errors.New("argument couldn't be parsed into an integer")
		}
		if n < least || n > most {
			return "", fmt.Errorf("argument must be between %d and %d inclusive", least, most)
		}
		return given, nil
	}
}

func ByteCount(given string) (string, error) {
	n, err := ParseBytes(given)
	if err != nil {
		return "", errors.New("argument must be a memory value")
	}
	return strconv.FormatInt(n, 10), nil
}

func YesOrNo(given string) (string, error) {
	if lower := strings.ToLower(given); lower == "yes" || lower == "no" {
		return lower, nil
	}
	return "", errNotYesOrNo
}

func OneWordOf(words ...string) func(string) (string, error) {
	return func(given string) (string, error) {
		if lower := strings.ToLower(given); slices.Contains(words, lower) {
			return lower, nil
		}
		return "", errors.New("argument(s) must be one of the following: " + strings.Join(words, ", "))
	}
}

// Parsed is the number that a checked value is.
func Parsed(value string) int {
	n, _ := strconv.Atoi(value)
	return n
}

// ParseBytes reads a number of bytes with an optional unit: k, m, g are powers of 1000, kb, mb, gb of 1024, as in Redis.
func ParseBytes(word string) (int64, error) {
	lower := strings.ToLower(strings.TrimSpace(word))
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		size   int64
	}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}} {
		if rest, ok := strings.CutSuffix(lower, u.suffix); ok {
			lower, unit = rest, u.size
			break
		}
	}
	n, err := strconv.ParseInt(lower, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a number of bytes, such as 1048576, 512mb or 4gb", word)
	}
	return n * unit, nil
}
