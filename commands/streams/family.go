// Package streams is the commands on streams and their groups: ours, and those of Redis that fit them.
package streams

import (
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
)

// Streams is the family of commands on streams.
type Family struct {
	broker *stream.Broker // nil until Serve
	family *commands.Family

	read, acked atomic.Uint64 // entries
}

// NewStreams is the family without its broker.
func New() *Family {
	f := &Family{}
	f.family = &commands.Family{Specs: f.streamSpecs()}
	return f
}

// Serve gives it the broker, before the first command runs that needs it.
func (f *Family) Serve(broker *stream.Broker) { f.broker = broker }

// Family is what the server is made of.
func (f *Family) Family() *commands.Family { return f.family }

// Activity counts the entries that were given to readers and consumers, and acknowledged.
func (f *Family) Activity() (read, acked uint64) { return f.read.Load(), f.acked.Load() }

func (f *Family) streamSpecs() []commands.Spec {
	word := commands.Word
	option := commands.Option
	many := commands.Many
	key := word("stream", "key")
	group, position := word("group", "string"), "string"
	acknowledged := many(word("acks", "string"))
	limits := []commands.Argument{
		option("MAXAGE", "dur", "string"), option("MAXBYTES", "bytes", "integer"), option("MAXLEN", "entries", "integer"),
		commands.Choice("SYNC", "sync", "ALWAYS", "INTERVAL", "NEVER"), commands.Choice("INTEGRITY", "integrity", "NONE", "CHAIN"),
		option("DEDUPWINDOW", "dur", "string"), commands.Toggle("IFNX"),
	}
	expect := commands.Argument{Name: "expect", Type: "oneof", Token: "EXPECT", Optional: true, Arguments: []commands.Argument{
		{Name: "any", Type: "pure-token", Token: "ANY"}, {Name: "none", Type: "pure-token", Token: "NONE"},
		{Name: "exists", Type: "pure-token", Token: "EXISTS"}, {Name: "offset", Type: "integer"}}}
	count, block := option("COUNT", "count", "integer"), option("BLOCK", "dur", "string")
	size := option("MAXBYTES", "bytes", "integer")
	spec := func(name, summary, reply string, arity int, flags commands.Flag, access commands.Access, handler commands.Handler,
		arguments ...commands.Argument) commands.Spec {
		return commands.Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: flags, Keys: commands.OneKey(access),
			Handler: handler, Arguments: append([]commands.Argument{key}, arguments...)}
	}
	inLoop := func(spec commands.Spec) commands.Spec {
		spec.Runs = commands.InLoop
		return spec
	}
	untimed := func(spec commands.Spec) commands.Spec {
		spec.Untimed = true
		return spec
	}
	tipped := func(tips string, spec commands.Spec) commands.Spec {
		spec.Tips = tips
		return spec
	}
	every := func(access commands.Access, spec commands.Spec) commands.Spec {
		spec.Keys, spec.Arguments = commands.EveryKey(access, 1), []commands.Argument{many(key)}
		return spec
	}
	all := []commands.Spec{
		untimed(spec("xcreate", "Makes a stream", "+OK", -2, commands.Write, commands.RW|commands.Inserts, f.xcreate, limits...)),
		spec("xconf", "Reads or changes the config of a stream", "map | +OK", -3, commands.Write, commands.RW|commands.Updates, f.xconf,
			commands.Argument{Name: "action", Type: "oneof", Arguments: []commands.Argument{
				{Name: "get", Type: "block", Token: "GET", Arguments: []commands.Argument{{Name: "name", Type: "string", Optional: true,
					Multiple: true}}},
				{Name: "set", Type: "block", Token: "SET", Arguments: []commands.Argument{{Name: "setting", Type: "block", Multiple: true,
					Arguments: []commands.Argument{word("name", "string"), word("value", "string")}}}}}}),
		every(commands.RM|commands.Deletes, spec("xdrop", "Removes streams with their entries and groups", ":n", -2, commands.Write, commands.RM,
			f.xdrop)),
		every(commands.RO, spec("xexists", "Counts the names that are streams", ":n", -2, commands.ReadOnly|commands.Fast, commands.RO,
			func(ctx *commands.Context, args [][]byte) {
				ctx.W.Int(int64(f.broker.Exists(args[1:])))
			})),
		{Name: "xlist", Summary: "Lists the names of streams", Reply: "*2 $cursor *k $name", Arity: -1, Flags: commands.ReadOnly,
			Handler:   f.xlist,
			Arguments: []commands.Argument{option("MATCH", "glob", "pattern"), count, option("CURSOR", "cursor", "string")}},
		spec("xappend", "Appends an entry", ":offset, with DEDUP *2 :offset :1|:0", -3, commands.Write|commands.Fast,
			commands.RW|commands.Inserts, f.xappend,
			word("payload", "string"), expect, option("DEDUP", "key", "string"), commands.Toggle("NOMK")),
		untimed(inLoop(spec("xmappend", "Appends several entries, all or none", "*2 :first :last", -4, commands.Write,
			commands.RW|commands.Inserts, f.xmappend,
			word("n", "integer"), many(word("payload", "string")), expect))),
		inLoop(spec("xfetch", "Reads entries from a position", "*4 :next :high :skipped *k entry; entry = *3 :offset :ms $payload", -3,
			commands.ReadOnly|commands.Blocking, commands.RO|commands.Reads, f.xfetch,
			word("pos", position), option("TO", "pos", position), count, size, block, commands.Toggle("REV"), commands.Toggle("STRICT"))),
		spec("xgcreate", "Makes a consumer group", "+OK", -3, commands.Write, commands.RW|commands.Updates, f.xgcreate, group,
			option("START", "pos", position), option("ACKWAIT", "dur", "string"),
			option("MAXDELIVER", "n", "integer"), option("MAXPENDING", "n", "integer"), commands.Toggle("IFNX")),
		spec("xgdrop", "Removes a consumer group", ":0|:1", 3, commands.Write, commands.RW|commands.Updates, f.xgdrop, group),
		inLoop(spec("xconsume", "Takes entries for a consumer of a group",
			"*3 :epoch :lag *k entry; entry = *4 :offset :ms :deliveries $payload", -4, commands.Write|commands.Blocking,
			commands.RW|commands.Reads|commands.Updates, f.xconsume,
			group, word("consumer", "string"), count, size, block, commands.Toggle("NOACK"), commands.Toggle("MK"))),
		spec("xack", "Acknowledges entries of a group", ":n", -4, commands.Write|commands.Fast, commands.RW|commands.Updates, f.xack, group,
			acknowledged, option("EPOCH", "epoch", "integer")),
		inLoop(spec("xnack", "Gives entries of a group back, or parks them", ":n", -7, commands.Write, commands.RW|commands.Updates, f.xnack,
			group,
			commands.Argument{Name: "mode", Type: "oneof", Arguments: []commands.Argument{{Name: "silent", Type: "pure-token", Token: "SILENT"},
				{Name: "fail", Type: "pure-token", Token: "FAIL"}, {Name: "fatal", Type: "pure-token", Token: "FATAL"}}},
			commands.Argument{Name: "n", Type: "integer", Token: "IDS"}, acknowledged, option("DELAY", "dur", "string"),
			option("REASON", "text", "string"))),
		inLoop(spec("xextend", "Moves the redelivery of entries to a time from now", ":n", -5, commands.Write, commands.RW|commands.Updates,
			f.xextend, group, word("dur", "string"), acknowledged)),
		spec("xleave", "Gives back everything that a consumer holds", ":released", 4, commands.Write, commands.RW|commands.Updates, f.xleave,
			group, word("consumer", "string")),
		spec("xseek", "Moves a group to a position, and makes one that is missing; what is parked stays", "*2 :epoch :next", 4, commands.Write,
			commands.RW|commands.Updates, f.xseek, group, word("pos", position)),
		spec("xparked", "Lists the parked entries of a group", "*k *5 :offset :deliveries :parked-ms $reason $payload", -3, commands.ReadOnly,
			commands.RO|commands.Reads, f.xparked, group,
			count, option("FROM", "pos", position)),
		spec("xunpark", "Lets parked entries be delivered again, or drops them", ":n", -4, commands.Write, commands.RW|commands.Updates,
			f.xunpark, group,
			commands.Argument{Name: "which", Type: "oneof", Arguments: []commands.Argument{{Name: "all", Type: "pure-token", Token: "ALL"},
				acknowledged}}, commands.Toggle("DROP")),
		spec("xstat", "Describes a stream, with the names of its groups in order, or one group: consumers are those that hold entries, "+
			"workers those with an open connection", "map", -2, commands.ReadOnly, commands.RO, f.xstat,
			commands.Argument{Name: "group", Type: "string", Optional: true}),
		spec("xverify", "Computes the hash chain of a stream again", "map ok from to head first-bad", -2, commands.ReadOnly,
			commands.RO|commands.Reads, f.xverify,
			option("FROM", "pos", position), option("TO", "pos", position)),
		spec("xhead", "Answers the last entry of a stream and its hash", "*3 :offset $id $sha256", 2, commands.ReadOnly|commands.Fast,
			commands.RO, f.xhead),
		spec("xlen", "Answers the number of entries", ":n", 2, commands.ReadOnly|commands.Fast, commands.RO, f.xlen),
		tipped(commands.VariesByItself, spec("xtrim", "Removes entries from the front", ":n", -4, commands.Write, commands.RW|commands.Deletes,
			f.xtrim, commands.Argument{Name: "strategy", Type: "oneof", Arguments: []commands.Argument{
				{Name: "maxlen", Type: "pure-token", Token: "MAXLEN"}, {Name: "minid", Type: "pure-token", Token: "MINID"}}},
			word("threshold", "string"))),
		spec("xdel", "Refused: entries are immutable; of a missing stream there are none", "-IMMUTABLE | :0", -3, commands.Write|commands.Fast,
			commands.RW|commands.Deletes, f.xdel, many(word("id", "string"))),
	}
	return commands.Described(commands.GatedUnlessSaid(all), "stream", "0.1.0", "stream")
}
