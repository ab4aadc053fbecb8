package stream

import (
	"sort"

	"github.com/nexobroker/nexo/brokers"
)

// ParkedEntries lists parked entries from an offset on: at least one, and no more after it than maxBytes of payloads. next is where to
// go on, 0 at the end.
func (b *Broker) ParkedEntries(name, groupName []byte, from Position, count, maxBytes int) (list []Parked, next uint64, err error) {
	if from, err = b.located(name, &from); err != nil {
		return nil, 0, err
	}
	var stream *Stream
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		stream = s
		g.parked.Ascend(s.resolveLocked(from), func(offset uint64, p *parkedEntry) bool {
			if len(list) == count {
				next = offset
				return false
			}
			list = append(list, Parked{Entry: Entry{Offset: offset}, Deliveries: p.deliveries, ParkedMs: p.parkedMs, Reason: p.reason})
			return true
		})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	kept, bytes := list[:0], 0
	for _, p := range list {
		if bytes >= maxBytes {
			return kept, p.Offset, nil
		}
		var found bool
		if p.Entry, found, err = b.entryAt(stream, p.Offset); err != nil {
			return nil, 0, err
		}
		if found { // not trimmed meanwhile
			kept = append(kept, p)
			bytes += len(p.Payload)
		}
	}
	return kept, next, nil
}

// Unpark lets parked entries be delivered again with a fresh count, or drops them. A nil Resolver means all.
func (b *Broker) Unpark(name, groupName []byte, which Resolver, drop bool) (n int, r brokers.Receipt, err error) {
	ranges := []Range{{From: 0, To: ^uint64(0)}}
	if which != nil {
		if ranges, err = b.ranges(name, which); err != nil {
			return 0, r, err
		}
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		var offsets []uint64
		for _, r := range ranges {
			g.parked.Ascend(r.From, func(offset uint64, _ *parkedEntry) bool {
				if offset > r.To {
					return false
				}
				offsets = append(offsets, offset)
				return true
			})
		}
		if n = len(offsets); n == 0 {
			return nil
		}
		for _, offset := range offsets {
			g.parked.Delete(offset)
		}
		durable := s.config.Sync == brokers.Always
		// Those that a seek back has put ahead of the group are delivered in their turn.
		inTurn := offsets
		now, back := b.time.Now(), []*pendingEntry(nil)
		if !drop {
			behind := sort.Search(n, func(i int) bool { return offsets[i] >= g.next })
			inTurn = offsets[behind:]
			for _, offset := range offsets[:behind] {
				back = append(back, &pendingEntry{offset: offset, consumer: nobody, due: now.Steady})
			}
		}
		if len(inTurn) > 0 {
			r = s.receipt(b.journal.Append(g.encodeAcked(nil, inTurn), durable))
		}
		// One record takes them out of the parked and makes them pending: no crash can fall between.
		if seq := g.rescheduleLocked(now, back, durable); seq > 0 {
			r = s.receipt(seq)
		}
		return nil
	})
	return n, r, err
}
