package commands

import "fmt"

func (f *Administration) diagnosisSpecs() []Spec {
	return Described([]Spec{f.slowlogSpec(), f.latencySpec()}, "server", "0.1.0", "")
}

func (f *Administration) slowlogSpec() Spec {
	const flags = Admin | Loading | Stale
	return Spec{
		Name: "slowlog", Arity: -2,
		Summary: "Tells of commands that took long; those of constant time or that add to one key only with a threshold below 10,000",
		Subcommands: []Spec{
			{
				Name: "get", Summary: "Answers the slowest commands of late, newest first",
				Reply: "*k *6 :id :unix-seconds :microseconds *n $arg $address $name", Arity: -2, Flags: flags | Harmless,
				Tips: AllNodes + " " + VariesByItself, Handler: f.slowlogGet,
				Arguments: []Argument{{Name: "count", Type: "integer", Optional: true}},
			},
			{
				Name: "len", Summary: "Answers how many commands are remembered", Reply: ":n", Arity: 2, Flags: flags | Harmless,
				Tips:    AllNodes + " response_policy:agg_sum " + VariesByItself,
				Handler: func(ctx *Context, _ [][]byte) { ctx.W.Int(int64(len(ctx.Server.SlowLog.Newest(-1)))) },
			},
			{
				Name: "reset", Summary: "Forgets them", Reply: "+OK", Arity: 2, Flags: flags, Tips: AllNodes + " " + AllSucceed,
				Handler: func(ctx *Context, _ [][]byte) {
					ctx.Server.SlowLog.Forget()
					ctx.W.OK()
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: HelpOf("slowlog")},
		},
	}
}

func (f *Administration) latencySpec() Spec {
	sub := func(name, summary, reply, tips string, arity int, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: Admin | NoScript | Loading | Stale, Tips: tips,
			Handler: handler, Arguments: arguments}
	}
	const tips = VariesByItself + " " + AllNodes + " " + NoPolicy
	event := Argument{Name: "event", Type: "string"}
	empty := func(ctx *Context, _ [][]byte) { ctx.W.Array(0) }
	return Spec{
		Name: "latency", Arity: -2, Summary: "Answers as a Redis that does not watch latencies: there are no events",
		Subcommands: []Spec{
			sub("latest", "Answers an empty list", "*0", tips, 2, empty),
			sub("history", "Answers an empty list", "*0", tips, 3, empty, event),
			sub("reset", "Answers that nothing was forgotten", ":0", AllNodes+" "+AllSucceed, -2,
				func(ctx *Context, _ [][]byte) { ctx.W.Int(0) }, Argument{Name: "event", Type: "string", Optional: true, Multiple: true}),
			sub("graph", "Refused: there are no events", "-ERR", tips, 3, func(ctx *Context, args [][]byte) {
				ctx.W.Error(fmt.Sprintf("ERR No samples available for event '%s'", Shorten(args[2])))
			}, event),
			sub("doctor", "Says where to look instead", "=text", tips, 2, func(ctx *Context, _ [][]byte) {
				ctx.W.Verbatim("Nexo does not watch latency events. SLOWLOG GET lists slow commands.\n")
			}),
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: HelpOf("latency")},
		},
	}
}

func (f *Administration) slowlogGet(ctx *Context, args [][]byte) {
	count := int64(10)
	if len(args) > 3 {
		ctx.W.Error("ERR wrong number of arguments for 'slowlog|get' command")
		return
	}
	if len(args) == 3 {
		var ok bool
		if count, ok = ParseInt(args[2]); !ok || count < -1 {
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
