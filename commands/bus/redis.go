package bus

import (
	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands"
)

// pubsubSpecs are Redis' own pub/sub commands.
func (f *Family) pubsubSpecs() []commands.Spec {
	channels := []commands.Argument{{Name: "channel", Type: "string", Multiple: true}}
	optionalChannels := []commands.Argument{{Name: "channel", Type: "string", Optional: true, Multiple: true}}
	shards := []commands.Argument{{Name: "shardchannel", Type: "string", Multiple: true}}
	optionalShards := []commands.Argument{{Name: "shardchannel", Type: "string", Optional: true, Multiple: true}}
	const (
		mode = commands.PubSub | commands.PubSubMode | commands.NoScript | commands.Loading | commands.Stale | commands.Subscribes
		send = commands.PubSub | commands.Loading | commands.Stale | commands.Fast | commands.MayReplicate
	)
	return commands.Described([]commands.Spec{
		{
			Name: "subscribe", Runs: commands.InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -2, Flags: mode, Arguments: channels,
			Summary: "Listens for messages on channels; retained messages come first",
			Reply:   "*3 subscribe channel :count per channel", Handler: f.subscriber(channelKind),
		},
		{
			Name: "unsubscribe", Runs: commands.InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -1, Flags: mode, Arguments: optionalChannels,
			Summary: "Stops listening to channels, to all when none is given",
			Reply:   "*3 unsubscribe channel :count per channel", Handler: f.unsubscriber(channelKind),
		},
		{
			Name: "psubscribe", Runs: commands.InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -2, Flags: mode,
			Arguments: []commands.Argument{{Name: "pattern", Type: "pattern", Multiple: true}},
			Summary:   "Listens for messages on channels that match glob patterns or MQTT filters; retained messages come first",
			Reply:     "*3 psubscribe pattern :count per pattern", Handler: f.subscriber(patternKind),
		},
		{
			Name: "punsubscribe", Runs: commands.InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -1, Flags: mode,
			Arguments: []commands.Argument{{Name: "pattern", Type: "pattern", Optional: true, Multiple: true}},
			Summary:   "Stops listening to patterns, to all when none is given",
			Reply:     "*3 punsubscribe pattern :count per pattern", Handler: f.unsubscriber(patternKind),
		},
		{
			Name: "ssubscribe", Runs: commands.InLoop, NeedsBrokers: true, Since: "7.0.0", Arity: -2, Flags: mode,
			Keys:      commands.EveryKey(commands.NotKey, 1),
			Arguments: shards, Summary: "Listens for messages on shard channels",
			Reply: "*3 ssubscribe shardchannel :count per channel", Handler: f.subscriber(shardKind),
		},
		{
			Name: "sunsubscribe", Runs: commands.InLoop, NeedsBrokers: true, Since: "7.0.0", Arity: -1, Flags: mode,
			Keys:      commands.EveryKey(commands.NotKey, 1),
			Arguments: optionalShards, Summary: "Stops listening to shard channels, to all when none is given",
			Reply: "*3 sunsubscribe shardchannel :count per channel", Handler: f.unsubscriber(shardKind),
		},
		{
			Name: "publish", NeedsBrokers: true, Since: "2.0.0", Arity: 3, Flags: send,
			Arguments: []commands.Argument{{Name: "channel", Type: "string"}, {Name: "message", Type: "string"}},
			Summary:   "Sends a message to a channel", Reply: ":receivers", Handler: f.publish,
		},
		{
			Name: "spublish", NeedsBrokers: true, Since: "7.0.0", Arity: 3, Flags: send,
			Keys:      commands.OneKey(commands.NotKey),
			Arguments: []commands.Argument{{Name: "shardchannel", Type: "string"}, {Name: "message", Type: "string"}},
			Summary:   "Sends a message to a shard channel", Reply: ":receivers", Handler: f.publishShard,
		},
		{
			Name: "pubsub", Since: "2.8.0", Arity: -2,
			Summary: "Tells about channels and their subscribers", Reply: "of the subcommand",
			Subcommands: f.pubsubSubcommands(),
		},
	}, "pubsub", "", "")
}

func (f *Family) pubsubSubcommands() []commands.Spec {
	const ask = commands.PubSub | commands.Loading | commands.Stale | commands.Harmless
	pattern := []commands.Argument{{Name: "pattern", Type: "pattern", Optional: true}}
	return []commands.Spec{
		{
			Name: "channels", NeedsBrokers: true, Since: "2.8.0", Arity: -2, Flags: ask, Arguments: pattern,
			Summary: "Lists the channels that have subscribers", Reply: "*n channel", Handler: f.pubsubChannels,
		},
		{
			Name: "numsub", NeedsBrokers: true, Since: "2.8.0", Arity: -2, Flags: ask,
			Arguments: []commands.Argument{{Name: "channel", Type: "string", Optional: true, Multiple: true}},
			Summary:   "Counts the subscribers of channels", Reply: "*2n channel :count", Handler: f.pubsubNumSub,
		},
		{
			Name: "numpat", NeedsBrokers: true, Since: "2.8.0", Arity: 2, Flags: ask,
			Summary: "Counts the distinct patterns that are subscribed to", Reply: ":n", Handler: f.pubsubNumPat,
		},
		{
			Name: "shardchannels", NeedsBrokers: true, Since: "7.0.0", Arity: -2, Flags: ask, Arguments: pattern,
			Summary: "Lists the shard channels that have subscribers", Reply: "*n shardchannel", Handler: f.pubsubShardChannels,
		},
		{
			Name: "shardnumsub", NeedsBrokers: true, Since: "7.0.0", Arity: -2, Flags: ask,
			Arguments: []commands.Argument{{Name: "shardchannel", Type: "string", Optional: true, Multiple: true}},
			Summary:   "Counts the subscribers of shard channels", Reply: "*2n shardchannel :count", Handler: f.pubsubShardNumSub,
		},
		{
			Name: "help", Since: "6.2.0", Arity: 2, Flags: commands.Loading | commands.Stale,
			Summary: "Describes the subcommands", Reply: "*n line", Handler: f.pubsubPrintHelp,
		},
	}
}

func (f *Family) subscriber(k *subscriptionKind) commands.Handler {
	return func(ctx *commands.Context, args [][]byte) { f.subscribe(ctx, k, args) }
}

func (f *Family) unsubscriber(k *subscriptionKind) commands.Handler {
	return func(ctx *commands.Context, args [][]byte) { f.unsubscribe(ctx, k, args) }
}

// subscriptionKind is one of Redis' three kinds of subscription: which words confirm it, where a session keeps it, and
// what its count is.
type subscriptionKind struct {
	begun, ended string
	event        eventKind
	held         func(b *busSession) *map[string]*interest
	count        func(b *busSession) int
	kind         func(name string) pubsub.Kind
}

var (
	channelKind = &subscriptionKind{
		begun: "subscribe", ended: "unsubscribe", event: eventMessage,
		held:  func(b *busSession) *map[string]*interest { return &b.channels },
		count: countChannelsAndPatterns,
		kind:  func(string) pubsub.Kind { return pubsub.Channel },
	}
	patternKind = &subscriptionKind{
		begun: "psubscribe", ended: "punsubscribe", event: eventPattern,
		held:  func(b *busSession) *map[string]*interest { return &b.patterns },
		count: countChannelsAndPatterns,
		kind: func(name string) pubsub.Kind {
			if pubsub.IsFilterPattern(name) {
				return pubsub.Filter
			}
			return pubsub.Glob
		},
	}
	shardKind = &subscriptionKind{
		begun: "ssubscribe", ended: "sunsubscribe", event: eventShard,
		held:  func(b *busSession) *map[string]*interest { return &b.shards },
		count: func(b *busSession) int { return len(b.shards) },
		kind:  func(string) pubsub.Kind { return pubsub.Shard },
	}
)

func countChannelsAndPatterns(b *busSession) int { return len(b.channels) + len(b.patterns) }

// subscribe is SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE: a confirmation per name, then what is retained, then what is published.
func (f *Family) subscribe(ctx *commands.Context, k *subscriptionKind, args [][]byte) {
	b := f.bus(ctx)
	names := args[1:]
	if err := k.admit(b, names); err != nil {
		ctx.Fail(err)
		return
	}
	taken := 0
	for _, word := range names {
		taken += subscriptionMemory(k.kind(string(word)), string(word))
	}
	if err := b.take(taken); err != nil {
		ctx.Fail(err)
		return
	}
	held := k.held(b)
	if *held == nil {
		*held = make(map[string]*interest, len(names))
	}
	var added []*interest
	for _, word := range names {
		if (*held)[string(word)] == nil {
			name := string(word)
			i := &interest{session: b, event: k.event, echo: name, memory: subscriptionMemory(k.kind(name), name)}
			taken -= i.memory
			i.Subscription = pubsub.Subscription{Subscriber: i, Owner: b.conn.ID(), Kind: k.kind(name), Name: name}
			(*held)[name] = i
			b.session.Subscribed = true
			added = append(added, i)
		}
		f.confirm(ctx, k.begun, word, k.count(b))
	}
	b.giveBack(taken) // of those that were there
	b.begin(ctx, added, true)
}

// admit refuses names that would make too many subscriptions, or too long ones.
func (k *subscriptionKind) admit(b *busSession, names [][]byte) error {
	if b.total()+len(names) > subscriptionsMax {
		return errTooManySubscriptions
	}
	for _, name := range names {
		if len(name) > pubsub.NameMax {
			return brokers.Errorf("ERR", "a channel or pattern has at most %d bytes", pubsub.NameMax)
		}
		switch k {
		case channelKind:
			if err := pubsub.ValidateChannel(name); err != nil {
				return err
			}
		case patternKind:
			if err := pubsub.ValidatePattern(string(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Family) confirm(ctx *commands.Context, word string, name []byte, count int) {
	ctx.W.Push(3)
	ctx.W.BulkString(word)
	if name == nil {
		ctx.W.Null()
	} else {
		ctx.W.Bulk(name)
	}
	ctx.W.Int(int64(count))
}

// unsubscribe is UNSUBSCRIBE, PUNSUBSCRIBE and SUNSUBSCRIBE: all when no names are given. What the connection has published before
// and was told to have reached it is delivered first.
func (f *Family) unsubscribe(ctx *commands.Context, k *subscriptionKind, args [][]byte) {
	defer ctx.Confirm()
	b := f.bus(ctx)
	b.batch.Flush()
	held := k.held(b)
	if len(args) > 1 {
		for _, name := range args[1:] {
			b.drop(*held, string(name))
			f.confirm(ctx, k.ended, name, k.count(b))
		}
		return
	}
	b.admitEnds()
	if len(*held) == 0 {
		f.confirm(ctx, k.ended, nil, k.count(b))
		return
	}
	for _, name := range sortedNames(*held) {
		b.drop(*held, name)
		f.confirm(ctx, k.ended, []byte(name), k.count(b))
	}
}

func (b *busSession) drop(held map[string]*interest, name string) bool {
	i := held[name]
	if i == nil {
		return false
	}
	b.end(i)
	delete(held, name)
	if i.Group != "" {
		delete(b.shared[i.Name], name)
		if len(b.shared[i.Name]) == 0 {
			delete(b.shared, i.Name)
		}
	}
	b.session.Subscribed = b.total() > 0
	return true
}

func (f *Family) checkPayload(ctx *commands.Context, payload []byte) error {
	if most := f.broker.MaxPayload(); len(payload) > most {
		return brokers.Errorf("TOOBIG", "payload %d > %d: a message is at most --max-payload long", len(payload), most)
	}
	return nil
}

func (f *Family) publish(ctx *commands.Context, args [][]byte) {
	err := pubsub.ValidateChannel(args[1])
	if err == nil {
		err = f.checkPayload(ctx, args[2])
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(f.bus(ctx).batch.Publish(args[1], args[2], false)))
}

func (f *Family) publishShard(ctx *commands.Context, args [][]byte) {
	err := f.checkPayload(ctx, args[2])
	if len(args[1]) > pubsub.NameMax {
		err = brokers.Errorf("ERR", "a channel has at most %d bytes", pubsub.NameMax)
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(f.bus(ctx).batch.PublishShard(args[1], args[2])))
}

func (f *Family) pubsubChannels(ctx *commands.Context, args [][]byte) {
	f.listChannels(ctx, args, false)
}
func (f *Family) pubsubShardChannels(ctx *commands.Context, args [][]byte) {
	f.listChannels(ctx, args, true)
}

func (f *Family) listChannels(ctx *commands.Context, args [][]byte, shard bool) {
	if len(args) > 3 {
		ctx.Fail(brokers.Errorf("ERR", "unknown subcommand or wrong number of arguments for '%.128s'. Try PUBSUB HELP.", args[1]))
		return
	}
	var pattern []byte
	if len(args) == 3 {
		if pattern = args[2]; len(pattern) > pubsub.GlobMax {
			ctx.Fail(pubsub.ErrGlobLength)
			return
		}
	}
	names := f.broker.Channels(pattern, shard)
	ctx.W.Array(len(names))
	for _, name := range names {
		ctx.W.BulkString(name)
	}
}

func (f *Family) pubsubNumSub(ctx *commands.Context, args [][]byte) {
	f.countSubscribers(ctx, args, false)
}
func (f *Family) pubsubShardNumSub(ctx *commands.Context, args [][]byte) {
	f.countSubscribers(ctx, args, true)
}

func (f *Family) countSubscribers(ctx *commands.Context, args [][]byte, shard bool) {
	names := args[2:]
	ctx.W.Array(2 * len(names))
	for _, name := range names {
		ctx.W.Bulk(name)
		ctx.W.Int(int64(f.broker.Subscribers(name, shard)))
	}
}

func (f *Family) pubsubNumPat(ctx *commands.Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Patterns()))
}

// pubsubHelp answers the lines of Redis.
var pubsubHelp = []string{
	"PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"CHANNELS [<pattern>]",
	"    Return the currently active channels matching a <pattern> (default: '*').",
	"NUMPAT",
	"    Return number of subscriptions to patterns.",
	"NUMSUB [<channel> ...]",
	"    Return the number of subscribers for the specified channels, excluding",
	"    pattern subscriptions(default: no channels).",
	"SHARDCHANNELS [<pattern>]",
	"    Return the currently active shard level channels matching a <pattern> (default: '*').",
	"SHARDNUMSUB [<shardchannel> ...]",
	"    Return the number of subscribers for the specified shard level channel(s)",
	"HELP",
	"    Prints this help.",
}

func (f *Family) pubsubPrintHelp(ctx *commands.Context, args [][]byte) {
	ctx.W.Array(len(pubsubHelp))
	for _, line := range pubsubHelp {
		ctx.W.SimpleString(line)
	}
}

// cursorOf reads the CURSOR of a topic listing: 0 is the start, anything else is the topic to go on behind, as the page
// before gave it.
func cursorOf(word []byte) (after string, err error) {
	switch {
	case len(word) == 1 && word[0] == '0':
		return "", nil
	case len(word) > 1 && len(word) <= pubsub.NameMax+1 && word[0] == '>':
		return string(word[1:]), nil
	}
	return "", brokers.Errorf("ERR", "invalid cursor")
}

// writeCursor writes the cursor behind a page that ends with the topic last: 0 when there is nothing more.
func writeCursor(ctx *commands.Context, last string, more bool) {
	if !more {
		ctx.W.BulkString("0")
		return
	}
	ctx.W.BulkString(">" + last)
}

// retainExpiry is when a retained message ends.
type retainExpiry struct {
	millis   int64
	absolute bool
}

func (e retainExpiry) end() pubsub.Expiry {
	if e.absolute {
		return pubsub.Until(e.millis)
	}
	return pubsub.After(e.millis) // 0 is never
}

// parseExpiry reads the value of EX, PX, EXAT or PXAT; seconds and absolute tell which it is.
func parseExpiry(word []byte, seconds, absolute bool, command string) (retainExpiry, error) {
	n, ok := commands.ParseInt(word)
	if !ok {
		return retainExpiry{}, commands.ErrNotInteger
	}
	// 1<<52 milliseconds are far beyond every calendar and leave room for sums.
	most := int64(1) << 52
	if seconds {
		most /= 1000
	}
	if n <= 0 || n > most {
		return retainExpiry{}, brokers.Errorf("ERR", "invalid expire time in '%s' command", command)
	}
	if seconds {
		n *= 1000
	}
	return retainExpiry{millis: n, absolute: absolute}, nil
}
