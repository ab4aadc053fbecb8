package commands

import (
	"crypto/sha256"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	Fsync         string // always, interval, never
}

// settings are the parameters of CONFIG GET and CONFIG SET. Those that mean something here are applied; the other tunables
// of Redis are remembered, since tools and client libraries set them and stop at an error.
type settings struct {
	apply func(name, value string) error

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
		"timeout": "0", "tcp-keepalive": "60", "requirepass": "", "protected-mode": yesNo(c.ProtectedMode), "proto-max-bulk-len": "33554432",
		"notify-keyspace-events": "", "lua-time-limit": "5000", "slowlog-log-slower-than": "10000", "slowlog-max-len": "128",
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
			if queueNameMatches(strings.ToLower(string(pattern)), name) {
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

func configSet(ctx *Context, args [][]byte) {
	if len(args)%2 != 0 {
		ctx.fail(errSyntax)
		return
	}
	s := ctx.Server.config
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 2; i < len(args); i += 2 {
		name := strings.ToLower(string(args[i]))
		if _, known := s.values[name]; !known {
			ctx.W.Error(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", shorten(args[i])))
			return
		}
		for _, fixed := range fixedSettings {
			if name == fixed {
				ctx.W.Error(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - can't set immutable config", name))
				return
			}
		}
	}
	for i := 2; i < len(args); i += 2 {
		name, value := strings.ToLower(string(args[i])), string(args[i+1])
		if err := s.apply(name, value); err != nil {
			ctx.W.Error(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %v", name, err))
			return
		}
		if name == "requirepass" {
			value = ""
		}
		s.values[name] = value
	}
	ctx.W.OK()
}

// applySetting makes a parameter that means something here take effect.
func (s *Server) applySetting(name, value string) error {
	switch name {
	case "maxmemory":
		bytes, err := ParseBytes(value)
		if err != nil {
			return fmt.Errorf("argument must be a memory value")
		}
		s.Store.SetMaxMemory(bytes)
	case "maxmemory-policy":
		return s.Store.SetMaxMemoryPolicy(value)
	case "maxclients":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("argument must be between 1 and 1000000 inclusive")
		}
		if s.door != nil {
			s.door.SetMaxClients(n)
		}
	case "requirepass":
		s.config.setPassword(value)
	case "protected-mode":
		if value != "yes" && value != "no" {
			return fmt.Errorf("argument must be 'yes' or 'no'")
		}
		s.config.guard.Store(value == "yes")
	}
	return nil
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
