package server

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

// Config is what the process decides, for CONFIG to tell.
type Config struct {
	EnableDebug     bool
	MaxClients      int
	BulkMax         int64 // proto-max-bulk-len
	QueryBufferMax  int64 // client-query-buffer-limit
	ClientMemory    int64 // maxmemory-clients
	Port            int
	Bind            string
	UnixSocket      string
	DataDirectory   string
	Fsync           string         // always, interval, never: of queues, streams and retained messages
	StoreDurability string         // always, interval; "" and none keep the store in memory alone
	Timeout         time.Duration  // after which the door closes idle connections; 0 never
	LogLevel        *slog.LevelVar // of the process' log; nil when it cannot be changed
	Shutdown        func()         // asks the process to stop gracefully; nil refuses SHUTDOWN
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// settings are the parameters of the process.
func (c Config) settings() []commands.Setting {
	return slices.Concat(doorSettings(c), encodingSettings(), constantSettings(c), fixedSettings(c))
}

func doorSettings(c Config) []commands.Setting {
	number := func(name string, value int, least, most int64, apply func(door *resp.Server, n int)) commands.Setting {
		return commands.Setting{Name: name, Value: strconv.Itoa(value), Check: commands.WholeNumber(least, most),
			Apply: func(s *commands.Server, value string) {
				if door := s.Door(); door != nil {
					apply(door, commands.Parsed(value))
				}
			}}
	}
	return []commands.Setting{
		number("maxclients", c.MaxClients, 1, 1_000_000, (*resp.Server).SetMaxClients),
		number("timeout", int(c.Timeout.Seconds()), 0, math.MaxInt32, func(door *resp.Server, n int) {
			door.SetIdleTimeout(time.Duration(n) * time.Second)
		}),
		logLevelSetting(c.LogLevel),
	}
}

// logLevels are Redis' words for how much is logged, and what they stand for here.
var logLevels = []struct {
	word  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"verbose", slog.LevelDebug + 2}, {"notice", slog.LevelInfo}, {"warning", slog.LevelWarn}}

func logLevelSetting(level *slog.LevelVar) commands.Setting {
	if level == nil {
		return commands.Setting{Name: "loglevel", Value: "notice", Effect: commands.Constant,
			Check: commands.OneWordOf("debug", "verbose", "notice", "warning"),
			Why:   "this server's log is its caller's"}
	}
	one := commands.Setting{Name: "loglevel", Value: strings.ToLower(level.Level().String())}
	var words []string
	for _, known := range logLevels {
		words = append(words, known.word)
		if known.level == level.Level() {
			one.Value = known.word
		}
	}
	one.Check = commands.OneWordOf(words...)
	one.Apply = func(_ *commands.Server, value string) {
		for _, known := range logLevels {
			if known.word == value {
				level.Set(known.level)
			}
		}
	}
	return one
}

func encodingSettings() []commands.Setting {
	tunable := func(value string, check func(string) (string, error), name string, aliases ...string) commands.Setting {
		return commands.Setting{Name: name, Aliases: aliases, Value: value, Effect: commands.Remembered, Check: check}
	}
	count := commands.WholeNumber(0, math.MaxInt64)
	return []commands.Setting{
		tunable("-2", commands.WholeNumber(math.MinInt32, math.MaxInt32), "list-max-listpack-size", "list-max-ziplist-size"),
		tunable("0", commands.WholeNumber(0, math.MaxInt32), "list-compress-depth"),
		tunable("512", count, "hash-max-listpack-entries", "hash-max-ziplist-entries"),
		tunable("64", commands.ByteCount, "hash-max-listpack-value", "hash-max-ziplist-value"),
		tunable("512", count, "set-max-intset-entries"),
		tunable("128", count, "set-max-listpack-entries"),
		tunable("64", commands.ByteCount, "set-max-listpack-value"),
		tunable("128", count, "zset-max-listpack-entries", "zset-max-ziplist-entries"),
		tunable("64", commands.ByteCount, "zset-max-listpack-value", "zset-max-ziplist-value"),
		tunable("100", count, "stream-node-max-entries"),
		tunable("4096", commands.ByteCount, "stream-node-max-bytes"),
		tunable("3000", commands.ByteCount, "hll-sparse-max-bytes"),
	}
}

func constantSettings(c Config) []commands.Setting {
	durable := c.StoreDurability != "" && c.StoreDurability != "none"
	appendfsync := map[string]string{"always": "always", "interval": "everysec", "never": "no"}[c.Fsync]
	if durable {
		appendfsync = map[string]string{"always": "always", "interval": "everysec"}[c.StoreDurability]
	}
	text := func(name, value, why string) commands.Setting {
		return commands.Setting{Name: name, Value: value, Effect: commands.Constant, Why: why}
	}
	flag := func(name, value, why string) commands.Setting {
		return commands.Setting{Name: name, Value: value, Effect: commands.Constant, Why: why, Check: commands.YesOrNo}
	}
	number := func(name, value, why string, aliases ...string) commands.Setting {
		anyNumber := commands.WholeNumber(math.MinInt64, math.MaxInt64)
		return commands.Setting{Name: name, Aliases: aliases, Value: value, Effect: commands.Constant, Why: why, Check: anyNumber}
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
	bytes := func(name string, value int64) commands.Setting {
		return commands.Setting{Name: name, Value: strconv.FormatInt(value, 10), Effect: commands.Constant, Check: commands.ByteCount,
			Why: atStart + "--" + name}
	}
	return []commands.Setting{
		flag("appendonly", yesNo(durable), atStart+"--store-durability"),
		{Name: "appendfsync", Value: appendfsync, Effect: commands.Constant, Check: commands.OneWordOf("everysec", "always", "no"),
			Why: atStart + "--fsync and --store-durability"},
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
		{Name: "replica-read-only", Aliases: []string{"slave-read-only"}, Value: "yes", Effect: commands.Constant, Check: commands.YesOrNo,
			Why: replicas},
		{Name: "replica-serve-stale-data", Aliases: []string{"slave-serve-stale-data"}, Value: "yes", Effect: commands.Constant,
			Check: commands.YesOrNo, Why: replicas},
		number("min-replicas-to-write", "0", replicas, "min-slaves-to-write"),
		{Name: "masterauth", Effect: commands.Constant, Secret: true, Why: replicas},
	}
}

func fixedSettings(c Config) (all []commands.Setting) {
	for _, pair := range [][2]string{
		{"databases", strconv.Itoa(commands.Databases)}, {"port", strconv.Itoa(c.Port)}, {"bind", c.Bind}, {"unixsocket", c.UnixSocket},
		{"dir", c.DataDirectory},
		{"dbfilename", ""}, {"appendfilename", ""}, {"appenddirname", ""}, {"logfile", ""}, {"pidfile", ""}, {"aclfile", ""},
		{"replicaof", ""}, {"cluster-enabled", "no"}, {"daemonize", "no"}, {"supervised", "no"}, {"syslog-enabled", "no"},
		{"enable-debug-command", yesNo(c.EnableDebug)}, {"enable-module-command", "no"}, {"enable-protected-configs", "no"},
	} {
		one := commands.Setting{Name: pair[0], Value: pair[1], Effect: commands.Fixed}
		if one.Name == "replicaof" {
			one.Aliases = []string{"slaveof"}
		}
		all = append(all, one)
	}
	return all
}

func (f *Family) configGet(ctx *commands.Context, args [][]byte) {
	found, err := ctx.Server.Settings.Matching(args[2:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Map(len(found))
	for _, one := range found {
		ctx.W.BulkString(one.Name)
		ctx.W.BulkString(one.Value)
	}
}

func (f *Family) configSet(ctx *commands.Context, args [][]byte) {
	if len(args)%2 != 0 {
		ctx.Fail(commands.ErrSyntax)
		return
	}
	if err := ctx.Server.Configure(args[2:]); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.OK()
}
