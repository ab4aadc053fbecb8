package commands

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// memorySpec is MEMORY, which tells of the memory of keys.
func memorySpec(f *Keyspace) Spec {
	const tips = VariesByItself + " " + AllShards + " " + NoPolicy
	return Spec{
		Name: "memory", Summary: "Tells how much memory keys take", Arity: -2, Subcommands: []Spec{
			{
				Name: "usage", Summary: "Answers the bytes that a key takes, as maxmemory counts them", Reply: ":bytes | null", Arity: -3,
				Flags: ReadOnly, Keys: []KeySpec{Key(RO, 2)}, Handler: f.memoryUsage, Arguments: []Argument{{Name: "key", Type: "key"},
					{Name: "count", Type: "integer", Token: "SAMPLES", Optional: true}},
			},
			{
				Name: "stats", Summary: "Answers where the memory is", Reply: "%n name value", Arity: 2, Flags: Harmless,
				Tips: tips, Handler: f.memoryStats,
			},
			{
				Name: "doctor", Summary: "Says whether the store is near its limit", Reply: "=text", Arity: 2, Flags: Harmless,
				Tips: tips, Handler: f.memoryDoctor,
			},
			{
				Name: "purge", Summary: "Collects garbage and gives free memory back to the system", Reply: "+OK", Arity: 2,
				Tips: AllShards + " " + AllSucceed, Handler: func(ctx *Context, _ [][]byte) {
					debug.FreeOSMemory()
					ctx.W.OK()
				},
			},
			{Name: "help", Summary: "Lists the subcommands", Reply: "*n +line", Arity: 2, Flags: Loading | Stale, Handler: HelpOf("memory")},
		},
	}
}

// memoryUsage accepts SAMPLES for the sake of clients: values have no parts to sample.
func (f *Keyspace) memoryUsage(ctx *Context, args [][]byte) {
	switch {
	case len(args) == 3:
	case len(args) == 5 && Is(args[3], "SAMPLES"):
		if n, ok := ParseInt(args[4]); !ok {
			ctx.Fail(ErrNotInteger)
			return
		} else if n < 0 {
			ctx.Fail(ErrSyntax)
			return
		}
	default:
		ctx.Fail(ErrSyntax)
		return
	}
	info, found := f.broker.Inspect(ctx.Session.Database, args[2])
	if !found {
		ctx.W.Null()
		return
	}
	ctx.W.Int(info.Bytes)
}

func (f *Keyspace) memoryStats(ctx *Context, _ [][]byte) {
	var process runtime.MemStats
	runtime.ReadMemStats(&process)
	counters := f.broker.Counters()
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
		{"total.allocated", int64(process.HeapAlloc)}, {"process.resident", int64(process.Sys - process.HeapReleased)},
		{"dataset.bytes", int64(counters.Memory)}, {"dataset.limit", limit}, {"keys.count", keys}, {"keys.bytes-per-key", perKey},
	}
	ctx.W.Map(len(fields))
	for _, field := range fields {
		ctx.W.BulkString(field.name)
		ctx.W.Int(field.value)
	}
}

func (f *Keyspace) memoryDoctor(ctx *Context, _ [][]byte) {
	used := int64(f.broker.Counters().Memory)
	limit, policy := f.broker.MaxMemory()
	switch {
	case limit == 0:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d bytes. There is no limit: set maxmemory, or it may take the memory of the whole machine.\n", used))
	case used > limit/10*9:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d of the %d bytes of maxmemory; when they are full, %v decides what happens.\n", used, limit, policy))
	default:
		ctx.W.Verbatim(fmt.Sprintf("The store takes %d of the %d bytes of maxmemory. Nothing is wrong.\n", used, limit))
	}
}
