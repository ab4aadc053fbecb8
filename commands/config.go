package commands

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/resp"
)

// Config is what the process decides for the commands.
type Config struct {
	Password        string // "" is none
	ProtectedMode   bool
	EnableDebug     bool
	MaxClients      int
	MaxMemory       int64
	MaxMemoryRule   string // maxmemory-policy
	BulkMax         int64  // proto-max-bulk-len
	QueryBufferMax  int64  // client-query-buffer-limit
	ClientMemory    int64  // maxmemory-clients
	Port            int
	Bind            string
	UnixSocket      string
	DataDirectory   string
	Fsync           string         // always, interval, never: of queues, streams and retained messages
	StoreDurability string         // always, interval; "" and none keep the store in memory alone
	Timeout         time.Duration  // after which the door closes idle connections; 0 never
	LogLevel        *slog.LevelVar // of the process' log; nil when it cannot be changed
	RetainedTTL     time.Duration  // expiry of retained messages that say none; 0: none
	// Loading tells how far the logs are when the brokers come later, with Loaded; nil when New is given them.
	Loading func() Progress
}

// settings are the parameters of CONFIG GET and CONFIG SET, and what of them is in force.
type settings struct {
	debug    bool
	password atomic.Pointer[[sha256.Size]byte] // nil: none
	guard    atomic.Bool                       // protected mode asked for
	table    map[string]*setting               // by name and by alias
	names    []string                          // of both kinds, in order

	mu     sync.Mutex
	values map[*setting]string
}

func newSettings(c Config) *settings {
	s := &settings{debug: c.EnableDebug, table: map[string]*setting{}, values: map[*setting]string{}}
	s.guard.Store(c.ProtectedMode)
	s.setPassword(c.Password)
	for _, one := range settingTable(c) {
		for _, name := range append([]string{one.name}, one.aliases...) {
			if s.table[name] != nil {
				panic("BUG: two parameters are named " + name)
			}
			s.table[name] = &one
			s.names = append(s.names, name)
		}
		s.values[&one] = one.value
	}
	slices.Sort(s.names)
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (s *settings) setPassword(password string) {
	if password == "" {
		s.password.Store(nil)
		return
	}
	hash := sha256.Sum256([]byte(password))
	s.password.Store(&hash)
}

func (s *settings) passwordSet() bool { return s.password.Load() != nil }
func (s *settings) protected() bool   { return s.guard.Load() && !s.passwordSet() }

func (s *settings) passwordHash() (hash [sha256.Size]byte, set bool) {
	if p := s.password.Load(); p != nil {
		return *p, true
	}
	return hash, false
}

// matching returns the parameters whose names match one of the patterns, by name. The password is never told.
func (s *settings) matching(patterns [][]byte) (names []string, values map[string]string, err error) {
	globs := make([]*brokers.Glob, len(patterns))
	for i, pattern := range patterns {
		globs[i] = brokers.NewGlob(strings.ToLower(string(pattern)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	values = map[string]string{}
	for _, known := range s.names {
		for i, pattern := range patterns {
			matches := globs[i].Match(known)
			if err := globs[i].Err(); err != nil {
				return nil, nil, err
			}
			if matches {
				name := known
				if strings.EqualFold(string(pattern), name) {
					name = string(pattern) // as the client wrote it
				}
				names = append(names, name)
				values[name] = s.values[s.table[known]]
				break
			}
		}
	}
	slices.Sort(names)
	return names, values, nil
}

func configGet(ctx *Context, args [][]byte) {
	names, values, err := ctx.Server.config.matching(args[2:])
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Map(len(names))
	for _, name := range names {
		ctx.W.BulkString(name)
		ctx.W.BulkString(values[name])
	}
}

// configSet changes all the parameters or none, as Redis does.
func configSet(ctx *Context, args [][]byte) {
	if len(args)%2 != 0 {
		ctx.fail(errSyntax)
		return
	}
	s := ctx.Server.config
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []settingChange
	for i := 2; i < len(args); i += 2 {
		name := strings.ToLower(string(args[i]))
		setting := s.table[name]
		if setting == nil {
			ctx.W.Error(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", shorten(args[i])))
			return
		}
		change := settingChange{name: name, setting: setting}
		var err error
		if slices.ContainsFunc(changes, func(c settingChange) bool { return c.name == name }) {
			err = errDuplicate
		} else {
			change.value, err = setting.prepare(s.values[setting], string(args[i+1]))
		}
		if err != nil {
			ctx.W.Error(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %v", name, err))
			return
		}
		changes = append(changes, change)
	}
	for _, change := range changes {
		if change.setting.apply != nil {
			change.setting.apply(ctx.Server, change.value)
		}
		if !change.setting.secret {
			s.values[change.setting] = change.value
		}
	}
	ctx.W.OK()
}

// settingChange is a change that was checked: applying it cannot fail.
type settingChange struct {
	name    string // as it was given, which may be an alias
	setting *setting
	value   string
}

func (s *Server) onDoor(change func(door *resp.Server)) {
	if s.door != nil {
		change(s.door)
	}
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
