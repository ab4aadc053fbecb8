package bus

import (
	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands"
)

// busSpecs are our own words for the same bus: retained messages, topic filters, shared groups, wills.
func (f *Family) busSpecs() []commands.Spec {
	retain := commands.Argument{Name: "retain", Type: "block", Optional: true, Arguments: []commands.Argument{
		{Name: "retain", Type: "pure-token", Token: "RETAIN"},
		{Name: "expiration", Type: "oneof", Optional: true, Arguments: []commands.Argument{
			{Name: "seconds", Type: "integer", Token: "EX"},
			{Name: "milliseconds", Type: "integer", Token: "PX"},
			{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT"},
			{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT"},
		}},
	}}
	topic, payload := commands.Argument{Name: "topic", Type: "string"}, commands.Argument{Name: "payload", Type: "string"}
	filter := commands.Argument{Name: "filter", Type: "string"}
	count := commands.Argument{Name: "count", Type: "integer", Token: "COUNT", Optional: true}
	cursor := commands.Argument{Name: "cursor", Type: "string", Token: "CURSOR", Optional: true}
	return commands.Described([]commands.Spec{
		{
			Name: "npub", Arity: -3, Flags: commands.Write | commands.PubSub | commands.Fast,
			Summary: "Publishes a message, and keeps it for later subscribers with RETAIN", Reply: ":receivers",
			Arguments: []commands.Argument{topic, payload, retain,
				{Name: "noecho", Type: "pure-token", Token: "NOECHO", Optional: true}},
			Handler: f.npub,
		},
		{
			Name: "nmpub", Runs: commands.InLoop, Arity: -4, Flags: commands.PubSub | commands.MayReplicate,
			Summary: "Publishes several messages", Reply: "*n :receivers",
			Arguments: []commands.Argument{{Name: "n", Type: "integer"},
				{Name: "message", Type: "block", Multiple: true, Arguments: []commands.Argument{topic, payload}}},
			Handler: f.nmpub,
		},
		{
			Name: "nsub", Runs: commands.InLoop, Arity: -2, Flags: commands.PubSub | commands.PubSubMode | commands.Subscribes,
			Summary: "Subscribes to topic filters with flags and shared groups",
			Reply:   "RESP3 *n of *2 filter :count | RESP2 *3 nsubscribe filter :count per filter",
			Arguments: []commands.Argument{{Name: "filter", Type: "string", Multiple: true},
				{Name: "noretained", Type: "pure-token", Token: "NORETAINED", Optional: true},
				{Name: "nolocal", Type: "pure-token", Token: "NOLOCAL", Optional: true},
				{Name: "group", Type: "string", Token: "SHARE", Optional: true}},
			Handler: f.nsub,
		},
		{
			Name: "nunsub", Runs: commands.InLoop, Arity: -1, Flags: commands.PubSub | commands.PubSubMode | commands.Subscribes,
			Summary:   "Ends subscriptions to topic filters, all when none is given",
			Reply:     "RESP3 *n of *2 filter :count | RESP2 *3 nunsubscribe filter :count per filter",
			Arguments: []commands.Argument{{Name: "filter", Type: "string", Optional: true, Multiple: true}},
			Handler:   f.nunsub,
		},
		{
			Name: "nretained", Arity: -2, Flags: commands.ReadOnly | commands.PubSub,
			Summary: "Lists the retained messages that a filter matches", Reply: "*2 $cursor *k *3 topic payload :ttl-ms(-1)",
			Arguments: []commands.Argument{filter, count, cursor}, Handler: f.nretained,
		},
		{
			Name: "nrdel", Arity: 2, Flags: commands.Write | commands.PubSub,
			Summary: "Clears the retained messages that a filter matches", Reply: ":n",
			Arguments: []commands.Argument{filter}, Handler: f.nrdel,
		},
		{
			Name: "ntopics", Arity: -1, Flags: commands.ReadOnly | commands.PubSub,
			Summary: "Lists the topics that have subscribers or a retained message, or the filters with wildcards and the patterns that are " +
				"subscribed to",
			Reply: "*2 $cursor *k *3 topic :subscribers :retained; of wildcards *3 filter :subscribers :pattern",
			Arguments: []commands.Argument{{Name: "filter", Type: "string", Optional: true},
				{Name: "kind", Type: "oneof", Token: "KIND", Optional: true, Arguments: []commands.Argument{
					{Name: "topic", Type: "pure-token", Token: "TOPIC"}, {Name: "wildcard", Type: "pure-token", Token: "WILDCARD"}}}, count, cursor},
			Handler: f.ntopics,
		},
		{
			Name: "nwho", Arity: -2, Flags: commands.ReadOnly | commands.PubSub,
			Summary: "Lists the subscriptions that have to do with a filter, or are exactly to it", Reply: "*k *4 :client-id name addr filter",
			Arguments: []commands.Argument{filter, {Name: "exact", Type: "pure-token", Token: "EXACT", Optional: true}}, Handler: f.nwho,
		},
		{
			Name: "nwill", Runs: commands.InLoop, Arity: -2, Flags: commands.Write | commands.PubSub,
			Summary: "Leaves a message that is published when the connection dies without a good-bye", Reply: "+OK",
			Arguments: []commands.Argument{{Name: "will", Type: "oneof", Arguments: []commands.Argument{
				{Name: "clear", Type: "pure-token", Token: "CLEAR"},
				{Name: "message", Type: "block", Arguments: []commands.Argument{topic, payload, retain}},
			}}},
			Handler: f.nwill,
		},
	}, "bus", "0.1.0", "")
}

const (
	pageDefault = 100
	pageMax     = 10000
	// whoMax bounds the reply of NWHO.
	whoMax = 10000
)

const (
	optionRetain uint64 = 1 << iota
	optionExpiry
	optionNoEcho
	optionNoRetained
	optionNoLocal
	optionShare
	optionCount
	optionCursor
	optionKind
)

// publishOptions are the words behind NPUB's and NWILL's payload.
type publishOptions struct {
	retain, noEcho bool
	expiry         retainExpiry
}

func (f *Family) parsePublishOptions(args [][]byte, command string, echoes bool) (publishOptions, error) {
	var parsed publishOptions
	var expiryWord []byte
	o := commands.OptionsFrom(args, 3)
	expiry := func(seconds, absolute bool) {
		expiryWord = o.Current
		value := o.Value()
		if o.Err == nil {
			parsed.expiry, o.Err = parseExpiry(value, seconds, absolute, command)
		}
	}
	for o.Next() {
		switch {
		case o.Word("RETAIN", optionRetain):
			parsed.retain = true
		case echoes && o.Word("NOECHO", optionNoEcho):
			parsed.noEcho = true
		case o.Word("EX", optionExpiry):
			expiry(true, false)
		case o.Word("PX", optionExpiry):
			expiry(false, false)
		case o.Word("EXAT", optionExpiry):
			expiry(true, true)
		case o.Word("PXAT", optionExpiry):
			expiry(false, true)
		default:
			o.Unknown()
		}
	}
	if o.Err == nil && expiryWord != nil && !parsed.retain {
		o.Err = commands.SyntaxErrorNear(expiryWord)
	}
	if parsed.retain && expiryWord == nil {
		parsed.expiry = retainExpiry{millis: f.retainedTTL.Milliseconds()}
	}
	return parsed, o.Err
}

func (f *Family) npub(ctx *commands.Context, args [][]byte) {
	options, err := f.parsePublishOptions(args, "npub", true)
	if err == nil {
		err = f.checkMessage(ctx, args[1], args[2])
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	batch := f.bus(ctx).batch
	if !options.retain {
		ctx.W.Int(int64(batch.Publish(args[1], args[2], options.noEcho)))
		return
	}
	receivers, receipt, err := batch.Retain(args[1], args[2], options.expiry.end(), options.noEcho)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(receivers))
	ctx.Await(receipt)
}

func (f *Family) checkMessage(ctx *commands.Context, topic, payload []byte) error {
	if err := pubsub.ValidateTopic(topic); err != nil {
		return err
	}
	return f.checkPayload(ctx, payload)
}

func (f *Family) nmpub(ctx *commands.Context, args [][]byte) {
	counted, err := commands.ReadCounted(args, 1, 2, commands.ItemsMax, "n")
	if err == nil && counted.To < len(args) {
		err = brokers.Errorf("ERR", "n is %d: %d arguments must follow, not %d", counted.N, 2*counted.N, len(args)-2)
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	messages := args[2:]
	for i := 0; i < len(messages); i += 2 {
		if err := f.checkMessage(ctx, messages[i], messages[i+1]); err != nil {
			ctx.Fail(err)
			return
		}
	}
	batch := f.bus(ctx).batch
	ctx.W.Array(counted.N)
	for i := 0; i < len(messages); i += 2 {
		ctx.W.Int(int64(batch.Publish(messages[i], messages[i+1], false)))
	}
}

// filterRequest is one filter of an NSUB.
type filterRequest struct {
	echo, filter, group string
}

// key is the name that a session keeps the subscription under.
func (r filterRequest) key() string {
	if r.group == "" {
		return r.filter
	}
	return "$share/" + r.group + "/" + r.filter
}

// nsubRequest is a parsed NSUB. The words up to the first option are filters; the first word always is one.
type nsubRequest struct {
	filters             []filterRequest
	noRetained, noLocal bool
}

func parseNSub(args [][]byte) (nsubRequest, error) {
	var request nsubRequest
	first := 2
	for first < len(args) && !commands.Is(args[first], "NORETAINED") && !commands.Is(args[first], "NOLOCAL") &&
		!commands.Is(args[first], "SHARE") {
		first++
	}
	group := ""
	o := commands.OptionsFrom(args, first)
	for o.Next() {
		switch {
		case o.Word("NORETAINED", optionNoRetained):
			request.noRetained = true
		case o.Word("NOLOCAL", optionNoLocal):
			request.noLocal = true
		case o.Word("SHARE", optionShare):
			if group = string(o.Value()); o.Err == nil {
				o.Err = pubsub.ValidateGroup(group)
			}
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		return request, o.Err
	}
	for _, word := range args[1:first] {
		one := filterRequest{echo: string(word), group: group}
		own, filter, err := pubsub.SplitShare(one.echo)
		if err == nil {
			err = pubsub.ValidateFilter(filter)
		}
		switch {
		case err != nil:
			return request, err
		case own != "" && group != "":
			return request, brokers.Errorf("ERR", "a $share/ filter already names its group")
		case own != "":
			one.group = own
		}
		one.filter = filter
		if one.group != "" && request.noLocal {
			return request, brokers.Errorf("ERR", "NOLOCAL and a shared group exclude each other")
		}
		request.filters = append(request.filters, one)
	}
	return request, nil
}

func (f *Family) nsub(ctx *commands.Context, args [][]byte) {
	request, err := parseNSub(args)
	b := f.bus(ctx)
	if err == nil && b.total()+len(request.filters) > subscriptionsMax {
		err = errTooManySubscriptions
	}
	taken := 0
	for _, one := range request.filters {
		taken += subscriptionMemory(pubsub.Filter, one.filter)
	}
	if err == nil {
		err = b.take(taken)
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	if b.filters == nil {
		b.filters = make(map[string]*interest, len(request.filters))
	}
	inBand := ctx.W.Proto() >= 3
	if inBand {
		ctx.W.Array(len(request.filters))
	}
	var added, replaced []*interest
	for _, one := range request.filters {
		old := b.filters[one.key()]
		if old == nil || old.NoLocal != request.noLocal {
			i := b.newFilterInterest(one, request.noLocal)
			b.filters[one.key()] = i
			b.share(i, one.key())
			b.session.Subscribed = true
			taken -= i.memory
			added = append(added, i)
			if old != nil {
				replaced = append(replaced, old)
			}
		}
		f.confirmFilter(ctx, inBand, "nsubscribe", []byte(one.echo), len(b.filters))
	}
	b.giveBack(taken) // of those that were there
	b.begin(ctx, added, !request.noRetained)
	for _, old := range replaced {
		b.end(old)
	}
}

func (b *busSession) newFilterInterest(request filterRequest, noLocal bool) *interest {
	i := &interest{session: b, event: eventFilter, echo: request.echo, memory: subscriptionMemory(pubsub.Filter, request.filter)}
	if request.group != "" {
		i.event = eventShared
	}
	i.Subscription = pubsub.Subscription{
		Subscriber: i, Owner: b.conn.ID(), Kind: pubsub.Filter, Name: request.filter, Group: request.group, NoLocal: noLocal,
	}
	return i
}

func (f *Family) confirmFilter(ctx *commands.Context, inBand bool, word string, filter []byte, count int) {
	if !inBand {
		f.confirm(ctx, word, filter, count)
		return
	}
	ctx.W.Array(2)
	ctx.W.Bulk(filter)
	ctx.W.Int(int64(count))
}

// nunsub ends the plain and every shared subscription to a filter; a filter written as $share/group/filter ends that one only.
func (f *Family) nunsub(ctx *commands.Context, args [][]byte) {
	b := f.bus(ctx)
	b.batch.Flush() // as in unsubscribe
	inBand := ctx.W.Proto() >= 3
	names := args[1:]
	if len(names) == 0 {
		b.admitEnds()
		for _, key := range sortedNames(b.filters) {
			names = append(names, []byte(key))
		}
	}
	switch {
	case inBand:
		ctx.W.Array(len(names))
	case len(names) == 0:
		f.confirm(ctx, "nunsubscribe", nil, len(b.filters))
	}
	for _, name := range names {
		b.drop(b.filters, string(name))
		for key := range b.shared[string(name)] {
			b.drop(b.filters, key)
		}
		f.confirmFilter(ctx, inBand, "nunsubscribe", name, len(b.filters))
	}
	if !inBand {
		ctx.Confirm()
	}
}

// share keeps the name of a shared subscription where the end of its filter finds it.
func (b *busSession) share(i *interest, key string) {
	if i.Group == "" {
		return
	}
	if b.shared == nil {
		b.shared = map[string]map[string]struct{}{}
	}
	if b.shared[i.Name] == nil {
		b.shared[i.Name] = map[string]struct{}{}
	}
	b.shared[i.Name][key] = struct{}{}
}

// parsePage reads COUNT and CURSOR.
func parsePage(args [][]byte, first int) (count int, after string, err error) {
	count, after, _, err = parseListing(args, first, false)
	return count, after, err
}

// parseListing is parsePage for a list that may be of wildcards.
func parseListing(args [][]byte, first int, kinds bool) (count int, after string, wildcards bool, err error) {
	count = pageDefault
	o := commands.OptionsFrom(args, first)
	for o.Next() {
		switch {
		case kinds && o.Word("KIND", optionKind):
			switch word := o.Value(); {
			case commands.Is(word, "WILDCARD"):
				wildcards = true
			case !commands.Is(word, "TOPIC") && o.Err == nil:
				o.Err = brokers.Errorf("ERR", "KIND is TOPIC or WILDCARD")
			}
		case o.Word("COUNT", optionCount):
			count = int(o.Integer(1, pageMax))
		case o.Word("CURSOR", optionCursor):
			if word := o.Value(); o.Err == nil {
				after, o.Err = cursorOf(word)
			}
		default:
			o.Unknown()
		}
	}
	return count, after, wildcards, o.Err
}

func (f *Family) nretained(ctx *commands.Context, args [][]byte) {
	count, after, err := parsePage(args, 2)
	if err != nil {
		ctx.Fail(err)
		return
	}
	page, more, err := f.broker.RetainedPage(string(args[1]), after, count)
	if err != nil {
		ctx.Fail(err)
		return
	}
	writePage(ctx, page, more, func(entry pubsub.Retained) string { return entry.Topic }, func(entry pubsub.Retained) {
		ctx.W.Bulk(entry.Payload)
		ctx.W.Int(entry.TTLMillis)
	})
}

// writePage answers a page of a list: the cursor behind it, then three words for each item, of which the first is its name.
func writePage[T any](ctx *commands.Context, page []T, more bool, name func(T) string, rest func(T)) {
	last := ""
	if len(page) > 0 {
		last = name(page[len(page)-1])
	}
	ctx.W.Array(2)
	writeCursor(ctx, last, more)
	ctx.W.Array(len(page))
	for _, item := range page {
		ctx.W.Array(3)
		ctx.W.BulkString(name(item))
		rest(item)
	}
}

func (f *Family) nrdel(ctx *commands.Context, args [][]byte) {
	n, receipt, err := f.broker.DeleteRetained(string(args[1]))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
	ctx.Await(receipt)
}

// ntopics takes the word behind the name as the filter when the others are options in pairs.
func (f *Family) ntopics(ctx *commands.Context, args [][]byte) {
	filter, first := "#", 1
	if len(args)%2 == 0 {
		filter, first = string(args[1]), 2
	}
	count, after, wildcards, err := parseListing(args, first, true)
	if err != nil {
		ctx.Fail(err)
		return
	}
	if wildcards {
		f.listWildcards(ctx, filter, after, count)
		return
	}
	page, more, err := f.broker.TopicsPage(filter, after, count)
	if err != nil {
		ctx.Fail(err)
		return
	}
	writePage(ctx, page, more, func(topic pubsub.Topic) string { return topic.Name }, func(topic pubsub.Topic) {
		ctx.W.Int(int64(topic.Subscribers))
		ctx.W.Int(commands.BoolInt(topic.Retained))
	})
}

func (f *Family) listWildcards(ctx *commands.Context, filter, after string, count int) {
	page, more, err := f.broker.WildcardsPage(filter, after, count)
	if err != nil {
		ctx.Fail(err)
		return
	}
	writePage(ctx, page, more, func(wildcard pubsub.Wildcard) string { return wildcard.Name }, func(wildcard pubsub.Wildcard) {
		ctx.W.Int(int64(wildcard.Subscribers))
		ctx.W.Int(commands.BoolInt(wildcard.Glob))
	})
}

func (f *Family) nwho(ctx *commands.Context, args [][]byte) {
	var subscriptions []*pubsub.Subscription
	switch {
	case len(args) == 3 && commands.Is(args[2], "EXACT"):
		subscriptions = f.broker.SubscriptionsTo(string(args[1]), whoMax)
	case len(args) > 2:
		ctx.Fail(commands.SyntaxErrorNear(args[2]))
		return
	default:
		var err error
		if subscriptions, err = f.broker.Subscriptions(string(args[1]), whoMax); err != nil {
			ctx.Fail(err)
			return
		}
	}
	var known []*interest
	for _, sub := range subscriptions {
		if i, ok := sub.Subscriber.(*interest); ok {
			known = append(known, i)
		}
	}
	ctx.W.Array(len(known))
	for _, i := range known {
		name := ""
		if n := i.session.shown.name.Load(); n != nil {
			name = *n
		}
		ctx.W.Array(4)
		ctx.W.Int(int64(i.Owner))
		ctx.W.BulkString(name)
		ctx.W.BulkString(i.session.conn.RemoteAddr().String())
		ctx.W.BulkString(i.echo)
	}
}

func (f *Family) nwill(ctx *commands.Context, args [][]byte) {
	b := f.bus(ctx)
	if len(args) == 2 {
		if !commands.Is(args[1], "CLEAR") {
			ctx.Fail(commands.SyntaxErrorNear(args[1]))
			return
		}
		_ = b.setWill(nil) // nothing is always allowed
		ctx.W.OK()
		return
	}
	options, err := f.parsePublishOptions(args, "nwill", false)
	if err == nil {
		err = f.checkMessage(ctx, args[1], args[2])
	}
	if err != nil {
		ctx.Fail(err)
		return
	}
	err = b.setWill(&will{
		topic: append([]byte(nil), args[1]...), payload: append([]byte(nil), args[2]...),
		retain: options.retain, expiry: options.expiry,
	})
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.OK()
}
