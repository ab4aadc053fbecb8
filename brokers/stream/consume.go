package stream

import "github.com/nexobroker/nexo/brokers/stream/segment"

// ConsumeOptions says what a consumer takes.
type ConsumeOptions struct {
	Count    int
	MaxBytes int
	NoAck    bool
	Make     bool // make the group with defaults
	Wait     bool // return a waiter when there is nothing
}

// Consumed is what a consumer got.
type Consumed struct {
	Epoch, Lag uint64
	Entries    []Delivery
	Waiter     *Waiter // set when there was nothing and waiting was asked for
}

// Consume gives a consumer the redeliveries that are due, then entries never delivered.
func (b *Broker) Consume(name, groupName, consumer []byte, o ConsumeOptions, into []Delivery) (got Consumed, err error) {
	if err := CheckName("consumer", consumer); err != nil {
		return got, err
	}
	if o.Make {
		if err := b.makeGroup(name, groupName); err != nil {
			return got, err
		}
	}
	take := taking{consumer: string(consumer), noAck: o.NoAck, room: o.MaxBytes, count: o.Count, entries: into}
	for more := true; more; {
		err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
			now := b.clock.Now().UnixMilli()
			take.begin(g, now)
			take.redeliveries()
			take.fresh()
			take.journal()
			got = Consumed{Epoch: g.epoch, Lag: g.lagLocked(), Entries: take.entries}
			if more = take.missing != nil; more {
				return nil
			}
			if len(take.entries) == 0 && o.Wait {
				got.Waiter = &Waiter{C: make(chan struct{}, 1), group: g}
				g.waiters = append(g.waiters, got.Waiter)
				g.armLocked(now)
				return nil
			}
			g.wakeLocked()   // what is left is for the next in line
			g.armLocked(now) // and so is this delivery, if it is not acknowledged
			return nil
		})
		if err == nil && more {
			err = take.load(b)
		}
		if err != nil && len(take.entries) > 0 {
			return got, nil // what was taken is given; the next call begins with the error
		}
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// taking gathers one delivery. Entries in files are loaded with no lock held, between two rounds under the stream's lock;
// each round is a delivery of its own, complete and journaled.
type taking struct {
	consumer string
	noAck    bool
	room     int
	count    int
	entries  []Delivery

	g         *group
	now       int64
	delivered []*pendingEntry
	parked    []uint64

	moved bool // next has grown in this round

	missing *coldBlock       // must be loaded to go on
	loaded  *segment.Content // the last one
}

func (t *taking) begin(g *group, now int64) {
	t.g, t.now, t.missing, t.moved = g, now, nil, false
	t.delivered, t.parked = t.delivered[:0], t.parked[:0]
}

func (t *taking) load(b *Broker) error {
	content, retry, err := b.load(*t.missing)
	if !retry {
		t.loaded = content
	}
	return err
}

// at is the entry of an offset. Without one, missing is set, or the entry was lost by a repair.
func (t *taking) at(offset uint64) *Entry {
	s := t.g.stream
	if i := s.hotIndexLocked(offset); i < len(s.hot) && s.hot[i].Offset == offset {
		return &s.hot[i]
	}
	c, found := s.coldLocked(offset)
	if !found || c.block.First > offset {
		return nil
	}
	if t.loaded != nil {
		if e := t.loaded.At(offset); e != nil {
			return e
		}
	}
	t.missing = &c
	return nil
}

func (t *taking) full(size int) bool {
	return len(t.entries) >= t.count || len(t.entries) > 0 && size > t.room
}

func (t *taking) add(e *Entry, deliveries int) {
	t.room -= len(e.Payload)
	t.entries = append(t.entries, Delivery{Entry: *e, Deliveries: deliveries})
}

func (t *taking) dueMs() int64 {
	if t.g.config.AckWait <= 0 {
		return 0
	}
	return t.now + t.g.config.AckWait.Milliseconds()
}

func (t *taking) redeliveries() {
	g := t.g
	for {
		p, ok := g.due.Min()
		if !ok || p.dueMs > t.now {
			return
		}
		if g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
			g.removePending(p.offset)
			g.parked.Set(p.offset, &parkedEntry{deliveries: p.deliveries, parkedMs: t.now, reason: "delivered too often without an ack"})
			t.parked = append(t.parked, p.offset)
			continue
		}
		if len(t.entries) >= t.count {
			return
		}
		e := t.at(p.offset)
		if t.missing != nil {
			return
		}
		if e == nil { // a repair of its file has lost it
			g.removePending(p.offset)
			g.skipped++
			continue
		}
		if t.full(len(e.Payload)) {
			return
		}
		next := &pendingEntry{offset: p.offset, consumer: t.consumer, deliveries: p.deliveries + 1, dueMs: t.dueMs()}
		g.setPending(next)
		t.delivered = append(t.delivered, next)
		t.add(e, next.deliveries)
	}
}

func (t *taking) fresh() {
	g := t.g
	for t.missing == nil && len(t.entries) < t.count && g.next <= g.stream.high && (t.noAck || g.pending.Len() < g.config.MaxPending) {
		e := t.at(g.next)
		if t.missing != nil {
			return
		}
		if e == nil {
			next := min(g.stream.presentLocked(g.next), g.stream.high+1)
			g.skipped += next - g.next
			g.next = next
			continue
		}
		if t.full(len(e.Payload)) {
			return
		}
		if !t.noAck {
			p := &pendingEntry{offset: g.next, consumer: t.consumer, deliveries: 1, dueMs: t.dueMs()}
			g.setPending(p)
			t.delivered = append(t.delivered, p)
		}
		t.add(e, 1)
		t.moved = true
		g.next++
	}
}

// journal logs the delivery lazily: an acknowledgement that becomes durable comes after it in the log.
func (t *taking) journal() {
	g := t.g
	b := g.stream.broker
	for _, offset := range t.parked {
		p, _ := g.parked.Get(offset)
		b.journal.Append(g.encodeParked(nil, offset, p), false)
	}
	if len(t.delivered) > 0 || t.noAck && t.moved {
		record := g.encodeDelivered(recordBuffer(), t.delivered)
		b.journal.Append(record, false)
		releaseBuffer(record)
	}
}
