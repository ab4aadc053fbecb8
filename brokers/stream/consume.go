package stream

import (
	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// ConsumeOptions says what a consumer takes.
type ConsumeOptions struct {
	Count    int
	MaxBytes int
	NoAck    bool
	Make     bool   // make the group with defaults
	Wait     bool   // return a waiter when there is nothing
	Cold     func() // called before a file is read, with no lock held; may be nil
}

// Consumed is what a consumer got.
type Consumed struct {
	Epoch, Lag uint64
	Entries    []Delivery
	Receipt    brokers.Receipt // to be waited for before the epoch is told
	Waiter     *Waiter         // set when there was nothing and waiting was asked for
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
			now := b.time.Now()
			take.begin(g, now)
			take.redeliveries()
			take.fresh()
			take.journal()
			got = Consumed{Epoch: g.epoch, Lag: g.lagLocked(), Entries: take.entries, Receipt: g.epochReceipt()}
			if more = take.missing != nil; more {
				return nil
			}
			if len(take.entries) == 0 && o.Wait {
				got.Waiter = &Waiter{C: make(chan struct{}, 1), group: g}
				g.waiters = append(g.waiters, got.Waiter)
				g.armLocked(now.Steady)
				return nil
			}
			g.wakeLocked()          // what is left is for the next in line
			g.armLocked(now.Steady) // and so is this delivery, if it is not acknowledged
			return nil
		})
		if err == nil && more {
			if o.Cold != nil {
				o.Cold()
			}
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
	now       brokers.Instant
	delivered []*pendingEntry
	parked    []uint64

	moved bool // next has grown in this round

	missing *coldBlock  // must be loaded to go on
	loaded  segment.Run // the last that were read
}

func (t *taking) begin(g *group, now brokers.Instant) {
	t.g, t.now, t.missing, t.moved = g, now, nil, false
	t.delivered, t.parked = t.delivered[:0], t.parked[:0]
}

func (t *taking) load(b *Broker) error {
	run, _, err := b.loadRun(*t.missing, t.count-len(t.entries), t.room, t.loaded[:0])
	t.loaded = run
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
	if content := t.loaded.At(offset); content != nil {
		return content.At(offset)
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

// due is when what is delivered now comes again.
func (t *taking) due() int64 {
	if t.g.config.AckWait <= 0 {
		return never
	}
	return t.now.Steady + t.g.config.AckWait.Milliseconds()
}

func (t *taking) redeliveries() {
	g := t.g
	for {
		p := g.dueLocked(t.now.Steady)
		if p == nil {
			return
		}
		if g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
			g.removePending(p.offset)
			g.parked.Set(p.offset, &parkedEntry{deliveries: p.deliveries, parkedMs: t.now.Wall, reason: "delivered too often without an ack"})
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
		next := &pendingEntry{offset: p.offset, consumer: t.consumer, deliveries: p.deliveries + 1, due: t.due()}
		g.setPending(next)
		t.delivered = append(t.delivered, next)
		t.add(e, next.deliveries)
	}
}

func (t *taking) fresh() {
	g := t.g
	for t.missing == nil && len(t.entries) < t.count && g.next <= g.stream.high && (t.noAck || g.roomLocked()) {
		e := t.at(g.next)
		if t.missing != nil {
			return
		}
		if e == nil {
			next := min(g.stream.presentLocked(g.next), g.stream.high+1)
			g.skipped += next - g.next
			g.advance(next)
			continue
		}
		if t.full(len(e.Payload)) {
			return
		}
		if !t.noAck {
			p := &pendingEntry{offset: g.next, consumer: t.consumer, deliveries: 1, due: t.due()}
			g.setPending(p)
			t.delivered = append(t.delivered, p)
		}
		t.add(e, 1)
		t.moved = true
		g.advance(g.next + 1)
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
		record := g.encodeGiven(recordBuffer(), t.now, t.delivered)
		b.journal.Append(record, false)
		releaseBuffer(record)
	}
}
