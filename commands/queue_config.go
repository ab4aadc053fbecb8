package commands

import (
	"bytes"
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
)

// qcreate is QCREATE q [options].
func (f *Queues) qcreate(ctx *Context, args [][]byte) {
	config := f.broker.Defaults()
	ifNew := false
	o := OptionsFrom(args, 2)
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
	option func(o *Options, c *queue.Config)
}

var configOptions = [...]configOption{
	{"LEASE", 1 << 0, func(o *Options, c *queue.Config) { c.Lease = o.lease() }},
	{"MAXATTEMPTS", 1 << 1, func(o *Options, c *queue.Config) { c.MaxAttempts = o.Integer(1, queue.MaxAttempts) }},
	{"BACKOFF", 1 << 2, backoffOption},
	{"JITTER", 1 << 3, func(o *Options, c *queue.Config) { c.Jitter = o.Integer(0, 100) }},
	{"DELAY", 1 << 4, func(o *Options, c *queue.Config) { c.Delay = milliseconds(o.Duration()) }},
	{"TTL", 1 << 5, func(o *Options, c *queue.Config) { c.TTL = milliseconds(o.Duration()) }},
	{"DLQ", 1 << 6, func(o *Options, c *queue.Config) { c.DeadLetters = o.choice("ON", "OFF") == 0 }},
	{"DLQTTL", 1 << 7, func(o *Options, c *queue.Config) { c.DeadTTL = milliseconds(o.Duration()) }},
	{"MAXLEN", 1 << 8, func(o *Options, c *queue.Config) { c.MaxLen = o.Integer(0, math.MaxInt64) }},
	{"OVERFLOW", 1 << 9, func(o *Options, c *queue.Config) { c.DropOldest = o.choice("REJECT", "DROPOLDEST") == 1 }},
	{"DEDUPWINDOW", 1 << 10, func(o *Options, c *queue.Config) { c.DedupWindow = milliseconds(o.Duration()) }},
	{"SYNC", 1 << 11, func(o *Options, c *queue.Config) {
		c.Sync = [...]brokers.Durability{brokers.Always, brokers.Interval, brokers.Never}[max(o.choice("ALWAYS", "INTERVAL", "NEVER"), 0)]
	}},
}

func configField(word []byte) *configOption {
	for i := range configOptions {
		if Is(word, configOptions[i].name) {
			return &configOptions[i]
		}
	}
	return nil
}

func backoffOption(o *Options, c *queue.Config) {
	c.BackoffBase, c.BackoffMax = 0, 0
	switch o.choice("NONE", "FIXED", "EXP") {
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
func (f *Queues) qconfigGet(ctx *Context, args [][]byte) {
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
				if Is(name, configName(field.Name)) {
					known = true
					if !seen[field.Name] {
						seen[field.Name] = true
						asked = append(asked, field)
					}
				}
			}
			if !known {
				ctx.Fail(SyntaxErrorNear(name))
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
func (f *Queues) qconfigSet(ctx *Context, args [][]byte) {
	pairs := args[3:]
	if len(pairs)%2 != 0 {
		ctx.Fail(SyntaxErrorNear(pairs[len(pairs)-1]))
		return
	}
	receipt, err := f.broker.Configure(args[2], func(c *queue.Config) error {
		seen := uint64(0)
		for i := 0; i < len(pairs); i += 2 {
			field := configField(pairs[i])
			if field == nil || seen&field.bit != 0 {
				return SyntaxErrorNear(pairs[i])
			}
			seen |= field.bit
			o := OptionsFrom(append([][]byte{pairs[i]}, bytes.Fields(pairs[i+1])...), 0)
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
func (f *Queues) qpause(ctx *Context, args [][]byte) {
	in, out := false, true
	duration := int64(0)
	o := OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.Word("IN", 1<<0):
			in, out = true, false
		case o.Word("OUT", 1<<0):
		case o.Word("ALL", 1<<0):
			in = true
		case o.Word("FOR", 1<<1):
			duration = o.lease()
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
func (f *Queues) qresume(ctx *Context, args [][]byte) {
	receipt, err := f.broker.Resume(args[1])
	ctx.Stored(receipt, err)
}

// qdrop is QDROP q [q ...].
func (f *Queues) qdrop(ctx *Context, args [][]byte) {
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
