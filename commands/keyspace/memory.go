package keyspace

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/nexobroker/nexo/commands"
)

// memorySpec is MEMORY, which tells of the memory of keys.
func memorySpec(f *Family) commands.Spec {
	const tips = commands.VariesByItself + " " + commands.AllShards + " " + commands.NoPolicy
	return commands.Spec{
		Name: "memory", Summary: "Tells how much memory keys take", Arity: -2, Subcommands: []commands.Spec{
			{
				Name: "usage", Summary: "Answers the bytes that a key takes, as maxmemory counts them", Reply: ":bytes | null", Arity: -3,
				Flags: commands.ReadOnly, Keys: []commands.KeySpec{commands.Key(commands.RO, 2)}, Handler: f.memoryUsage,
				Arguments: []commands.Argument{{Name: "key", Type: "key"},
					{Name: "count", Type: "integer", Token: "SAMPLES", Optional: true}},
			},
			{
				Name: "stats", Summary: "Answers where the memory is", Reply: "%n name value", Arity: 2, Flags: commands.Harmless,
				Tips: tips, Handler: f.memoryStats,
			},
			{
				Name: "doctor", Summary: "Says whether the store is near its limit", Reply: "=text", Arity: 2, Flags: commands.Harmless,
				Tips: tips, Handler: f.memoryDoctor,
			},
			{
				Name: "purge", Summary: "Collects garbage and gives free memory back to the system", Reply: "+OK", Arity: 2,
				Tips: commands.AllShards + " " + commands.AllSucceed, Handler: func(ctx *commands.Context, _ [][]byte) {
					f.broker.HandBack()
					debug.FreeOSMemory()
					ctx.W.OK()
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: commands.Loading | commands.Stale,
				Handler: commands.HelpOf("memory")},
		},
	}
}

// memoryUsage accepts SAMPLES for the sake of clients: values have no parts to sample.
func (f *Family) memoryUsage(ctx *commands.Context, args [][]byte) {
	switch {
	case len(args) == 3:
	case len(args) == 5 && commands.Is(args[3], "SAMPLES"):
		if n, ok := commands.ParseInt(args[4]); !ok {
			ctx.Fail(commands.ErrNotInteger)
			return
		} else if n < 0 {
			ctx.Fail(commands.ErrSyntax)
			return
		}
	default:
		ctx.Fail(commands.ErrSyntax)
		return
	}
	info, found := f.broker.Inspect(ctx.Session.Database, args[2])
	if !found {
		ctx.W.Null()
		return
	}
	ctx.W.Int(info.Bytes)
}

func (f *Family) memoryStats(ctx *commands.Context, _ [][]byte) {
	var process runtime.MemStats
	runtime.ReadMemStats(&process)
	counters, outside := f.broker.Counters(), f.broker.Resident()
	limit, _ := f.broker.MaxMemory()
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
		{"total.allocated", int64(process.HeapAlloc) + outside}, {"process.resident", int64(process.Sys-process.HeapReleased) + outside},
		{"dataset.bytes", int64(counters.Memory)}, {"dataset.limit", limit}, {"keys.count", keys}, {"keys.bytes-per-key", perKey},
	}
	ctx.W.Map(len(fields))
	for _, field := range fields {
		ctx.W.BulkString(field.name)
		ctx.W.Int(field.value)
	}
}

func (f *Family) memoryDoctor(ctx *commands.Context, _ [][]byte) {
	used := int64(f.broker.Counters().Memory)
	limit, policy := f.broker.MaxMemory()
	switch {
	case limit == 0:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d bytes. There is no limit: set maxmemory, or it may take the memory of the whole "+
			"machine.\n", used))
	case used > limit/10*9:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d of the %d bytes of maxmemory; when they are full, %v decides what happens.\n", used,
			limit, policy))
	default:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d of the %d bytes of maxmemory. Nothing is wrong.\n", used, limit))
	}
}
