package queues

import (
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

// jobSpecs are the commands of producers and consumers.
func (f *Family) jobSpecs() []commands.Spec {
	q, handles := commands.Word("queue", "key"), commands.Many(commands.Word("handle", "string"))
	return []commands.Spec{
		{
			Name: "qpush", Summary: "Adds a job to a queue, and makes the queue if need be", Reply: "$id | *2 $id :1|:0 with DEDUP",
			Arity: -3, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Inserts), Handler: f.qpush,
			Arguments: append([]commands.Argument{q, commands.Word("payload", "string")},
				append(pushArguments(), commands.Option("DEDUP", "key", "string"), commands.Toggle("NOMKQ"))...),
		},
		{
			Name: "qmpush", Summary: "Adds several jobs to a queue, all or none; behind DEDUP stands a key for each payload", Reply: "*n $id",
			Arity: -4, Flags: commands.Write, Keys: commands.OneKey(commands.RW | commands.Inserts), Handler: f.qmpush, Runs: commands.InLoop,
			Untimed: true,
			Arguments: append([]commands.Argument{q, commands.Word("n", "integer"), commands.Many(commands.Word("payload", "string"))},
				append(pushArguments(), commands.Many(commands.Option("DEDUP", "key", "string")), commands.Toggle("NOMKQ"))...),
		},
		{
			Name: "qpop", Summary: "Leases jobs of a queue, highest priority first, then oldest first",
			Reply: "*k *3 $handle $payload :attempt | null",
			Arity: -2, Flags: commands.Write | commands.Blocking | commands.Fast,
			Keys: commands.OneKey(commands.RW | commands.Reads | commands.Updates), Handler: f.qpop,
			Arguments: append([]commands.Argument{q}, popArguments()...),
		},
		{
			Name: "qmpop", Summary: "Leases jobs of the first of several queues that has one ready",
			Reply: "*2 $q *k *3 $handle $payload :attempt | null",
			Arity: -3, Flags: commands.Write | commands.Blocking, Keys: []commands.KeySpec{{Access: commands.RW | commands.Reads | commands.Updates,
				At: 1, Counted: true}}, Runs: commands.InLoop, Handler: f.qmpop,
			Arguments: append([]commands.Argument{commands.Word("n", "integer"), commands.Many(q)}, popArguments()...),
		},
		{
			Name: "qack", Summary: "Ends leased jobs for good", Reply: ":n | *n :1|:0 with EACH",
			Arity: -3, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Deletes), Handler: f.qack,
			Arguments: []commands.Argument{q, handles, commands.Toggle("EACH")},
		},
		{
			Name: "qnack", Summary: "Gives leased jobs back: failed, dead or uncounted", Reply: ":n | *n :1|:0 with EACH",
			Arity: -3, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Updates), Handler: f.qnack,
			Arguments: []commands.Argument{q, handles, commands.Option("REASON", "text", "string"), commands.Option("DELAY", "delay", "string"),
				commands.Choice("", "outcome", "DEAD", "RELEASE"), commands.Toggle("EACH")},
		},
		{
			Name: "qextend", Summary: "Gives leases a new end, counted from now", Reply: ":n | *n :1|:0 with EACH",
			Arity: -4, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Updates), Handler: f.qextend,
			Arguments: []commands.Argument{q, commands.Word("lease", "string"), handles, commands.Toggle("EACH")},
		},
		{
			Name: "qdel", Summary: "Deletes jobs in any state", Reply: ":n",
			Arity: -3, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Deletes), Handler: f.qdel,
			Runs:      commands.Gated, // it may read a file
			Arguments: []commands.Argument{q, commands.Many(commands.Word("id", "string"))},
		},
		{
			Name: "qdlq", Summary: "Works on the dead letters of a queue", Arity: -3, Subcommands: f.deadLetterSpecs(),
		},
	}
}

func pushArguments() []commands.Argument {
	return []commands.Argument{
		commands.Option("PRIORITY", "priority", "integer"),
		{Name: "due", Type: "oneof", Optional: true, Arguments: []commands.Argument{
			{Name: "delay", Type: "string", Token: "DELAY"}, {Name: "unix-time-ms", Type: "unix-time", Token: "AT"}}},
		commands.Option("TTL", "ttl", "string"), commands.Option("MAXATTEMPTS", "attempts", "integer"),
		commands.Option("LEASE", "lease", "string"),
	}
}

// qpush is QPUSH q payload [options].
func (f *Family) qpush(ctx *commands.Context, args [][]byte) {
	q := f.queueState(ctx)
	q.push = queue.PushOptions{}
	if len(args) > 3 {
		if err := q.parsePush(commands.OptionsFrom(args, 3), 1); err != nil {
			ctx.Fail(err)
			return
		}
	}
	q.payload[0] = args[2]
	var receipt brokers.Receipt
	var err error
	q.pushed, receipt, err = f.broker.Push(args[1], q.payload[:], &q.push, q.pushed[:0])
	if err != nil {
		ctx.Fail(err)
		return
	}
	if q.push.Dedup != nil {
		ctx.W.Array(2)
		ctx.W.BulkUint(q.pushed[0].ID)
		if q.pushed[0].New {
			ctx.W.Int(1)
		} else {
			ctx.W.Int(0)
		}
	} else {
		ctx.W.BulkUint(q.pushed[0].ID)
	}
	ctx.Await(receipt)
}

// qmpush is QMPUSH q n payload*n [options].
func (f *Family) qmpush(ctx *commands.Context, args [][]byte) {
	payloads, err := commands.ReadCounted(args, 2, 1, queue.MaxBatch, "n")
	if err != nil {
		ctx.Fail(err)
		return
	}
	q := f.queueState(ctx)
	q.push = queue.PushOptions{}
	if err := q.parsePush(commands.OptionsBehind(args, payloads), payloads.N); err != nil {
		ctx.Fail(err)
		return
	}
	var receipt brokers.Receipt
	q.pushed, receipt, err = f.broker.Push(args[1], args[payloads.From:payloads.To], &q.push, q.pushed[:0])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(payloads.N)
	for _, p := range q.pushed {
		ctx.W.BulkUint(p.ID)
	}
	ctx.Await(receipt)
}

// parsePush reads the options of a push of n payloads. The keys alias the arguments.
func (q *queueSession) parsePush(o *commands.Options, n int) error {
	p := &q.push
	for o.Next() {
		switch {
		case o.Word("PRIORITY", 1<<0):
			p.Priority = uint8(o.Integer(0, 255))
		case o.Word("DELAY", 1<<1):
			p.Delay, p.HasDelay = milliseconds(o.Duration()), true
		case o.Word("AT", 1<<1):
			p.At, p.HasAt = o.Integer(0, math.MaxInt64/2), true
		case o.Word("TTL", 1<<2):
			p.TTL, p.HasTTL = milliseconds(o.Duration()), true
		case o.Word("MAXATTEMPTS", 1<<3):
			p.MaxAttempts = o.Integer(1, queue.MaxAttempts)
		case o.Word("LEASE", 1<<4):
			p.Lease = leaseOf(o)
		case o.Word("NOMKQ", 1<<5):
			p.NoCreate = true
		case o.Word("DEDUP", 1<<6):
			p.Dedup = o.Several(n, "keys, one for each payload")
		default:
			o.Unknown()
		}
	}
	return o.Err
}
