package queues

import (
	"bytes"
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

// queueAdminSpecs are the commands that make, look at and steer queues.
func (f *Family) queueAdminSpecs() []commands.Spec {
	q := commands.Word("queue", "key")
	return []commands.Spec{
		{
			Name: "qcreate", Summary: "Makes a queue", Reply: "+OK",
			Arity: -2, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Inserts), Handler: f.qcreate,
			Arguments: createArguments(),
		},
		{
			Name: "qdrop", Summary: "Removes queues with all their jobs", Reply: ":n",
			Arity: -2, Flags: commands.Write, Keys: commands.EveryKey(commands.RM|commands.Deletes, 1), Handler: f.qdrop,
			Arguments: []commands.Argument{commands.Many(q)},
		},
		{
			Name: "qexists", Summary: "Counts which of the names are queues", Reply: ":n",
			Arity: -2, Flags: commands.ReadOnly | commands.Fast, Keys: commands.EveryKey(commands.RO, 1), Handler: f.qexists,
			Arguments: []commands.Argument{commands.Many(q)},
		},
		{
			Name: "qlist", Summary: "Lists the queues, page by page", Reply: "*2 $cursor *k $q",
			Arity: -1, Flags: commands.ReadOnly, Handler: f.qlist,
			Arguments: []commands.Argument{commands.Option("MATCH", "glob", "pattern"), commands.Option("COUNT", "count", "integer"),
				commands.Option("CURSOR", "cursor", "string")},
		},
		{
			Name: "qlen", Summary: "Counts the jobs of a queue in one state", Reply: ":n",
			Arity: -2, Flags: commands.ReadOnly | commands.Fast, Keys: commands.OneKey(commands.RO), Handler: f.qlen,
			Arguments: []commands.Argument{q, commands.Choice("", "state", "READY", "DELAYED", "INFLIGHT", "DEAD")},
		},
		{
			Name: "qpurge", Summary: "Deletes the jobs of a queue in some states, ready and delayed when none is named", Reply: ":n",
			Arity: -2, Flags: commands.Write, Keys: commands.OneKey(commands.RW | commands.Deletes), Handler: f.qpurge,
			Arguments: []commands.Argument{q, commands.Many(commands.Choice("", "state", "READY", "DELAYED", "INFLIGHT", "DEAD"))},
		},
		{
			Name: "qpeek", Summary: "Looks at jobs without leasing them; MATCH looks into payload and reason, REASON into the reason alone",
			Reply: "*3 :total :next-offset(-1 end) *k map",
			// it rests by itself, and would keep others waiting in a slot
			Arity: -2, Flags: commands.ReadOnly, Keys: commands.OneKey(commands.RO | commands.Reads), Handler: f.qpeek, Runs: commands.Beside,
			Arguments: []commands.Argument{q, commands.Choice("STATE", "state", "READY", "DELAYED", "INFLIGHT", "DEAD"),
				commands.Option("OFFSET", "offset", "integer"), commands.Option("COUNT", "count", "integer"),
				commands.Option("MATCH", "text", "string"), commands.Option("REASON", "text-of-reason", "string")},
		},
		{
			Name: "qget", Summary: "Looks at one job in any state", Reply: "map | null",
			Arity: 3, Flags: commands.ReadOnly | commands.Fast, Keys: commands.OneKey(commands.RO | commands.Reads), Handler: f.qget,
			Runs:      commands.Gated, // it may read a file
			Arguments: []commands.Argument{q, commands.Word("id", "string")},
		},
		{
			Name: "qinfo", Summary: "Tells the counts, counters and configuration of a queue", Reply: "map",
			Arity: 2, Flags: commands.ReadOnly | commands.Fast, Keys: commands.OneKey(commands.RO), Handler: f.qinfo,
			Arguments: []commands.Argument{q},
		},
		{
			Name: "qconfig", Summary: "Reads and changes the configuration of a queue", Arity: -3,
			Subcommands: []commands.Spec{
				{
					Name: "get", Summary: "Reads the configuration of a queue", Reply: "map",
					Arity: -3, Flags: commands.ReadOnly | commands.Fast, Keys: []commands.KeySpec{commands.Key(commands.RO, 2)}, Handler: f.qconfigGet,
					Arguments: []commands.Argument{q, {Name: "name", Type: "string", Optional: true, Multiple: true}},
				},
				{
					Name: "set", Summary: "Changes the configuration of a queue, all or nothing", Reply: "+OK",
					Arity: -5, Flags: commands.Write | commands.Fast, Keys: []commands.KeySpec{commands.Key(commands.RW|commands.Updates, 2)},
					Handler: f.qconfigSet,
					Arguments: []commands.Argument{q, {Name: "setting", Type: "block", Multiple: true, Arguments: []commands.Argument{
						commands.Word("name", "string"), commands.Word("value", "string")}}},
				},
			},
		},
		{
			Name: "qpause", Summary: "Stops pushes, pops or both, for a time or until QRESUME", Reply: "+OK",
			Arity: -2, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Updates), Handler: f.qpause,
			Arguments: []commands.Argument{q, commands.Choice("", "side", "IN", "OUT", "ALL"), commands.Option("FOR", "duration", "string")},
		},
		{
			Name: "qresume", Summary: "Ends every pause of a queue", Reply: "+OK",
			Arity: 2, Flags: commands.Write | commands.Fast, Keys: commands.OneKey(commands.RW | commands.Updates), Handler: f.qresume,
			Arguments: []commands.Argument{q},
		},
	}
}
func createArguments() []commands.Argument {
	return []commands.Argument{
		commands.Word("queue", "key"), commands.Option("LEASE", "lease", "string"), commands.Option("MAXATTEMPTS", "attempts", "integer"),
		{Name: "backoff", Type: "oneof", Token: "BACKOFF", Optional: true, Arguments: []commands.Argument{
			{Name: "none", Type: "pure-token", Token: "NONE"},
			{Name: "fixed", Type: "string", Token: "FIXED"},
			{Name: "exponential", Type: "block", Arguments: []commands.Argument{
				{Name: "base", Type: "string", Token: "EXP"}, {Name: "max", Type: "string"}}},
		}},
		commands.Option("JITTER", "percent", "integer"), commands.Option("DELAY", "delay", "string"), commands.Option("TTL", "ttl", "string"),
		commands.Choice("DLQ", "dlq", "ON", "OFF"), commands.Option("DLQTTL", "dlqttl", "string"), commands.Option("MAXLEN", "jobs", "integer"),
		commands.Choice("OVERFLOW", "overflow", "REJECT", "DROPOLDEST"), commands.Option("DEDUPWINDOW", "window", "string"),
		commands.Choice("SYNC", "sync", "ALWAYS", "INTERVAL", "NEVER"), commands.Toggle("IFNX"),
	}
}

// qcreate is QCREATE q [options].
func (f *Family) qcreate(ctx *commands.Context, args [][]byte) {
	config := f.broker.Defaults()
	ifNew := false
	o := commands.OptionsFrom(args, 2)
	for o.Next() {
		if o.Word("IFNX", 1<<20) {
			ifNew = true
			continue
		}
		field := configField(o.Current)
		if field == nil {
			o.Unknown()
			break
		}
		o.Word(field.name, field.bit)
		field.option(o, &config)
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	receipt, err := f.broker.Create(args[1], config, ifNew)
	ctx.Stored(receipt, err)
}

// configOption is one configuration value: how QCREATE and QCONFIG SET read it.
type configOption struct {
	name   string
	bit    uint64
	option func(o *commands.Options, c *queue.Config)
}

var configOptions = [...]configOption{
	{"LEASE", 1 << 0, func(o *commands.Options, c *queue.Config) { c.Lease = leaseOf(o) }},
	{"MAXATTEMPTS", 1 << 1, func(o *commands.Options, c *queue.Config) { c.MaxAttempts = o.Integer(1, queue.MaxAttempts) }},
	{"BACKOFF", 1 << 2, backoffOption},
	{"JITTER", 1 << 3, func(o *commands.Options, c *queue.Config) { c.Jitter = o.Integer(0, 100) }},
	{"DELAY", 1 << 4, func(o *commands.Options, c *queue.Config) { c.Delay = milliseconds(o.Duration()) }},
	{"TTL", 1 << 5, func(o *commands.Options, c *queue.Config) { c.TTL = milliseconds(o.Duration()) }},
	{"DLQ", 1 << 6, func(o *commands.Options, c *queue.Config) { c.DeadLetters = o.Choice("ON", "OFF") == 0 }},
	{"DLQTTL", 1 << 7, func(o *commands.Options, c *queue.Config) { c.DeadTTL = milliseconds(o.Duration()) }},
	{"MAXLEN", 1 << 8, func(o *commands.Options, c *queue.Config) { c.MaxLen = o.Integer(0, math.MaxInt64) }},
	{"OVERFLOW", 1 << 9, func(o *commands.Options, c *queue.Config) { c.DropOldest = o.Choice("REJECT", "DROPOLDEST") == 1 }},
	{"DEDUPWINDOW", 1 << 10, func(o *commands.Options, c *queue.Config) { c.DedupWindow = milliseconds(o.Duration()) }},
	{"SYNC", 1 << 11, func(o *commands.Options, c *queue.Config) {
		c.Sync = [...]brokers.Durability{brokers.Always, brokers.Interval, brokers.Never}[max(o.Choice("ALWAYS", "INTERVAL", "NEVER"), 0)]
	}},
}

func configField(word []byte) *configOption {
	for i := range configOptions {
		if commands.Is(word, configOptions[i].name) {
			return &configOptions[i]
		}
	}
	return nil
}

func backoffOption(o *commands.Options, c *queue.Config) {
	c.BackoffBase, c.BackoffMax = 0, 0
	switch o.Choice("NONE", "FIXED", "EXP") {
	case 0:
		c.Backoff = queue.BackoffNone
	case 1:
		c.Backoff = queue.BackoffFixed
		c.BackoffBase = milliseconds(o.Duration())
	case 2:
		c.Backoff = queue.BackoffExponential
		c.BackoffBase = milliseconds(o.Duration())
		c.BackoffMax = milliseconds(o.Duration())
	}
}

// qconfigGet is QCONFIG GET q [name ...].
func (f *Family) qconfigGet(ctx *commands.Context, args [][]byte) {
	config, err := f.broker.Config(args[2])
	if err != nil {
		ctx.Fail(err)
		return
	}
	fields := config.Fields()
	if len(args) > 3 {
		asked := make([]queue.Field, 0, len(fields))
		seen := map[string]bool{}
		for _, name := range args[3:] {
			known := false
			for _, field := range fields {
				if commands.Is(name, configName(field.Name)) {
					known = true
					if !seen[field.Name] {
						seen[field.Name] = true
						asked = append(asked, field)
					}
				}
			}
			if !known {
				ctx.Fail(commands.SyntaxErrorNear(name))
				return
			}
		}
		fields = asked
	}
	ctx.W.Map(len(fields))
	for _, field := range fields {
		ctx.W.BulkString(field.Name)
		ctx.W.BulkString(field.Value)
	}
}

func configName(lower string) string { return string(bytes.ToUpper([]byte(lower))) }

// qconfigSet is QCONFIG SET q name value [name value ...]; all or none. A value of several words, as that of BACKOFF, is one
// argument with spaces.
func (f *Family) qconfigSet(ctx *commands.Context, args [][]byte) {
	pairs := args[3:]
	if len(pairs)%2 != 0 {
		ctx.Fail(commands.SyntaxErrorNear(pairs[len(pairs)-1]))
		return
	}
	receipt, err := f.broker.Configure(args[2], func(c *queue.Config) error {
		seen := uint64(0)
		for i := 0; i < len(pairs); i += 2 {
			field := configField(pairs[i])
			if field == nil || seen&field.bit != 0 {
				return commands.SyntaxErrorNear(pairs[i])
			}
			seen |= field.bit
			o := commands.OptionsFrom(append([][]byte{pairs[i]}, bytes.Fields(pairs[i+1])...), 0)
			o.Next()
			field.option(o, c)
			if o.End(); o.Err != nil {
				return o.Err
			}
		}
		return nil
	})
	ctx.Stored(receipt, err)
}

// qpause is QPAUSE q [IN|OUT|ALL] [FOR dur].
func (f *Family) qpause(ctx *commands.Context, args [][]byte) {
	in, out := false, true
	duration := int64(0)
	o := commands.OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.Word("IN", 1<<0):
			in, out = true, false
		case o.Word("OUT", 1<<0):
		case o.Word("ALL", 1<<0):
			in = true
		case o.Word("FOR", 1<<1):
			duration = leaseOf(o)
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	receipt, err := f.broker.Pause(args[1], in, out, duration)
	ctx.Stored(receipt, err)
}

// qresume is QRESUME q.
func (f *Family) qresume(ctx *commands.Context, args [][]byte) {
	receipt, err := f.broker.Resume(args[1])
	ctx.Stored(receipt, err)
}

// qdrop is QDROP q [q ...].
func (f *Family) qdrop(ctx *commands.Context, args [][]byte) {
	n, receipts, err := f.broker.Drop(args[1:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
	for _, receipt := range receipts {
		ctx.Await(receipt)
	}
}
