package commands

import (
	"bytes"
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
)

// qcreate is QCREATE q [options].
func qcreate(ctx *Context, args [][]byte) {
	config := ctx.Server.Queue.Defaults()
	ifNew := false
	o := optionsFrom(args, 2)
	for o.next() {
		if o.word("IFNX", 1<<20) {
			ifNew = true
			continue
		}
		field := configField(o.current)
		if field == nil {
			o.unknown()
			break
		}
		o.word(field.name, field.bit)
		field.option(o, &config)
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	receipt, err := ctx.Server.Queue.Create(args[1], config, ifNew)
	ctx.answerOK(receipt, err)
}

func (ctx *Context) answerOK(r brokers.Receipt, err error) {
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.OK()
	ctx.awaitQueue(r)
}

// configOption is one configuration value: how QCREATE and QCONFIG SET read it.
type configOption struct {
	name   string
	bit    uint64
	option func(o *options, c *queue.Config)
}

var configOptions = [...]configOption{
	{"LEASE", 1 << 0, func(o *options, c *queue.Config) { c.Lease = o.lease() }},
	{"MAXATTEMPTS", 1 << 1, func(o *options, c *queue.Config) { c.MaxAttempts = o.integer(1, queue.MaxAttempts) }},
	{"BACKOFF", 1 << 2, backoffOption},
	{"JITTER", 1 << 3, func(o *options, c *queue.Config) { c.Jitter = o.integer(0, 100) }},
	{"DELAY", 1 << 4, func(o *options, c *queue.Config) { c.Delay = milliseconds(o.duration()) }},
	{"TTL", 1 << 5, func(o *options, c *queue.Config) { c.TTL = milliseconds(o.duration()) }},
	{"DLQ", 1 << 6, func(o *options, c *queue.Config) { c.DeadLetters = o.choice("ON", "OFF") == 0 }},
	{"DLQTTL", 1 << 7, func(o *options, c *queue.Config) { c.DeadTTL = milliseconds(o.duration()) }},
	{"MAXLEN", 1 << 8, func(o *options, c *queue.Config) { c.MaxLen = o.integer(0, math.MaxInt64) }},
	{"OVERFLOW", 1 << 9, func(o *options, c *queue.Config) { c.DropOldest = o.choice("REJECT", "DROPOLDEST") == 1 }},
	{"DEDUPWINDOW", 1 << 10, func(o *options, c *queue.Config) { c.DedupWindow = milliseconds(o.duration()) }},
	{"SYNC", 1 << 11, func(o *options, c *queue.Config) {
		c.Sync = [...]brokers.Durability{brokers.Always, brokers.Interval, brokers.Never}[max(o.choice("ALWAYS", "INTERVAL", "NEVER"), 0)]
	}},
}

func configField(word []byte) *configOption {
	for i := range configOptions {
		if is(word, configOptions[i].name) {
			return &configOptions[i]
		}
	}
	return nil
}

// choice is the option's value as the place of one of the words, -1 after an error.
func (o *options) choice(words ...string) int {
	value := o.value()
	for i, word := range words {
		if o.err == nil && is(value, word) {
			return i
		}
	}
	if o.err == nil {
		o.err = syntaxErrorNear(value)
	}
	return -1
}

func backoffOption(o *options, c *queue.Config) {
	c.BackoffBase, c.BackoffMax = 0, 0
	switch o.choice("NONE", "FIXED", "EXP") {
	case 0:
		c.Backoff = queue.BackoffNone
	case 1:
		c.Backoff = queue.BackoffFixed
		c.BackoffBase = milliseconds(o.duration())
	case 2:
		c.Backoff = queue.BackoffExponential
		c.BackoffBase = milliseconds(o.duration())
		c.BackoffMax = milliseconds(o.duration())
	}
}

// qconfigGet is QCONFIG GET q [name ...].
func qconfigGet(ctx *Context, args [][]byte) {
	config, err := ctx.Server.Queue.Config(args[2])
	if err != nil {
		ctx.fail(err)
		return
	}
	fields := config.Fields()
	if len(args) > 3 {
		asked := make([]queue.Field, 0, len(fields))
		seen := map[string]bool{}
		for _, name := range args[3:] {
			known := false
			for _, field := range fields {
				if is(name, configName(field.Name)) {
					known = true
					if !seen[field.Name] {
						seen[field.Name] = true
						asked = append(asked, field)
					}
				}
			}
			if !known {
				ctx.fail(syntaxErrorNear(name))
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
func qconfigSet(ctx *Context, args [][]byte) {
	pairs := args[3:]
	if len(pairs)%2 != 0 {
		ctx.fail(syntaxErrorNear(pairs[len(pairs)-1]))
		return
	}
	receipt, err := ctx.Server.Queue.Configure(args[2], func(c *queue.Config) error {
		seen := uint64(0)
		for i := 0; i < len(pairs); i += 2 {
			field := configField(pairs[i])
			if field == nil || seen&field.bit != 0 {
				return syntaxErrorNear(pairs[i])
			}
			seen |= field.bit
			o := optionsFrom(append([][]byte{pairs[i]}, bytes.Fields(pairs[i+1])...), 0)
			o.next()
			field.option(o, c)
			if o.err == nil && o.at < len(o.args) {
				o.err = syntaxErrorNear(o.args[o.at])
			}
			if o.err != nil {
				return o.err
			}
		}
		return nil
	})
	ctx.answerOK(receipt, err)
}

// qpause is QPAUSE q [IN|OUT|ALL] [FOR dur].
func qpause(ctx *Context, args [][]byte) {
	in, out := false, true
	duration := int64(0)
	o := optionsFrom(args, 2)
	for o.next() {
		switch {
		case o.word("IN", 1<<0):
			in, out = true, false
		case o.word("OUT", 1<<0):
		case o.word("ALL", 1<<0):
			in = true
		case o.word("FOR", 1<<1):
			duration = o.lease()
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	receipt, err := ctx.Server.Queue.Pause(args[1], in, out, duration)
	ctx.answerOK(receipt, err)
}

// qresume is QRESUME q.
func qresume(ctx *Context, args [][]byte) {
	receipt, err := ctx.Server.Queue.Resume(args[1])
	ctx.answerOK(receipt, err)
}

// qdrop is QDROP q [q ...].
func qdrop(ctx *Context, args [][]byte) {
	n, receipts, err := ctx.Server.Queue.Drop(args[1:])
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Int(int64(n))
	for _, receipt := range receipts {
		ctx.awaitQueue(receipt)
	}
}
