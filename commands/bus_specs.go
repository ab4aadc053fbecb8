package commands

// busSpecs are our own words for the same bus: retained messages, topic filters, shared groups, wills.
func (f *Bus) busSpecs() []Spec {
	retain := Argument{Name: "retain", Type: "block", Optional: true, Arguments: []Argument{
		{Name: "retain", Type: "pure-token", Token: "RETAIN"},
		{Name: "expiration", Type: "oneof", Optional: true, Arguments: []Argument{
			{Name: "seconds", Type: "integer", Token: "EX"},
			{Name: "milliseconds", Type: "integer", Token: "PX"},
			{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT"},
			{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT"},
		}},
	}}
	topic, payload := Argument{Name: "topic", Type: "string"}, Argument{Name: "payload", Type: "string"}
	filter := Argument{Name: "filter", Type: "string"}
	count := Argument{Name: "count", Type: "integer", Token: "COUNT", Optional: true}
	cursor := Argument{Name: "cursor", Type: "string", Token: "CURSOR", Optional: true}
	return Described([]Spec{
		{
			Name: "npub", Arity: -3, Flags: Write | PubSub | Fast,
			Summary: "Publishes a message, and keeps it for later subscribers with RETAIN", Reply: ":receivers",
			Arguments: []Argument{topic, payload, retain,
				{Name: "noecho", Type: "pure-token", Token: "NOECHO", Optional: true}},
			Handler: f.npub,
		},
		{
			Name: "nmpub", Runs: InLoop, Arity: -4, Flags: PubSub | MayReplicate,
			Summary: "Publishes several messages", Reply: "*n :receivers",
			Arguments: []Argument{{Name: "n", Type: "integer"},
				{Name: "message", Type: "block", Multiple: true, Arguments: []Argument{topic, payload}}},
			Handler: f.nmpub,
		},
		{
			Name: "nsub", Runs: InLoop, Arity: -2, Flags: PubSub | PubSubMode | Subscribes,
			Summary: "Subscribes to topic filters with flags and shared groups",
			Reply:   "RESP3 *n of *2 filter :count | RESP2 *3 nsubscribe filter :count per filter",
			Arguments: []Argument{{Name: "filter", Type: "string", Multiple: true},
				{Name: "noretained", Type: "pure-token", Token: "NORETAINED", Optional: true},
				{Name: "nolocal", Type: "pure-token", Token: "NOLOCAL", Optional: true},
				{Name: "group", Type: "string", Token: "SHARE", Optional: true}},
			Handler: f.nsub,
		},
		{
			Name: "nunsub", Runs: InLoop, Arity: -1, Flags: PubSub | PubSubMode | Subscribes,
			Summary:   "Ends subscriptions to topic filters, all when none is given",
			Reply:     "RESP3 *n of *2 filter :count | RESP2 *3 nunsubscribe filter :count per filter",
			Arguments: []Argument{{Name: "filter", Type: "string", Optional: true, Multiple: true}},
			Handler:   f.nunsub,
		},
		{
			Name: "nretained", Arity: -2, Flags: ReadOnly | PubSub,
			Summary: "Lists the retained messages that a filter matches", Reply: "*2 $cursor *k *3 topic payload :ttl-ms(-1)",
			Arguments: []Argument{filter, count, cursor}, Handler: f.nretained,
		},
		{
			Name: "nrdel", Arity: 2, Flags: Write | PubSub,
			Summary: "Clears the retained messages that a filter matches", Reply: ":n",
			Arguments: []Argument{filter}, Handler: f.nrdel,
		},
		{
			Name: "ntopics", Arity: -1, Flags: ReadOnly | PubSub,
			Summary: "Lists the topics that have subscribers or a retained message, or the filters with wildcards and the patterns that are subscribed to",
			Reply:   "*2 $cursor *k *3 topic :subscribers :retained; of wildcards *3 filter :subscribers :pattern",
			Arguments: []Argument{{Name: "filter", Type: "string", Optional: true}, {Name: "kind", Type: "oneof", Token: "KIND", Optional: true, Arguments: []Argument{
				{Name: "topic", Type: "pure-token", Token: "TOPIC"}, {Name: "wildcard", Type: "pure-token", Token: "WILDCARD"}}}, count, cursor},
			Handler: f.ntopics,
		},
		{
			Name: "nwho", Arity: -2, Flags: ReadOnly | PubSub,
			Summary: "Lists the subscriptions that have to do with a filter, or are exactly to it", Reply: "*k *4 :client-id name addr filter",
			Arguments: []Argument{filter, {Name: "exact", Type: "pure-token", Token: "EXACT", Optional: true}}, Handler: f.nwho,
		},
		{
			Name: "nwill", Runs: InLoop, Arity: -2, Flags: Write | PubSub,
			Summary: "Leaves a message that is published when the connection dies without a good-bye", Reply: "+OK",
			Arguments: []Argument{{Name: "will", Type: "oneof", Arguments: []Argument{
				{Name: "clear", Type: "pure-token", Token: "CLEAR"},
				{Name: "message", Type: "block", Arguments: []Argument{topic, payload, retain}},
			}}},
			Handler: f.nwill,
		},
	}, "bus", "0.1.0", "")
}
