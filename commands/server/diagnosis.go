package server

import (
	"fmt"

	"github.com/nexobroker/nexo/commands"
)

func (f *Family) diagnosisSpecs() []commands.Spec {
	return commands.Described([]commands.Spec{f.slowlogSpec(), f.latencySpec()}, "server", "0.1.0", "")
}

func (f *Family) slowlogSpec() commands.Spec {
	const flags = commands.Admin | commands.Loading | commands.Stale
	return commands.Spec{
		Name: "slowlog", Arity: -2,
		Summary: "Tells of commands that took long; those of constant time or that add to one key only with a threshold below 10,000",
		Subcommands: []commands.Spec{
			{
				Name: "get", Summary: "Answers the slowest commands of late, newest first",
				Reply: "*k *6 :id :unix-seconds :microseconds *n $arg $address $name", Arity: -2, Flags: flags | commands.Harmless,
				Tips: commands.AllNodes + " " + commands.VariesByItself, Handler: f.slowlogGet,
				Arguments: []commands.Argument{{Name: "count", Type: "integer", Optional: true}},
			},
			{
				Name: "len", Summary: "Answers how many commands are remembered", Reply: ":n", Arity: 2, Flags: flags | commands.Harmless,
				Tips:    commands.AllNodes + " response_policy:agg_sum " + commands.VariesByItself,
				Handler: func(ctx *commands.Context, _ [][]byte) { ctx.W.Int(int64(len(ctx.Server.SlowLog.Newest(-1)))) },
			},
			{
				Name: "reset", Summary: "Forgets them", Reply: "+OK", Arity: 2, Flags: flags, Tips: commands.AllNodes + " " + commands.AllSucceed,
				Handler: func(ctx *commands.Context, _ [][]byte) {
					ctx.Server.SlowLog.Forget()
					ctx.W.OK()
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: commands.Loading | commands.Stale,
				Handler: commands.HelpOf("slowlog")},
		},
	}
}

func (f *Family) latencySpec() commands.Spec {
	sub := func(name, summary, reply, tips string, arity int, handler commands.Handler, arguments ...commands.Argument) commands.Spec {
		return commands.Spec{Name: name, Summary: summary, Reply: reply, Arity: arity,
			Flags: commands.Admin | commands.NoScript | commands.Loading | commands.Stale, Tips: tips,
			Handler: handler, Arguments: arguments}
	}
	const tips = commands.VariesByItself + " " + commands.AllNodes + " " + commands.NoPolicy
	event := commands.Argument{Name: "event", Type: "string"}
	empty := func(ctx *commands.Context, _ [][]byte) { ctx.W.Array(0) }
	return commands.Spec{
		Name: "latency", Arity: -2, Summary: "Answers as a Redis that does not watch latencies: there are no events",
		Subcommands: []commands.Spec{
			sub("latest", "Answers an empty list", "*0", tips, 2, empty),
			sub("history", "Answers an empty list", "*0", tips, 3, empty, event),
			sub("reset", "Answers that nothing was forgotten", ":0", commands.AllNodes+" "+commands.AllSucceed, -2,
				func(ctx *commands.Context, _ [][]byte) { ctx.W.Int(0) }, commands.Argument{Name: "event", Type: "string", Optional: true,
					Multiple: true}),
			sub("graph", "Refused: there are no events", "-ERR", tips, 3, func(ctx *commands.Context, args [][]byte) {
				ctx.W.Error(fmt.Sprintf("ERR No samples available for event '%s'", commands.Shorten(args[2])))
			}, event),
			sub("doctor", "Says where to look instead", "=text", tips, 2, func(ctx *commands.Context, _ [][]byte) {
				ctx.W.Verbatim("Nexo does not watch latency events. SLOWLOG GET lists slow commands.\n")
			}),
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: commands.Loading | commands.Stale,
				Handler: commands.HelpOf("latency")},
		},
	}
}

func (f *Family) slowlogGet(ctx *commands.Context, args [][]byte) {
	count := int64(10)
	if len(args) > 3 {
		ctx.W.Error("ERR wrong number of arguments for 'slowlog|get' command")
		return
	}
	if len(args) == 3 {
		var ok bool
		if count, ok = commands.ParseInt(args[2]); !ok || count < -1 {
			ctx.W.Error("ERR count should be greater than or equal to -1")
			return
		}
	}
	entries := ctx.Server.SlowLog.Newest(int(min(count, 1<<30)))
	ctx.W.Array(len(entries))
	for _, entry := range entries {
		ctx.W.Array(6)
		ctx.W.Int(entry.ID)
		ctx.W.Int(entry.At.Unix())
		ctx.W.Int(entry.Took.Microseconds())
		ctx.W.Array(len(entry.Args))
		for _, arg := range entry.Args {
			ctx.W.BulkString(arg)
		}
		ctx.W.BulkString(entry.Client)
		ctx.W.BulkString(entry.Name)
	}
}
