package commands

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

// Config is what the process decides for the commands.
type Config struct {
	Password      string // "" is none
	ProtectedMode bool
	EnableDebug   bool
	MaxClients    int
	MaxMemory     int64
	MaxMemoryRule string // maxmemory-policy
	Port          int
	Bind          string
	DataDirectory string
	Fsync         string        // always, interval, never
	Timeout       time.Duration // after which the door closes idle connections; 0 never
}

// settings are the parameters of CONFIG GET and CONFIG SET. Those that mean something here are applied; the other tunables
// of Redis are remembered, since tools and client libraries set them and stop at an error.
type settings struct {
	debug    bool
	password atomic.Pointer[[sha256.Size]byte] // nil: none
	guard    atomic.Bool                       // protected mode asked for

	mu     sync.Mutex
	values map[string]string
}

// fixedSettings are told by CONFIG GET and refused by CONFIG SET: they name files or are set when the process starts.
var fixedSettings = []string{"dir", "dbfilename", "port", "bind", "databases", "appendfilename", "logfile", "pidfile", "unixsocket"}

func newSettings(c Config) *settings {
	s := &settings{debug: c.EnableDebug}
	s.guard.Store(c.ProtectedMode)
	s.setPassword(c.Password)
	appendonly := "yes"
	s.values = map[string]string{
		"save": "", "appendonly": appendonly, "appendfsync": map[string]string{"always": "always", "interval": "everysec", "never": "no"}[c.Fsync],
		"maxmemory": strconv.FormatInt(c.MaxMemory, 10), "maxmemory-policy": c.MaxMemoryRule, "maxclients": strconv.Itoa(c.MaxClients),
		"databases": strconv.Itoa(databases), "port": strconv.Itoa(c.Port), "bind": c.Bind, "dir": c.DataDirectory, "dbfilename": "",
		"timeout": strconv.Itoa(int(c.Timeout.Seconds())), "tcp-keepalive": "60", "requirepass": "", "protected-mode": yesNo(c.ProtectedMode), "proto-max-bulk-len": "33554432",
		"notify-keyspace-events": "", "lua-time-limit": "5000", "slowlog-log-slower-than": strconv.Itoa(slowerThanDefault), "slowlog-max-len": strconv.Itoa(slowEntriesDefault),
		"list-max-listpack-size": "-2", "list-max-ziplist-size": "-2", "list-compress-depth": "0", "hash-max-listpack-entries": "128",
		"hash-max-ziplist-entries": "128", "hash-max-listpack-value": "64", "hash-max-ziplist-value": "64", "set-max-intset-entries": "512",
		"set-max-listpack-entries": "128", "zset-max-listpack-entries": "128", "zset-max-ziplist-entries": "128", "zset-max-listpack-value": "64",
		"zset-max-ziplist-value": "64", "stream-node-max-entries": "100", "stream-node-max-bytes": "4096", "maxmemory-samples": "5",
		"lfu-log-factor": "10", "lfu-decay-time": "1", "activedefrag": "no", "latency-monitor-threshold": "0", "hz": "10",
		"lazyfree-lazy-eviction": "no", "lazyfree-lazy-expire": "no", "lazyfree-lazy-server-del": "no", "replica-read-only": "yes",
		"slave-read-only": "yes", "appendfilename": "", "logfile": "", "pidfile": "", "unixsocket": "",
	}
	if s.values["maxmemory-policy"] == "" {
		s.values["maxmemory-policy"] = "noeviction"
	}
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
func (s *settings) matching(patterns [][]byte) (names []string, values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	values = map[string]string{}
	for name, value := range s.values {
		for _, pattern := range patterns {
			if brokers.MatchGlob(strings.ToLower(string(pattern)), name) {
				if strings.EqualFold(string(pattern), name) {
					name = string(pattern) // as the client wrote it
				}
				names = append(names, name)
				values[name] = value
				break
			}
		}
	}
	sort.Strings(names)
	return names, values
}

func configGet(ctx *Context, args [][]byte) {
	names, values := ctx.Server.config.matching(args[2:])
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
		current, known := s.values[name]
		if !known {
			ctx.W.Error(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", shorten(args[i])))
			return
		}
		err := errImmutable
		change := settingChange{name: name}
		switch {
		case slices.Contains(fixedSettings, name):
		case slices.ContainsFunc(changes, func(c settingChange) bool { return c.name == name }):
			err = errDuplicate
		default:
			change.value, change.apply, err = ctx.Server.prepareSetting(name, current, string(args[i+1]))
		}
		if err != nil {
			ctx.W.Error(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %v", name, err))
			return
		}
		changes = append(changes, change)
	}
	for _, change := range changes {
		if change.apply != nil {
			change.apply()
		}
		s.values[change.name] = change.value
	}
	ctx.W.OK()
}

// settingChange is a change that was checked: applying it cannot fail.
type settingChange struct {
	name, value string
	apply       func() // nil when the value is only remembered
}

var (
	errImmutable  = errors.New("can't set immutable config")
	errDuplicate  = errors.New("duplicate parameter")
	errNotYesOrNo = errors.New("argument must be 'yes' or 'no'")
)

// prepareSetting checks a new value. It returns the value as CONFIG GET will tell it, and what makes it take effect.
func (s *Server) prepareSetting(name, current, given string) (value string, apply func(), err error) {
	number := func(least, most int64) (n int64) {
		if n, err = strconv.ParseInt(given, 10, 64); err != nil {
			err = errors.New("argument couldn't be parsed into an integer")
		} else if n < least || n > most {
			err = fmt.Errorf("argument must be between %d and %d inclusive", least, most)
		}
		return n
	}
	switch name {
	case "maxmemory":
		bytes, problem := ParseBytes(given)
		if problem != nil {
			return "", nil, errors.New("argument must be a memory value")
		}
		return strconv.FormatInt(bytes, 10), func() { s.Store.SetMaxMemory(bytes) }, nil
	case "maxmemory-policy":
		policy := strings.ToLower(given)
		if _, err := store.ParsePolicy(policy); err != nil {
			return "", nil, err
		}
		return policy, func() { _ = s.Store.SetMaxMemoryPolicy(policy) }, nil
	case "maxclients":
		n := number(1, 1_000_000)
		return given, func() { s.onDoor(func(door *resp.Server) { door.SetMaxClients(int(n)) }) }, err
	case "timeout":
		n := number(0, math.MaxInt32)
		return given, func() { s.onDoor(func(door *resp.Server) { door.SetIdleTimeout(time.Duration(n) * time.Second) }) }, err
	case "slowlog-log-slower-than":
		n := number(-1, math.MaxInt64)
		return given, func() { s.slow.slowerThan.Store(n) }, err
	case "slowlog-max-len":
		n := number(0, slowEntriesMax)
		return given, func() { s.slow.setMax(int(n)) }, err
	case "requirepass":
		return "", func() { s.config.setPassword(given) }, nil // never told
	case "protected-mode":
		value, err = yesOrNo(given)
		return value, func() { s.config.guard.Store(value == "yes") }, err
	}
	// What Redis tunes and we do not have is remembered, if it is of the kind that it was.
	if current == "yes" || current == "no" {
		value, err = yesOrNo(given)
		return value, nil, err
	}
	if _, problem := strconv.ParseInt(current, 10, 64); problem == nil {
		if bytes, problem := ParseBytes(given); problem == nil {
			return strconv.FormatInt(bytes, 10), nil, nil
		}
		number(math.MinInt64, math.MaxInt64)
	}
	return given, nil, err
}

func (s *Server) onDoor(change func(door *resp.Server)) {
	if s.door != nil {
		change(s.door)
	}
}

func yesOrNo(word string) (string, error) {
	if lower := strings.ToLower(word); lower == "yes" || lower == "no" {
		return lower, nil
	}
	return "", errNotYesOrNo
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
