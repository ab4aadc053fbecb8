package commands

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexobroker/nexo/resp"
)

// AdministrationConfig is what the process decides, for CONFIG to tell.
type AdministrationConfig struct {
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
func (c AdministrationConfig) settings() []Setting {
	return slices.Concat(doorSettings(c), encodingSettings(), constantSettings(c), fixedSettings(c))
}

func doorSettings(c AdministrationConfig) []Setting {
	number := func(name string, value int, least, most int64, apply func(door *resp.Server, n int)) Setting {
		return Setting{Name: name, Value: strconv.Itoa(value), Check: WholeNumber(least, most), Apply: func(s *Server, value string) {
			if door := s.Door(); door != nil {
				apply(door, Parsed(value))
			}
		}}
	}
	return []Setting{
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

func logLevelSetting(level *slog.LevelVar) Setting {
	if level == nil {
		return Setting{Name: "loglevel", Value: "notice", Effect: Constant, Check: OneWordOf("debug", "verbose", "notice", "warning"),
			Why: "this server's log is its caller's"}
	}
	one := Setting{Name: "loglevel", Value: strings.ToLower(level.Level().String())}
	var words []string
	for _, known := range logLevels {
		words = append(words, known.word)
		if known.level == level.Level() {
			one.Value = known.word
		}
	}
	one.Check = OneWordOf(words...)
	one.Apply = func(_ *Server, value string) {
		for _, known := range logLevels {
			if known.word == value {
				level.Set(known.level)
			}
		}
	}
	return one
}

func encodingSettings() []Setting {
	tunable := func(value string, check func(string) (string, error), name string, aliases ...string) Setting {
		return Setting{Name: name, Aliases: aliases, Value: value, Effect: Remembered, Check: check}
	}
	count := WholeNumber(0, math.MaxInt64)
	return []Setting{
		tunable("-2", WholeNumber(math.MinInt32, math.MaxInt32), "list-max-listpack-size", "list-max-ziplist-size"),
		tunable("0", WholeNumber(0, math.MaxInt32), "list-compress-depth"),
		tunable("512", count, "hash-max-listpack-entries", "hash-max-ziplist-entries"),
		tunable("64", ByteCount, "hash-max-listpack-value", "hash-max-ziplist-value"),
		tunable("512", count, "set-max-intset-entries"),
		tunable("128", count, "set-max-listpack-entries"),
		tunable("64", ByteCount, "set-max-listpack-value"),
		tunable("128", count, "zset-max-listpack-entries", "zset-max-ziplist-entries"),
		tunable("64", ByteCount, "zset-max-listpack-value", "zset-max-ziplist-value"),
		tunable("100", count, "stream-node-max-entries"),
		tunable("4096", ByteCount, "stream-node-max-bytes"),
		tunable("3000", ByteCount, "hll-sparse-max-bytes"),
	}
}

func constantSettings(c AdministrationConfig) []Setting {
	durable := c.StoreDurability != "" && c.StoreDurability != "none"
	appendfsync := map[string]string{"always": "always", "interval": "everysec", "never": "no"}[c.Fsync]
	if durable {
		appendfsync = map[string]string{"always": "always", "interval": "everysec"}[c.StoreDurability]
	}
	text := func(name, value, why string) Setting {
		return Setting{Name: name, Value: value, Effect: Constant, Why: why}
	}
	flag := func(name, value, why string) Setting {
		return Setting{Name: name, Value: value, Effect: Constant, Why: why, Check: YesOrNo}
	}
	number := func(name, value, why string, aliases ...string) Setting {
		anyNumber := WholeNumber(math.MinInt64, math.MaxInt64)
		return Setting{Name: name, Aliases: aliases, Value: value, Effect: Constant, Why: why, Check: anyNumber}
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
	bytes := func(name string, value int64) Setting {
		return Setting{Name: name, Value: strconv.FormatInt(value, 10), Effect: Constant, Check: ByteCount, Why: atStart + "--" + name}
	}
	return []Setting{
		flag("appendonly", yesNo(durable), atStart+"--store-durability"),
		{Name: "appendfsync", Value: appendfsync, Effect: Constant, Check: OneWordOf("everysec", "always", "no"), Why: atStart + "--fsync and --store-durability"},
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
		{Name: "replica-read-only", Aliases: []string{"slave-read-only"}, Value: "yes", Effect: Constant, Check: YesOrNo, Why: replicas},
		{Name: "replica-serve-stale-data", Aliases: []string{"slave-serve-stale-data"}, Value: "yes", Effect: Constant, Check: YesOrNo, Why: replicas},
		number("min-replicas-to-write", "0", replicas, "min-slaves-to-write"),
		{Name: "masterauth", Effect: Constant, Secret: true, Why: replicas},
	}
}

func fixedSettings(c AdministrationConfig) (all []Setting) {
	for _, pair := range [][2]string{
		{"databases", strconv.Itoa(Databases)}, {"port", strconv.Itoa(c.Port)}, {"bind", c.Bind}, {"unixsocket", c.UnixSocket}, {"dir", c.DataDirectory},
		{"dbfilename", ""}, {"appendfilename", ""}, {"appenddirname", ""}, {"logfile", ""}, {"pidfile", ""}, {"aclfile", ""},
		{"replicaof", ""}, {"cluster-enabled", "no"}, {"daemonize", "no"}, {"supervised", "no"}, {"syslog-enabled", "no"},
		{"enable-debug-command", yesNo(c.EnableDebug)}, {"enable-module-command", "no"}, {"enable-protected-configs", "no"},
	} {
		one := Setting{Name: pair[0], Value: pair[1], Effect: Fixed}
		if one.Name == "replicaof" {
			one.Aliases = []string{"slaveof"}
		}
		all = append(all, one)
	}
	return all
}

func (f *Administration) configGet(ctx *Context, args [][]byte) {
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

func (f *Administration) configSet(ctx *Context, args [][]byte) {
	if len(args)%2 != 0 {
		ctx.Fail(ErrSyntax)
		return
	}
	if err := ctx.Server.Configure(args[2:]); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.OK()
}
