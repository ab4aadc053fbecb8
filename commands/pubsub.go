package commands

// pubsubSpecs are Redis' own pub/sub commands.
func (f *Bus) pubsubSpecs() []Spec {
	channels := []Argument{{Name: "channel", Type: "string", Multiple: true}}
	optionalChannels := []Argument{{Name: "channel", Type: "string", Optional: true, Multiple: true}}
	shards := []Argument{{Name: "shardchannel", Type: "string", Multiple: true}}
	optionalShards := []Argument{{Name: "shardchannel", Type: "string", Optional: true, Multiple: true}}
	const (
		mode = PubSub | PubSubMode | NoScript | Loading | Stale | Subscribes
		send = PubSub | Loading | Stale | Fast | MayReplicate
	)
	return Described([]Spec{
		{
			Name: "subscribe", Runs: InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -2, Flags: mode, Arguments: channels,
			Summary: "Listens for messages on channels; retained messages come first",
			Reply:   "*3 subscribe channel :count per channel", Handler: f.subscriber(channelKind),
		},
		{
			Name: "unsubscribe", Runs: InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -1, Flags: mode, Arguments: optionalChannels,
			Summary: "Stops listening to channels, to all when none is given",
			Reply:   "*3 unsubscribe channel :count per channel", Handler: f.unsubscriber(channelKind),
		},
		{
			Name: "psubscribe", Runs: InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -2, Flags: mode,
			Arguments: []Argument{{Name: "pattern", Type: "pattern", Multiple: true}},
			Summary:   "Listens for messages on channels that match glob patterns or MQTT filters; retained messages come first",
			Reply:     "*3 psubscribe pattern :count per pattern", Handler: f.subscriber(patternKind),
		},
		{
			Name: "punsubscribe", Runs: InLoop, NeedsBrokers: true, Since: "2.0.0", Arity: -1, Flags: mode,
			Arguments: []Argument{{Name: "pattern", Type: "pattern", Optional: true, Multiple: true}},
			Summary:   "Stops listening to patterns, to all when none is given",
			Reply:     "*3 punsubscribe pattern :count per pattern", Handler: f.unsubscriber(patternKind),
		},
		{
			Name: "ssubscribe", Runs: InLoop, NeedsBrokers: true, Since: "7.0.0", Arity: -2, Flags: mode, Keys: EveryKey(NotKey, 1),
			Arguments: shards, Summary: "Listens for messages on shard channels",
			Reply: "*3 ssubscribe shardchannel :count per channel", Handler: f.subscriber(shardKind),
		},
		{
			Name: "sunsubscribe", Runs: InLoop, NeedsBrokers: true, Since: "7.0.0", Arity: -1, Flags: mode, Keys: EveryKey(NotKey, 1),
			Arguments: optionalShards, Summary: "Stops listening to shard channels, to all when none is given",
			Reply: "*3 sunsubscribe shardchannel :count per channel", Handler: f.unsubscriber(shardKind),
		},
		{
			Name: "publish", NeedsBrokers: true, Since: "2.0.0", Arity: 3, Flags: send,
			Arguments: []Argument{{Name: "channel", Type: "string"}, {Name: "message", Type: "string"}},
			Summary:   "Sends a message to a channel", Reply: ":receivers", Handler: f.publish,
		},
		{
			Name: "spublish", NeedsBrokers: true, Since: "7.0.0", Arity: 3, Flags: send,
			Keys:      OneKey(NotKey),
			Arguments: []Argument{{Name: "shardchannel", Type: "string"}, {Name: "message", Type: "string"}},
			Summary:   "Sends a message to a shard channel", Reply: ":receivers", Handler: f.publishShard,
		},
		{
			Name: "pubsub", Since: "2.8.0", Arity: -2,
			Summary: "Tells about channels and their subscribers", Reply: "of the subcommand",
			Subcommands: f.pubsubSubcommands(),
		},
	}, "pubsub", "", "")
}

func (f *Bus) pubsubSubcommands() []Spec {
	const ask = PubSub | Loading | Stale | Harmless
	pattern := []Argument{{Name: "pattern", Type: "pattern", Optional: true}}
	return []Spec{
		{
			Name: "channels", NeedsBrokers: true, Since: "2.8.0", Arity: -2, Flags: ask, Arguments: pattern,
			Summary: "Lists the channels that have subscribers", Reply: "*n channel", Handler: f.pubsubChannels,
		},
		{
			Name: "numsub", NeedsBrokers: true, Since: "2.8.0", Arity: -2, Flags: ask,
			Arguments: []Argument{{Name: "channel", Type: "string", Optional: true, Multiple: true}},
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
			Arguments: []Argument{{Name: "shardchannel", Type: "string", Optional: true, Multiple: true}},
			Summary:   "Counts the subscribers of shard channels", Reply: "*2n shardchannel :count", Handler: f.pubsubShardNumSub,
		},
		{
			Name: "help", Since: "6.2.0", Arity: 2, Flags: Loading | Stale,
			Summary: "Describes the subcommands", Reply: "*n line", Handler: f.pubsubPrintHelp,
		},
	}
}

func (f *Bus) subscriber(k *subscriptionKind) Handler {
	return func(ctx *Context, args [][]byte) { f.subscribe(ctx, k, args) }
}

func (f *Bus) unsubscriber(k *subscriptionKind) Handler {
	return func(ctx *Context, args [][]byte) { f.unsubscribe(ctx, k, args) }
}
