package commands

import (
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexobroker/nexo/resp"
)

func (s *Server) serverSpecs() []Spec {
	return described(slices.Concat([]Spec{s.infoSpec(), s.memorySpec(), s.configSpec(), s.debugSpec(), s.shutdownSpec()},
		s.clockSpecs(), s.replicationSpecs(), s.clusterSpecs()), "server", "0.1.0", "")
}

func (s *Server) infoSpec() Spec {
	return Spec{
		Name: "info", Summary: "Describes the server in sections", Reply: "=text", Arity: -1, Flags: Loading | Stale | Harmless,
		Categories: "dangerous", Tips: VariesByItself + " " + AllShards + " " + NoPolicy, Handler: s.info,
		Arguments: []Argument{{Name: "section", Type: "string", Optional: true, Multiple: true}},
	}
}

func (s *Server) memorySpec() Spec {
	const tips = VariesByItself + " " + AllShards + " " + NoPolicy
	return Spec{
		Name: "memory", Summary: "Tells how much memory keys take", Arity: -2, Subcommands: []Spec{
			{
				Name: "usage", Summary: "Answers the bytes that a key takes, as maxmemory counts them", Reply: ":bytes | null", Arity: -3,
				Flags: ReadOnly, Keys: []KeySpec{Key(RO, 2)}, Handler: memoryUsage, Arguments: []Argument{{Name: "key", Type: "key"},
					{Name: "count", Type: "integer", Token: "SAMPLES", Optional: true}},
			},
			{
				Name: "stats", Summary: "Answers where the memory is", Reply: "%n name value", Arity: 2, Flags: Harmless,
				Tips: tips, Handler: memoryStats,
			},
			{
				Name: "doctor", Summary: "Says whether the store is near its limit", Reply: "=text", Arity: 2, Flags: Harmless,
				Tips: tips, Handler: memoryDoctor,
			},
			{
				Name: "purge", Summary: "Collects garbage and gives free memory back to the system", Reply: "+OK", Arity: 2,
				Tips: AllShards + " " + AllSucceed, Handler: func(ctx *Context, _ [][]byte) {
					debug.FreeOSMemory()
					ctx.W.OK()
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: s.help("memory")},
		},
	}
}

func (s *Server) configSpec() Spec {
	const flags = Admin | NoScript | Loading | Stale
	return Spec{
		Name: "config", Summary: "Reads and changes parameters", Reply: "depends on the subcommand", Arity: -2, Subcommands: []Spec{
			{
				Name: "get", Summary: "Answers the parameters whose names match", Reply: "%n name value", Arity: -3, Flags: flags | Harmless,
				Handler: configGet, Arguments: []Argument{{Name: "parameter", Type: "pattern", Multiple: true}},
			},
			{
				Name: "set", Summary: "Changes parameters until the next start; what would not act is refused, " +
					"but for tunables of Redis' encodings, which are remembered",
				Reply: "+OK", Arity: -4, Flags: flags, Tips: AllNodes + " " + AllSucceed, Handler: configSet, NeedsBrokers: true,
				Secret: secretOfConfig,
				Arguments: []Argument{{Name: "data", Type: "block", Multiple: true, Arguments: []Argument{
					{Name: "parameter", Type: "string"}, {Name: "value", Type: "string"}}}},
			},
			{
				Name: "resetstat", Summary: "Sets the counters of INFO to zero", Reply: "+OK", Arity: 2, Flags: flags, NeedsBrokers: true,
				Handler: func(ctx *Context, _ [][]byte) {
					ctx.Server.resetCounters()
					ctx.W.OK()
				},
			},
			{
				Name: "rewrite", Summary: "Refused: the configuration is flags and environment", Reply: "-ERR", Arity: 2, Flags: flags,
				Handler: func(ctx *Context, _ [][]byte) { ctx.W.Error("ERR The server is running without a config file") },
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: s.help("config")},
		},
	}
}

// secretOfConfig tells the values of the parameters that are passwords.
func secretOfConfig(args [][]byte, i int) bool {
	return i > 2 && i%2 == 1 && (is(args[i-1], "REQUIREPASS") || is(args[i-1], "MASTERAUTH"))
}

func (s *Server) debugSpec() Spec {
	return Spec{
		Name: "debug", Summary: "Helps tests; only with --enable-debug", Reply: "+OK", Arity: -2, Flags: Admin | NoScript | Loading | Stale,
		Subcommands: []Spec{{
			Name: "sleep", Summary: "Keeps the connection busy for some seconds", Reply: "+OK", Arity: 3, Flags: Admin | NoScript,
			Handler: debugSleep, Arguments: []Argument{{Name: "seconds", Type: "double"}},
		}},
	}
}

func (s *Server) shutdownSpec() Spec {
	return Spec{
		Name: "shutdown", Summary: "Stops the server gracefully", Reply: "nothing", Arity: -1,
		Flags: Admin | NoScript | Loading | Stale | NoMulti | AllowBusy, Handler: shutdown,
		Arguments: []Argument{oneOf("save-selector", token("NOSAVE", "nosave"), token("SAVE", "save"))},
	}
}

func (s *Server) clockSpecs() []Spec {
	return []Spec{
		{
			Name: "time", Summary: "Answers the server's time: seconds and microseconds", Reply: "*2 $seconds $microseconds", Arity: 1,
			Flags: Loading | Stale | Fast | Harmless, Tips: VariesByItself, Handler: serverTime,
		},
		{
			Name: "lastsave", Summary: "Answers when the server started: logs are written all the time, there are no snapshots to save",
			Reply: ":unix-seconds", Arity: 1, Flags: Loading | Stale | Fast | Harmless, Categories: "admin dangerous", Tips: VariesByItself,
			Handler: func(ctx *Context, _ [][]byte) { ctx.W.Int(s.started.Unix()) },
		},
	}
}

func (s *Server) replicationSpecs() []Spec {
	return []Spec{
		{
			Name: "role", Summary: "Answers that the server is a master without replicas", Reply: "*3", Arity: 1,
			Flags: NoScript | Loading | Stale | Fast | Harmless, Categories: "admin dangerous", Handler: func(ctx *Context, _ [][]byte) {
				ctx.W.Array(3)
				ctx.W.BulkString("master")
				ctx.W.Int(0)
				ctx.W.Array(0)
			},
		},
		{
			Name: "wait", Summary: "Answers 0: there are no replicas to wait for", Reply: ":0", Arity: 3, Flags: NoScript,
			Categories: "connection", Tips: AllShards + " response_policy:agg_min", Handler: wait,
			Arguments: []Argument{{Name: "numreplicas", Type: "integer"}, {Name: "timeout", Type: "integer"}},
		},
	}
}

func (s *Server) clusterSpecs() []Spec {
	disabled := func(ctx *Context, _ [][]byte) { ctx.W.Error("ERR This instance has cluster support disabled") }
	const summary = "Refused: this is one server"
	return []Spec{
		{Name: "cluster", Summary: summary, Reply: "-ERR", Arity: -2, Handler: disabled},
		{Name: "readonly", Summary: summary, Reply: "-ERR", Arity: 1, Flags: Loading | Stale | Fast, Categories: "connection", Handler: disabled},
		{Name: "readwrite", Summary: summary, Reply: "-ERR", Arity: 1, Flags: Loading | Stale | Fast, Categories: "connection", Handler: disabled},
		{Name: "module", Summary: "Answers that there are no modules", Reply: "*0", Arity: -2, Subcommands: []Spec{{
			Name: "list", Summary: "Answers an empty list", Reply: "*0", Arity: 2, Flags: Admin | NoScript, Tips: VariesInOrder,
			Handler: func(ctx *Context, _ [][]byte) { ctx.W.Array(0) },
		}}},
	}
}

func wait(ctx *Context, args [][]byte) {
	if _, ok := parseInt(args[1]); !ok {
		ctx.fail(errNotInteger)
		return
	}
	if ms, ok := parseInt(args[2]); ok && ms < 0 {
		ctx.W.Error("ERR timeout is negative")
		return
	} else if !ok {
		ctx.W.Error("ERR timeout is not an integer or out of range")
		return
	}
	ctx.W.Int(0)
}

// memoryUsage accepts SAMPLES for the sake of clients: values have no parts to sample.
func memoryUsage(ctx *Context, args [][]byte) {
	switch {
	case len(args) == 3:
	case len(args) == 5 && is(args[3], "SAMPLES"):
		if n, ok := parseInt(args[4]); !ok {
			ctx.fail(errNotInteger)
			return
		} else if n < 0 {
			ctx.fail(errSyntax)
			return
		}
	default:
		ctx.fail(errSyntax)
		return
	}
	info, found := ctx.Server.Store.Inspect(ctx.Session.Database, args[2])
	if !found {
		ctx.W.Null()
		return
	}
	ctx.W.Int(info.Bytes)
}

func memoryStats(ctx *Context, _ [][]byte) {
	var process runtime.MemStats
	runtime.ReadMemStats(&process)
	counters := ctx.Server.Store.Counters()
	limit, _ := ctx.Server.Store.MaxMemory()
	keys := int64(0)
	for _, size := range counters.Databases {
		keys += int64(size.Keys)
	}
	perKey := int64(0)
	if keys > 0 {
		perKey = int64(counters.Memory) / keys
	}
	fields := []struct {
		name  string
		value int64
	}{
		{"total.allocated", int64(process.HeapAlloc)}, {"process.resident", int64(process.Sys - process.HeapReleased)},
		{"dataset.bytes", int64(counters.Memory)}, {"dataset.limit", limit}, {"keys.count", keys}, {"keys.bytes-per-key", perKey},
	}
	ctx.W.Map(len(fields))
	for _, field := range fields {
		ctx.W.BulkString(field.name)
		ctx.W.Int(field.value)
	}
}

func memoryDoctor(ctx *Context, _ [][]byte) {
	used := int64(ctx.Server.Store.Counters().Memory)
	limit, policy := ctx.Server.Store.MaxMemory()
	switch {
	case limit == 0:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d bytes. There is no limit: set maxmemory, or it may take the memory of the whole machine.\n", used))
	case used > limit/10*9:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d of the %d bytes of maxmemory; when they are full, %v decides what happens.\n", used, limit, policy))
	default:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d of the %d bytes of maxmemory. Nothing is wrong.\n", used, limit))
	}
}

func serverTime(ctx *Context, _ [][]byte) {
	now := ctx.Server.Clock.Now()
	ctx.W.Array(2)
	ctx.W.BulkInt(now.Unix())
	ctx.W.BulkInt(int64(now.Nanosecond() / 1000))
}

func shutdown(ctx *Context, args [][]byte) {
	if len(args) > 2 || len(args) == 2 && !is(args[1], "NOSAVE") && !is(args[1], "SAVE") {
		ctx.fail(errSyntax)
		return
	}
	if ctx.Server.Shutdown == nil {
		ctx.W.Error("ERR this server cannot be stopped by a command")
		return
	}
	ctx.Conn.CloseAfterReply()
	ctx.Server.Shutdown()
}

func debugSleep(ctx *Context, args [][]byte) {
	if !ctx.Server.config.debug {
		ctx.W.Error("ERR DEBUG command not allowed. Start the server with --enable-debug.")
		return
	}
	seconds, ok := parseFloat(args[2])
	if !ok || seconds < 0 || seconds > 3600 {
		ctx.fail(errNotFloat)
		return
	}
	if seconds > 0 {
		ctx.Conn.Block(time.Duration(seconds*float64(time.Second)), nil)
	}
	ctx.W.OK()
}

// section is one part of INFO: its title and its lines.
type section struct {
	name, title string
	write       func(line func(format string, args ...any))
	onDemand    bool // told only when it or everything is asked for
}

// info answers INFO. The fields that client libraries and tools read have Redis' names.
func (s *Server) info(ctx *Context, args [][]byte) {
	wanted := map[string]bool{}
	for _, word := range args[1:] {
		wanted[strings.ToLower(string(word))] = true
	}
	everything := wanted["all"] || wanted["everything"]
	usual := len(wanted) == 0 || wanted["default"] || everything
	var text strings.Builder
	for _, part := range s.sections() {
		if !wanted[part.name] && !everything && (!usual || part.onDemand) {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\r\n")
		}
		text.WriteString("# " + part.title + "\r\n")
		part.write(func(format string, args ...any) {
			fmt.Fprintf(&text, format+"\r\n", args...)
		})
	}
	ctx.W.Verbatim(text.String())
}

func (s *Server) sections() []section {
	return []section{
		{name: "server", title: "Server", write: s.infoServer},
		{name: "clients", title: "Clients", write: s.infoClients},
		{name: "memory", title: "Memory", write: s.onceLoaded(s.infoMemory)},
		{name: "persistence", title: "Persistence", write: s.infoPersistence},
		{name: "stats", title: "Stats", write: s.onceLoaded(s.infoStats)},
		{name: "replication", title: "Replication", write: func(line func(string, ...any)) {
			line("role:master")
			line("connected_slaves:0")
			line("master_repl_offset:0")
		}},
		{name: "cpu", title: "CPU", write: infoProcessor},
		{name: "modules", title: "Modules", write: func(func(string, ...any)) {}},
		{name: "commandstats", title: "Commandstats", write: s.infoCommands, onDemand: true},
		{name: "errorstats", title: "Errorstats", write: s.infoErrors},
		{name: "cluster", title: "Cluster", write: func(line func(string, ...any)) { line("cluster_enabled:0") }},
		{name: "keyspace", title: "Keyspace", write: s.onceLoaded(s.infoKeyspace)},
	}
}

func infoProcessor(line func(format string, args ...any)) {
	system, user := processorTimes()
	line("used_cpu_sys:%.6f", system.Seconds())
	line("used_cpu_user:%.6f", user.Seconds())
	line("used_cpu_sys_children:0.000000")
	line("used_cpu_user_children:0.000000")
}

// infoCommands tells of every command that was called, subcommands by themselves.
func (s *Server) infoCommands(line func(format string, args ...any)) {
	var tell func(spec *Spec)
	tell = func(spec *Spec) {
		stats := spec.stats
		calls, rejected := stats.calls.Load(), stats.rejected.Load()
		if calls+rejected > 0 {
			micros, perCall := stats.micros()
			line("cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
				spec.full, calls, micros, perCall, rejected, stats.failed.Load())
		}
		for i := range spec.Subcommands {
			tell(&spec.Subcommands[i])
		}
	}
	for _, spec := range s.sorted() {
		tell(spec)
	}
}

func (s *Server) infoErrors(line func(format string, args ...any)) {
	counts := s.errors.snapshot()
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		line("errorstat_%s:count=%d", code, counts[code])
	}
}

// resetCounters is CONFIG RESETSTAT.
func (s *Server) resetCounters() {
	s.counters.commands.Store(0)
	s.counters.rejected.Store(0)
	s.errors.reset()
	var reset func(spec *Spec)
	reset = func(spec *Spec) {
		spec.stats.reset()
		for i := range spec.Subcommands {
			reset(&spec.Subcommands[i])
		}
	}
	for _, spec := range s.table {
		reset(spec)
	}
	s.Store.ResetCounters()
}

// humanBytes writes a number of bytes as INFO does for people: 1.50M.
func humanBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	size, units := float64(n), "KMGTP"
	for size /= 1024; size >= 1024 && len(units) > 1; size /= 1024 {
		units = units[1:]
	}
	return fmt.Sprintf("%.2f%c", size, units[0])
}

func (s *Server) infoServer(line func(format string, args ...any)) {
	uptime := s.Clock.Now().Sub(s.started)
	line("redis_version:%s", RedisVersion)
	line("nexo_version:%s", Version)
	line("redis_mode:standalone")
	line("os:%s %s", runtime.GOOS, runtime.GOARCH)
	line("arch_bits:64")
	line("go_version:%s", strings.TrimPrefix(runtime.Version(), "go"))
	line("process_id:%d", os.Getpid())
	line("run_id:%s", s.runID)
	if s.door != nil {
		if _, port, err := net.SplitHostPort(s.door.Addr().String()); err == nil { // a Unix socket has no port
			line("tcp_port:%s", port)
		}
	}
	line("server_time_usec:%d", s.Clock.Now().UnixMicro())
	line("uptime_in_seconds:%d", int64(uptime.Seconds()))
	line("uptime_in_days:%d", int64(uptime.Hours()/24))
	line("goroutines:%d", runtime.NumGoroutine())
}

func (s *Server) infoClients(line func(format string, args ...any)) {
	if s.door == nil {
		return
	}
	c := s.DoorCounters()
	line("connected_clients:%d", c.Connected)
	line("maxclients:%s", s.config.value("maxclients"))
	line("blocked_clients:%d", c.Blocked)
	line("tracking_clients:0")
	subscribers := 0
	s.eachConn(func(c *resp.Conn) {
		if session := s.sessions.get(c.ID()); session != nil && session.subscribed() {
			subscribers++
		}
	})
	line("pubsub_clients:%d", subscribers)
}

func (s *Server) infoMemory(line func(format string, args ...any)) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	limit, policy := s.Store.MaxMemory()
	used, peak := s.Store.Memory()
	resident := int64(stats.Sys - stats.HeapReleased)
	// What maxmemory bounds, so that the two can be compared; the memory of the whole process is the resident one.
	line("used_memory:%d", used)
	line("used_memory_human:%s", humanBytes(used))
	line("used_memory_rss:%d", resident)
	line("used_memory_rss_human:%s", humanBytes(resident))
	line("used_memory_peak:%d", peak)
	line("used_memory_peak_human:%s", humanBytes(peak))
	line("used_memory_peak_perc:%.2f%%", 100*float64(used)/float64(max(1, peak)))
	line("used_memory_heap:%d", stats.HeapAlloc)
	line("used_memory_store:%d", used)
	if s.door != nil {
		line("used_memory_clients:%d", s.door.Counters().Memory)
	}
	jobs := s.Queue.Memory()
	line("used_memory_queue:%d", jobs.RAM)
	line("queue_ready_memory:%d", jobs.Ready)
	line("queue_memory:%d", jobs.Budget)
	line("queue_max_memory:%d", jobs.Limit)
	line("queue_cold_bytes:%d", jobs.Cold)
	line("queue_disk_bytes:%d", jobs.OnDisk)
	line("queue_disk_failing:%d", boolInt(jobs.Blocked))
	line("maxmemory:%d", limit)
	line("maxmemory_human:%s", humanBytes(limit))
	line("maxmemory_policy:%s", policy)
	line("mem_fragmentation_ratio:%.2f", float64(resident)/float64(max(1, stats.HeapAlloc)))
	line("mem_allocator:go")
}

func (s *Server) infoStats(line func(format string, args ...any)) {
	if s.door != nil {
		c := s.DoorCounters()
		line("total_connections_received:%d", c.Accepted)
		line("rejected_connections:%d", c.Refused)
		line("client_output_buffer_limit_disconnections:%d", c.CutForOutput)
		line("protocol_errors:%d", c.ProtocolErrors)
		line("evicted_clients:%d", c.CutForMemory)
		line("timed_out_clients:%d", c.CutForTime)
	}
	c := s.Store.Counters()
	line("total_commands_processed:%d", s.counters.commands.Load())
	line("instantaneous_ops_per_sec:%d", s.commandsPerSecond())
	line("total_error_replies:%d", s.errors.total.Load())
	line("expired_keys:%d", c.Expired)
	line("evicted_keys:%d", c.Evicted)
	line("keyspace_hits:%d", c.Hits)
	line("keyspace_misses:%d", c.Misses)
	bus := s.PubSub.Stats()
	line("pubsub_channels:%d", bus.Channels)
	line("pubsub_patterns:%d", bus.Patterns)
	line("pubsubshard_channels:%d", len(s.PubSub.Channels(nil, true)))
}

func (s *Server) infoKeyspace(line func(format string, args ...any)) {
	for db, size := range s.Store.Counters().Databases {
		if size.Keys > 0 {
			line("db%d:keys=%d,expires=%d,avg_ttl=0", db, size.Keys, size.Expires)
		}
	}
}

func (s *settings) value(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[s.table[name]]
}
