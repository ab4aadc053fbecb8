package commands

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

// setting describes one parameter of CONFIG, under Redis' name. It is the only place where one is described: CONFIG GET, CONFIG
// SET and the dashboard read it.
type setting struct {
	name    string
	aliases []string // Redis' older names of the same
	value   string   // at the start
	effect  effect
	secret  bool // CONFIG GET tells nothing

	check func(given string) (value string, err error) // its grammar, as Redis has it; nil takes any text
	apply func(s *Server, value string)                // makes a checked value act
	why   string                                       // why a constant one is
}

// effect is what setting a parameter does.
type effect uint8

const (
	// acting parameters take effect at once.
	acting effect = iota
	// remembered ones tune encodings that Redis has and this server has not: what is set is told, and nothing else comes of it.
	// Tools and client libraries set them and stop at an error.
	remembered
	// constant ones tell what the server does; setting them to anything else is refused, since it would not act.
	constant
	// fixed ones are decided when the process starts.
	fixed
)

var (
	errImmutable  = errors.New("can't set immutable config")
	errDuplicate  = errors.New("duplicate parameter")
	errNotYesOrNo = errors.New("argument must be 'yes' or 'no'")
)

// prepare checks a new value and returns it as CONFIG GET will tell it.
func (s *setting) prepare(current, given string) (value string, err error) {
	if s.effect == fixed {
		return "", errImmutable
	}
	value = given
	if s.check != nil {
		if value, err = s.check(given); err != nil {
			return "", err
		}
	}
	if s.effect == constant && value != current {
		return "", fmt.Errorf("it is always '%s' here: %s", current, s.why)
	}
	return value, nil
}

// wholeNumber, byteCount, yesOrNo and oneWordOf are the grammars of values, with Redis' texts.
func wholeNumber(least, most int64) func(string) (string, error) {
	return func(given string) (string, error) {
		n, ok := parseInt([]byte(given))
		if !ok {
			return "", errors.New("argument couldn't be parsed into an integer")
		}
		if n < least || n > most {
			return "", fmt.Errorf("argument must be between %d and %d inclusive", least, most)
		}
		return given, nil
	}
}

func byteCount(given string) (string, error) {
	n, err := ParseBytes(given)
	if err != nil {
		return "", errors.New("argument must be a memory value")
	}
	return strconv.FormatInt(n, 10), nil
}

func yesOrNo(given string) (string, error) {
	if lower := strings.ToLower(given); lower == "yes" || lower == "no" {
		return lower, nil
	}
	return "", errNotYesOrNo
}

func oneWordOf(words ...string) func(string) (string, error) {
	return func(given string) (string, error) {
		if lower := strings.ToLower(given); slices.Contains(words, lower) {
			return lower, nil
		}
		return "", errors.New("argument(s) must be one of the following: " + strings.Join(words, ", "))
	}
}

func parsed(value string) int {
	n, _ := strconv.Atoi(value) // it was checked
	return n
}

// settingTable lists every parameter.
func settingTable(c Config) []setting {
	all := append(actingSettings(c), encodingSettings()...)
	all = append(all, constantSettings(c)...)
	return append(all, fixedSettings(c)...)
}

func actingSettings(c Config) []setting {
	policy := c.MaxMemoryRule
	if policy == "" {
		policy = store.NoEviction.String()
	}
	number := func(name, value string, least, most int64, apply func(s *Server, n int)) setting {
		return setting{name: name, value: value, check: wholeNumber(least, most), apply: func(s *Server, value string) {
			apply(s, parsed(value))
		}}
	}
	return []setting{
		{name: "maxmemory", value: strconv.FormatInt(c.MaxMemory, 10), check: byteCount, apply: func(s *Server, value string) {
			s.Store.SetMaxMemory(int64(parsed(value)))
		}},
		{name: "maxmemory-policy", value: policy, check: oneWordOf("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
			"allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"), apply: func(s *Server, value string) {
			if err := s.Store.SetMaxMemoryPolicy(value); err != nil {
				panic("BUG: the store does not know a policy that was checked: " + err.Error())
			}
		}},
		number("maxmemory-samples", strconv.Itoa(store.SamplesDefault), 1, store.SamplesMax, func(s *Server, n int) { s.Store.SetSampling(n) }),
		number("lfu-log-factor", strconv.Itoa(store.LogFactorDefault), 0, math.MaxInt32, func(s *Server, n int) { s.Store.SetLogFactor(n) }),
		number("lfu-decay-time", strconv.Itoa(store.DecayMinutesDefault), 0, math.MaxInt32, func(s *Server, n int) { s.Store.SetDecayMinutes(n) }),
		number("maxclients", strconv.Itoa(c.MaxClients), 1, 1_000_000, func(s *Server, n int) {
			s.onDoor(func(door *resp.Server) { door.SetMaxClients(n) })
		}),
		number("timeout", strconv.Itoa(int(c.Timeout.Seconds())), 0, math.MaxInt32, func(s *Server, n int) {
			s.onDoor(func(door *resp.Server) { door.SetIdleTimeout(time.Duration(n) * time.Second) })
		}),
		number("slowlog-log-slower-than", strconv.Itoa(slowerThanDefault), -1, math.MaxInt64, func(s *Server, n int) { s.slow.setThreshold(int64(n)) }),
		number("slowlog-max-len", strconv.Itoa(slowEntriesDefault), 0, slowEntriesMax, func(s *Server, n int) { s.slow.setMax(n) }),
		{name: "requirepass", secret: true, apply: func(s *Server, value string) { s.config.setPassword(value) }},
		{name: "protected-mode", value: yesNo(c.ProtectedMode), check: yesOrNo, apply: func(s *Server, value string) { s.config.guard.Store(value == "yes") }},
		logLevelSetting(c.LogLevel),
	}
}

// logLevels are Redis' words for how much is logged, and what they stand for here.
var logLevels = []struct {
	word  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"verbose", slog.LevelDebug + 2}, {"notice", slog.LevelInfo}, {"warning", slog.LevelWarn}}

func logLevelSetting(level *slog.LevelVar) setting {
	if level == nil {
		return setting{name: "loglevel", value: "notice", effect: constant, check: oneWordOf("debug", "verbose", "notice", "warning"),
			why: "this server's log is its caller's"}
	}
	one := setting{name: "loglevel", value: strings.ToLower(level.Level().String())}
	var words []string
	for _, known := range logLevels {
		words = append(words, known.word)
		if known.level == level.Level() {
			one.value = known.word
		}
	}
	one.check = oneWordOf(words...)
	one.apply = func(_ *Server, value string) {
		for _, known := range logLevels {
			if known.word == value {
				level.Set(known.level)
			}
		}
	}
	return one
}

func encodingSettings() []setting {
	tunable := func(value string, check func(string) (string, error), name string, aliases ...string) setting {
		return setting{name: name, aliases: aliases, value: value, effect: remembered, check: check}
	}
	count := wholeNumber(0, math.MaxInt64)
	return []setting{
		tunable("-2", wholeNumber(math.MinInt32, math.MaxInt32), "list-max-listpack-size", "list-max-ziplist-size"),
		tunable("0", wholeNumber(0, math.MaxInt32), "list-compress-depth"),
		tunable("512", count, "hash-max-listpack-entries", "hash-max-ziplist-entries"),
		tunable("64", byteCount, "hash-max-listpack-value", "hash-max-ziplist-value"),
		tunable("512", count, "set-max-intset-entries"),
		tunable("128", count, "set-max-listpack-entries"),
		tunable("64", byteCount, "set-max-listpack-value"),
		tunable("128", count, "zset-max-listpack-entries", "zset-max-ziplist-entries"),
		tunable("64", byteCount, "zset-max-listpack-value", "zset-max-ziplist-value"),
		tunable("100", count, "stream-node-max-entries"),
		tunable("4096", byteCount, "stream-node-max-bytes"),
		tunable("3000", byteCount, "hll-sparse-max-bytes"),
	}
}

func constantSettings(c Config) []setting {
	durable := c.StoreDurability != "" && c.StoreDurability != "none"
	appendfsync := map[string]string{"always": "always", "interval": "everysec", "never": "no"}[c.Fsync]
	if durable {
		appendfsync = map[string]string{"always": "always", "interval": "everysec"}[c.StoreDurability]
	}
	text := func(name, value, why string) setting {
		return setting{name: name, value: value, effect: constant, why: why}
	}
	flag := func(name, value, why string) setting {
		return setting{name: name, value: value, effect: constant, why: why, check: yesOrNo}
	}
	number := func(name, value, why string, aliases ...string) setting {
		anyNumber := wholeNumber(math.MinInt64, math.MaxInt64)
		return setting{name: name, aliases: aliases, value: value, effect: constant, why: why, check: anyNumber}
	}
	const (
		atStart    = "it is set when the server starts, by "
		snapshots  = "there are no snapshots, logs are written all the time"
		scripts    = "there are no scripts"
		lazily     = "memory is always freed behind the scenes"
		replicas   = "there are no replicas"
		collector  = "memory is the collector's"
		noEvents   = "no events of keys are published"
		noLatency  = "LATENCY watches nothing, SLOWLOG does"
		doorLimits = "the limits of output are built in"
	)
	bytes := func(name string, value int64) setting {
		return setting{name: name, value: strconv.FormatInt(value, 10), effect: constant, check: byteCount, why: atStart + "--" + name}
	}
	return []setting{
		flag("appendonly", yesNo(durable), atStart+"--store-durability"),
		{name: "appendfsync", value: appendfsync, effect: constant, check: oneWordOf("everysec", "always", "no"), why: atStart + "--fsync and --store-durability"},
		text("save", "", snapshots), flag("stop-writes-on-bgsave-error", "no", snapshots),
		flag("no-appendfsync-on-rewrite", "no", snapshots),
		text("notify-keyspace-events", "", noEvents),
		number("busy-reply-threshold", "5000", scripts, "lua-time-limit"),
		flag("activedefrag", "no", collector), flag("activerehashing", "no", "tables are resized at once"),
		flag("lazyfree-lazy-eviction", "no", lazily), flag("lazyfree-lazy-expire", "no", lazily), flag("lazyfree-lazy-server-del", "no", lazily),
		flag("lazyfree-lazy-user-del", "no", lazily), flag("lazyfree-lazy-user-flush", "no", lazily),
		number("latency-monitor-threshold", "0", noLatency), flag("latency-tracking", "no", noLatency),
		number("hz", "10", "nothing is polled"), flag("dynamic-hz", "no", "nothing is polled"),
		number("tcp-keepalive", "60", "it is built in"),
		bytes("proto-max-bulk-len", c.BulkMax), bytes("client-query-buffer-limit", c.QueryBufferMax), bytes("maxmemory-clients", c.ClientMemory),
		text("client-output-buffer-limit", "normal 0 0 0 slave 0 0 0 pubsub 33554432 8388608 60", doorLimits),
		{name: "replica-read-only", aliases: []string{"slave-read-only"}, value: "yes", effect: constant, check: yesOrNo, why: replicas},
		{name: "replica-serve-stale-data", aliases: []string{"slave-serve-stale-data"}, value: "yes", effect: constant, check: yesOrNo, why: replicas},
		number("min-replicas-to-write", "0", replicas, "min-slaves-to-write"),
		{name: "masterauth", effect: constant, secret: true, why: replicas},
	}
}

func fixedSettings(c Config) (all []setting) {
	for _, pair := range [][2]string{
		{"databases", strconv.Itoa(databases)}, {"port", strconv.Itoa(c.Port)}, {"bind", c.Bind}, {"unixsocket", c.UnixSocket}, {"dir", c.DataDirectory},
		{"dbfilename", ""}, {"appendfilename", ""}, {"appenddirname", ""}, {"logfile", ""}, {"pidfile", ""}, {"aclfile", ""},
		{"replicaof", ""}, {"cluster-enabled", "no"}, {"daemonize", "no"}, {"supervised", "no"}, {"syslog-enabled", "no"},
		{"enable-debug-command", yesNo(c.EnableDebug)}, {"enable-module-command", "no"}, {"enable-protected-configs", "no"},
	} {
		one := setting{name: pair[0], value: pair[1], effect: fixed}
		if one.name == "replicaof" {
			one.aliases = []string{"slaveof"}
		}
		all = append(all, one)
	}
	return all
}

// Setting is a parameter of CONFIG.
type Setting struct {
	Name, Value string
	// Mutable tells whether CONFIG SET of it acts: whoever offers to change parameters offers these.
	Mutable bool
	// Note says why setting another one changes nothing; "" for those that act or name what the process was started with.
	Note string
}

// Settings lists the parameters by name, without Redis' older names and without the password.
func (s *Server) Settings() (list []Setting) {
	s.config.mu.Lock()
	defer s.config.mu.Unlock()
	for _, name := range s.config.names {
		one := s.config.table[name]
		if one.name != name {
			continue
		}
		shown := Setting{Name: name, Value: s.config.values[one], Mutable: one.effect == acting, Note: one.why}
		if one.effect == remembered {
			shown.Note = "an encoding of Redis, which this server has not"
		}
		list = append(list, shown)
	}
	return list
}
