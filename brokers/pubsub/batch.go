package pubsub

const (
	// batchMax is how many bytes of topics and payloads a batch gathers before it flushes by itself, batchMessagesMax how
	// many messages.
	batchMax         = 256 << 10
	batchMessagesMax = 8192
)

// Forms is how many encodings of a run can be shared.
const Forms = 16

// Message is one message of a run, valid during Deliver.
type Message struct {
	Topic, Payload []byte
}

// Run is consecutive messages that go to the same subscriptions. It is valid during Deliver.
type Run struct {
	Messages []Message

	encodings [Forms]any
}

// Encoding is what SetEncoding was given for this form while the run was delivered to another subscription with the same
// name; nil when that has not happened yet.
func (r *Run) Encoding(form uint8) any { return r.encodings[form] }

// SetEncoding shares the encoded run with the subscriptions of the same name and form that follow.
func (r *Run) SetEncoding(form uint8, encoded any) { r.encodings[form] = encoded }

// Batch gathers what one publisher publishes. It belongs to one goroutine; Flush must be called before that
// goroutine waits for anything.
type Batch struct {
	broker *Broker
	owner  uint64

	buffer []byte // topics and payloads of the messages, copied
	spans  []span
	runs   []pending
	run    Run

	// The route of the last publish, which the next one takes when nothing has changed since.
	last struct {
		changes uint64
		topic   []byte
		shard   bool
		valid   bool
		to      route
		count   int
	}
}

// span is where a message lies in the buffer.
type span struct{ topicAt, topicEnd, payloadAt, payloadEnd int }

// pending is a run that is being gathered: the spans up to end that earlier runs do not hold.
type pending struct {
	to     route
	noEcho bool
	end    int
}

// NewBatch returns the batch of the publisher known as owner.
func (b *Broker) NewBatch(owner uint64) *Batch { return &Batch{broker: b, owner: owner} }

// Publish gathers one message for every subscription that matches and returns how many those are. noEcho leaves
// out the publisher's own. The bytes are copied.
func (b *Batch) Publish(topic, payload []byte, noEcho bool) int {
	return b.gather(topic, payload, noEcho, false)
}

// PublishShard is Publish in the space of the shard channels.
func (b *Batch) PublishShard(topic, payload []byte) int {
	return b.gather(topic, payload, false, true)
}

func (b *Batch) gather(topic, payload []byte, noEcho, shard bool) int {
	b.broker.published.Add(1)
	if !shard {
		b.broker.show(topic, payload)
	}
	repeated := b.lookUp(topic, shard)
	if b.last.count == 0 {
		return 0
	}
	receivers := b.receivers(b.last.to, b.last.count, noEcho)
	if receivers == 0 {
		return 0
	}
	b.append(topic, payload, repeated)
	last := len(b.runs) - 1
	if last >= 0 && b.runs[last].noEcho == noEcho && b.runs[last].to.same(b.last.to) {
		b.runs[last].end = len(b.spans)
	} else {
		b.runs = append(b.runs, pending{to: b.last.to, noEcho: noEcho, end: len(b.spans)})
	}
	if len(b.buffer) >= batchMax || len(b.spans) >= batchMessagesMax {
		b.Flush()
	}
	return receivers
}

// lookUp makes b.last the route of a name and tells whether it was that of the last publish.
func (b *Batch) lookUp(topic []byte, shard bool) (repeated bool) {
	changes := b.broker.changes.Load()
	last := &b.last
	repeated = last.valid && last.shard == shard && string(last.topic) == string(topic)
	if repeated && last.changes == changes {
		return true
	}
	last.to = b.broker.route(topic, shard)
	last.count = last.to.count()
	last.changes, last.shard, last.valid = changes, shard, true
	last.topic = append(last.topic[:0], topic...)
	return repeated
}

// append copies a message into the buffer; a topic that was published just before is not copied again.
func (b *Batch) append(topic, payload []byte, repeated bool) {
	var s span
	if n := len(b.spans); repeated && n > 0 {
		s.topicAt, s.topicEnd = b.spans[n-1].topicAt, b.spans[n-1].topicEnd
	}
	if !repeated || string(b.buffer[s.topicAt:s.topicEnd]) != string(topic) {
		s.topicAt = len(b.buffer)
		b.buffer = append(b.buffer, topic...)
		s.topicEnd = len(b.buffer)
	}
	s.payloadAt = len(b.buffer)
	b.buffer = append(b.buffer, payload...)
	s.payloadEnd = len(b.buffer)
	b.spans = append(b.spans, s)
}

// receivers is the number of subscriptions that will get a message, without those that this publisher is kept from.
func (b *Batch) receivers(to route, count int, noEcho bool) int {
	count -= b.skippedOf(to.own, noEcho)
	for i := range to.wild {
		count -= b.skippedOf(to.wild[i], noEcho)
	}
	return count
}

func (b *Batch) skippedOf(p part, noEcho bool) int {
	if !noEcho && !p.noLocal {
		return 0
	}
	skipped := 0
	for _, sub := range p.subs {
		if b.skips(sub, noEcho) {
			skipped++
		}
	}
	for _, g := range p.groups {
		if noEcho && !b.anyOther(*g.members.Load()) {
			skipped++
		}
	}
	return skipped
}

func (b *Batch) skips(sub *Subscription, noEcho bool) bool {
	return sub.Owner == b.owner && (noEcho || sub.NoLocal)
}

func (b *Batch) anyOther(members []*Subscription) bool {
	for _, sub := range members {
		if sub.Owner != b.owner {
			return true
		}
	}
	return false
}

// Flush delivers what was gathered.
func (b *Batch) Flush() {
	if len(b.runs) == 0 {
		return
	}
	start := 0
	for i := range b.runs {
		p := &b.runs[i]
		b.run.Messages = b.run.Messages[:0]
		for _, s := range b.spans[start:p.end] {
			b.run.Messages = append(b.run.Messages, Message{
				Topic: b.buffer[s.topicAt:s.topicEnd], Payload: b.buffer[s.payloadAt:s.payloadEnd],
			})
		}
		start = p.end
		b.deliver(p.to, p.noEcho)
	}
	b.forget()
}

// forget empties the batch, giving up memory that an unusual batch has grown.
func (b *Batch) forget() {
	clear(b.runs)
	clear(b.run.Messages)
	b.runs, b.spans = b.runs[:0], b.spans[:0]
	// A remembered route would keep subscribers that have left alive for as long as this publisher is idle.
	b.last.valid, b.last.to = false, route{}
	if cap(b.last.topic) > 4096 {
		b.last.topic = nil
	}
	if cap(b.buffer) > 2*batchMax {
		b.buffer = nil
	}
	b.buffer = b.buffer[:0]
}

// deliver hands b.run to every subscription of a route.
func (b *Batch) deliver(to route, noEcho bool) {
	b.deliverPart(to.own, noEcho)
	for i := range to.wild {
		b.deliverPart(to.wild[i], noEcho)
	}
}

func (b *Batch) deliverPart(p part, noEcho bool) {
	b.run.encodings = [Forms]any{}
	picky := noEcho || p.noLocal
	delivered := 0
	for _, sub := range p.subs {
		if picky && b.skips(sub, noEcho) {
			continue
		}
		if sub.Subscriber.Deliver(&b.run, sub) {
			delivered++
		}
	}
	b.broker.delivered.Add(uint64(delivered * len(b.run.Messages)))
	for _, g := range p.groups {
		b.deliverGroup(g, noEcho)
	}
	b.run.encodings = [Forms]any{}
}

// deliverGroup gives each message of the run to the next member in turn; a member that is gone is passed over.
func (b *Batch) deliverGroup(g *group, noEcho bool) {
	all := b.run.Messages
	members := *g.members.Load()
	for i := range all {
		b.run.Messages = all[i : i+1]
		for tries := 0; tries < len(members); tries++ {
			sub := members[(g.next.Add(1)-1)%uint64(len(members))]
			if noEcho && sub.Owner == b.owner {
				continue
			}
			b.run.encodings = [Forms]any{}
			if sub.Subscriber.Deliver(&b.run, sub) {
				b.broker.delivered.Add(1)
				break
			}
		}
	}
	b.run.Messages = all
}
