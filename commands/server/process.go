package server

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexobroker/nexo/commands"
)

func (f *Family) serverSpecs() []commands.Spec {
	return commands.Described(slices.Concat([]commands.Spec{f.infoSpec(), f.configSpec(), f.debugSpec(), f.shutdownSpec()},
		f.clockSpecs(), f.replicationSpecs(), f.clusterSpecs()), "server", "0.1.0", "")
}

func (f *Family) infoSpec() commands.Spec {
	return commands.Spec{
		Name: "info", Summary: "Describes the server in sections", Reply: "=text", Arity: -1,
		Flags:      commands.Loading | commands.Stale | commands.Harmless,
		Categories: "dangerous", Tips: commands.VariesByItself + " " + commands.AllShards + " " + commands.NoPolicy, Handler: f.info,
		Arguments: []commands.Argument{{Name: "section", Type: "string", Optional: true, Multiple: true}},
	}
}

func (f *Family) configSpec() commands.Spec {
	const flags = commands.Admin | commands.NoScript | commands.Loading | commands.Stale
	return commands.Spec{
		Name: "config", Summary: "Reads and changes parameters", Reply: "depends on the subcommand", Arity: -2, Subcommands: []commands.Spec{
			{
				Name: "get", Summary: "Answers the parameters whose names match", Reply: "%n name value", Arity: -3, Flags: flags | commands.Harmless,
				Handler: f.configGet, Arguments: []commands.Argument{{Name: "parameter", Type: "pattern", Multiple: true}},
			},
			{
				Name: "set", Summary: "Changes parameters until the next start; what would not act is refused, " +
					"but for tunables of Redis' encodings, which are remembered",
				Reply: "+OK", Arity: -4, Flags: flags, Tips: commands.AllNodes + " " + commands.AllSucceed, Handler: f.configSet, NeedsBrokers: true,
				Secret: secretOfConfig,
				Arguments: []commands.Argument{{Name: "data", Type: "block", Multiple: true, Arguments: []commands.Argument{
					{Name: "parameter", Type: "string"}, {Name: "value", Type: "string"}}}},
			},
			{
				Name: "resetstat", Summary: "Sets the counters of INFO to zero", Reply: "+OK", Arity: 2, Flags: flags, NeedsBrokers: true,
				Handler: func(ctx *commands.Context, _ [][]byte) {
					ctx.Server.ResetStatistics()
					ctx.W.OK()
				},
			},
			{
				Name: "rewrite", Summary: "Refused: the configuration is flags and environment", Reply: "-ERR", Arity: 2, Flags: flags,
				Handler: func(ctx *commands.Context, _ [][]byte) {
					ctx.W.Error("ERR The server is running without a config file")
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: commands.Loading | commands.Stale,
				Handler: commands.HelpOf("config")},
		},
	}
}

// secretOfConfig tells the values of the parameters that are passwords.
func secretOfConfig(args [][]byte, i int) bool {
	return i > 2 && i%2 == 1 && (commands.Is(args[i-1], "REQUIREPASS") || commands.Is(args[i-1], "MASTERAUTH"))
}

func (f *Family) debugSpec() commands.Spec {
	return commands.Spec{
		Name: "debug", Summary: "Helps tests; only with --enable-debug", Reply: "+OK", Arity: -2,
		Flags: commands.Admin | commands.NoScript | commands.Loading | commands.Stale,
		Subcommands: []commands.Spec{{
			Name: "sleep", Summary: "Keeps the connection busy for some seconds", Reply: "+OK", Arity: 3, Flags: commands.Admin | commands.NoScript,
			Handler: f.debugSleep, Arguments: []commands.Argument{{Name: "seconds", Type: "double"}},
		}},
	}
}

func (f *Family) shutdownSpec() commands.Spec {
	return commands.Spec{
		Name: "shutdown", Summary: "Stops the server gracefully", Reply: "nothing", Arity: -1,
		Flags:     commands.Admin | commands.NoScript | commands.Loading | commands.Stale | commands.NoMulti | commands.AllowBusy,
		Handler:   f.shutdown,
		Arguments: []commands.Argument{commands.OneOf("save-selector", commands.Token("NOSAVE", "nosave"), commands.Token("SAVE", "save"))},
	}
}

func (f *Family) clockSpecs() []commands.Spec {
	return []commands.Spec{
		{
			Name: "time", Summary: "Answers the server's time: seconds and microseconds", Reply: "*2 $seconds $microseconds", Arity: 1,
			Flags: commands.Loading | commands.Stale | commands.Fast | commands.Harmless, Tips: commands.VariesByItself, Handler: f.serverTime,
		},
		{
			Name: "lastsave", Summary: "Answers when the server started: logs are written all the time, there are no snapshots to save",
			Reply: ":unix-seconds", Arity: 1, Flags: commands.Loading | commands.Stale | commands.Fast | commands.Harmless,
			Categories: "admin dangerous", Tips: commands.VariesByItself,
			Handler: func(ctx *commands.Context, _ [][]byte) { ctx.W.Int(ctx.Server.Started.Unix()) },
		},
	}
}

func (f *Family) replicationSpecs() []commands.Spec {
	return []commands.Spec{
		{
			Name: "role", Summary: "Answers that the server is a master without replicas", Reply: "*3", Arity: 1,
			Flags: commands.NoScript | commands.Loading | commands.Stale | commands.Fast | commands.Harmless, Categories: "admin dangerous",
			Handler: func(ctx *commands.Context, _ [][]byte) {
				ctx.W.Array(3)
				ctx.W.BulkString("master")
				ctx.W.Int(0)
				ctx.W.Array(0)
			},
		},
		{
			Name: "wait", Summary: "Answers 0: there are no replicas to wait for", Reply: ":0", Arity: 3, Flags: commands.NoScript,
			Categories: "connection", Tips: commands.AllShards + " response_policy:agg_min", Handler: f.wait,
			Arguments: []commands.Argument{{Name: "numreplicas", Type: "integer"}, {Name: "timeout", Type: "integer"}},
		},
	}
}

func (f *Family) clusterSpecs() []commands.Spec {
	disabled := func(ctx *commands.Context, _ [][]byte) { ctx.W.Error("ERR This instance has cluster support disabled") }
	const summary = "Refused: this is one server"
	return []commands.Spec{
		{Name: "cluster", Summary: summary, Reply: "-ERR", Arity: -2, Handler: disabled},
		{Name: "readonly", Summary: summary, Reply: "-ERR", Arity: 1, Flags: commands.Loading | commands.Stale | commands.Fast,
			Categories: "connection", Handler: disabled},
		{Name: "readwrite", Summary: summary, Reply: "-ERR", Arity: 1, Flags: commands.Loading | commands.Stale | commands.Fast,
			Categories: "connection", Handler: disabled},
		{Name: "module", Summary: "Answers that there are no modules", Reply: "*0", Arity: -2, Subcommands: []commands.Spec{{
			Name: "list", Summary: "Answers an empty list", Reply: "*0", Arity: 2, Flags: commands.Admin | commands.NoScript,
			Tips:    commands.VariesInOrder,
			Handler: func(ctx *commands.Context, _ [][]byte) { ctx.W.Array(0) },
		}}},
	}
}

func (f *Family) wait(ctx *commands.Context, args [][]byte) {
	if _, ok := commands.ParseInt(args[1]); !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	if ms, ok := commands.ParseInt(args[2]); ok && ms < 0 {
		ctx.W.Error("ERR timeout is negative")
		return
	} else if !ok {
		ctx.W.Error("ERR timeout is not an integer or out of range")
		return
	}
	ctx.W.Int(0)
}

func (f *Family) serverTime(ctx *commands.Context, _ [][]byte) {
	now := ctx.Server.Clock.Now()
	ctx.W.Array(2)
	ctx.W.BulkInt(now.Unix())
	ctx.W.BulkInt(int64(now.Nanosecond() / 1000))
}

func (f *Family) shutdown(ctx *commands.Context, args [][]byte) {
	if len(args) > 2 || len(args) == 2 && !commands.Is(args[1], "NOSAVE") && !commands.Is(args[1], "SAVE") {
		ctx.Fail(commands.ErrSyntax)
		return
	}
	if f.config.Shutdown == nil {
		ctx.W.Error("ERR this server cannot be stopped by a command")
		return
	}
	ctx.Conn.CloseAfterReply()
	f.config.Shutdown()
}

func (f *Family) debugSleep(ctx *commands.Context, args [][]byte) {
	if !f.config.EnableDebug {
		ctx.W.Error("ERR DEBUG command not allowed. Start the server with --enable-debug.")
		return
	}
	seconds, ok := commands.ParseFloat(args[2])
	if !ok || seconds < 0 || seconds > 3600 {
		ctx.Fail(commands.ErrNotFloat)
		return
	}
	if seconds > 0 {
		ctx.Conn.Block(time.Duration(seconds*float64(time.Second)), nil)
	}
	ctx.W.OK()
}

// info answers INFO. The fields that client libraries and tools read have Redis' names.
func (f *Family) info(ctx *commands.Context, args [][]byte) {
	wanted := map[string]bool{}
	for _, word := range args[1:] {
		wanted[strings.ToLower(string(word))] = true
	}
	everything := wanted["all"] || wanted["everything"]
	usual := len(wanted) == 0 || wanted["default"] || everything
	var text strings.Builder
	for _, part := range ctx.Server.Sections() {
		if !wanted[part.Name] && !everything && (!usual || part.OnDemand) {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\r\n")
		}
		text.WriteString("# " + part.Title + "\r\n")
		part.Write(func(format string, args ...any) {
			fmt.Fprintf(&text, format+"\r\n", args...)
		})
	}
	ctx.W.Verbatim(text.String())
}

// sections are what INFO tells of the process and the door.
func (f *Family) sections() []commands.Section {
	return []commands.Section{
		{Name: "server", Title: "Server", Write: f.infoServer},
		{Name: "clients", Title: "Clients", Write: f.infoClients},
		{Name: "memory", Title: "Memory", Write: f.infoMemory},
		{Name: "persistence", Title: "Persistence", Write: f.infoPersistence},
		{Name: "stats", Title: "Stats", Write: f.infoStats},
		{Name: "replication", Title: "Replication", Write: func(line commands.Line) {
			line("role:master")
			line("connected_slaves:0")
			line("master_repl_offset:0")
		}},
		{Name: "cpu", Title: "CPU", Write: infoProcessor},
		{Name: "modules", Title: "Modules", Write: func(commands.Line) {}},
		{Name: "cluster", Title: "Cluster", Write: func(line commands.Line) { line("cluster_enabled:0") }},
	}
}

func infoProcessor(line commands.Line) {
	system, user := processorTimes()
	line("used_cpu_sys:%.6f", system.Seconds())
	line("used_cpu_user:%.6f", user.Seconds())
	line("used_cpu_sys_children:0.000000")
	line("used_cpu_user_children:0.000000")
}

func (f *Family) infoServer(line commands.Line) {
	now := f.family.Server().Clock.Now()
	uptime := now.Sub(f.family.Server().Started)
	line("redis_version:%s", commands.RedisVersion)
	line("nexo_version:%s", commands.Version)
	line("redis_mode:standalone")
	line("os:%s %s", runtime.GOOS, runtime.GOARCH)
	line("arch_bits:64")
	line("go_version:%s", strings.TrimPrefix(runtime.Version(), "go"))
	line("process_id:%d", os.Getpid())
	line("run_id:%s", f.runID)
	if door := f.family.Server().Door(); door != nil {
		if _, port, err := net.SplitHostPort(door.Addr().String()); err == nil { // a Unix socket has no port
			line("tcp_port:%s", port)
		}
	}
	line("server_time_usec:%d", now.UnixMicro())
	line("uptime_in_seconds:%d", int64(uptime.Seconds()))
	line("uptime_in_days:%d", int64(uptime.Hours()/24))
	line("goroutines:%d", runtime.NumGoroutine())
}

func (f *Family) infoClients(line commands.Line) {
	if f.family.Server().Door() == nil {
		return
	}
	c := f.family.Server().DoorCounters()
	line("connected_clients:%d", c.Connected)
	line("maxclients:%s", f.family.Server().Settings.Value("maxclients"))
	line("blocked_clients:%d", c.Blocked)
	line("tracking_clients:0")
	subscribers := 0
	for _, client := range f.family.Server().Clients() {
		if client.Subscriptions() > 0 {
			subscribers++
		}
	}
	line("pubsub_clients:%d", subscribers)
}

// residentBytes is the memory of the process that is in RAM, by the kernel's count; where there is none, by what the runtime knows of.
func residentBytes(stats *runtime.MemStats) int64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if words := strings.Fields(string(text)); len(words) > 1 {
			if pages, err := strconv.ParseInt(words[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	return int64(stats.Sys - stats.HeapReleased)
}

func (f *Family) infoMemory(line commands.Line) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	resident := residentBytes(&stats)
	line("used_memory_rss:%d", resident)
	line("used_memory_rss_human:%s", commands.HumanBytes(resident))
	line("used_memory_heap:%d", stats.HeapAlloc)
	if door := f.family.Server().Door(); door != nil {
		line("used_memory_clients:%d", door.Counters().Memory)
	}
	line("mem_allocator:go")
}

func (f *Family) infoStats(line commands.Line) {
	if f.family.Server().Door() != nil {
		c := f.family.Server().DoorCounters()
		line("total_connections_received:%d", c.Accepted)
		line("rejected_connections:%d", c.Refused)
		line("client_output_buffer_limit_disconnections:%d", c.CutForOutput)
		line("protocol_errors:%d", c.ProtocolErrors)
		line("evicted_clients:%d", c.CutForMemory)
		line("timed_out_clients:%d", c.CutForTime)
	}
	activity := f.family.Server().Activity()
	line("total_commands_processed:%d", activity.Commands)
	line("instantaneous_ops_per_sec:%d", f.family.Server().CommandsPerSecond())
	line("total_error_replies:%d", activity.Errors)
}

// infoPersistence has the fields of Redis that tools and client libraries wait by.
func (f *Family) infoPersistence(line commands.Line) {
	progress, loading := f.family.Server().Loading()
	line("loading:%d", commands.BoolInt(loading))
	line("async_loading:0")
	if !loading {
		return
	}
	percent := 0.0
	if progress.Total > 0 {
		percent = float64(progress.Loaded) * 100 / float64(progress.Total)
	}
	line("loading_start_time:%d", progress.Began.Unix())
	line("loading_total_bytes:%d", progress.Total)
	line("loading_loaded_bytes:%d", progress.Loaded)
	line("loading_loaded_perc:%.2f", percent)
	line("loading_eta_seconds:%d", int64(progress.Left(f.family.Server().Clock.Now()).Seconds()))
	line("loading_log:%s", progress.Log)
}
