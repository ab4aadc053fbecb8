package stream

import (
	"crypto/sha256"

	"github.com/nexobroker/nexo/brokers"
)

// snapshot is a copy of one stream at the cut of a compaction. The entries share their memory with the stream: they are
// never changed, and a stream that cuts its front moves its slice, not the array's contents in view here.
type snapshot struct {
	tail    [][]byte // two records in front of the entries, then groups and dedup keys
	id      uint64
	first   uint64
	entries []entry
}

func (s *Stream) snapshotLocked() *snapshot {
	copied := &snapshot{id: s.id, first: s.first, entries: append([]entry(nil), s.entries...)}
	copied.tail = append(copied.tail, s.encodeCreate(nil), s.encodeState(nil))
	for _, k := range s.dedup.order {
		if e, ok := s.dedup.byKey[k.key]; ok && e.expires == k.expires {
			b := appendBytes(numbers([]byte{opDedupKey}, s.id), k.key)
			copied.tail = append(copied.tail, numbers(b, e.offset, uint64(e.expires)))
		}
	}
	for _, g := range s.groups {
		copied.tail = append(copied.tail, g.encodeCreate(nil), g.encodeDelivered(nil, g.sortedPending()))
		for offset, p := range g.parked {
			copied.tail = append(copied.tail, g.encodeParked(nil, offset, p))
		}
	}
	return copied
}

func (s *Stream) encodeState(b []byte) []byte {
	b = numbers(append(b, opStreamState), s.id, s.first, s.next, uint64(s.lastMs), s.lastSeq)
	b = appendBytes(b, s.anchor[:sha256.Size])
	return numbers(b, s.appended-uint64(len(s.entries)), s.duplicates)
}

// dump writes the copies as records that replay applies in order.
func dump(copies []*snapshot, nextID uint64, emit brokers.Emit) error {
	if err := emit(numbers([]byte{opBrokerState}, nextID)); err != nil {
		return err
	}
	for _, s := range copies {
		for _, body := range s.tail[:2] {
			if err := emit(body); err != nil {
				return err
			}
		}
		if err := s.dumpEntries(emit); err != nil {
			return err
		}
		for _, body := range s.tail[2:] {
			if err := emit(body); err != nil {
				return err
			}
		}
	}
	return nil
}

// dumpEntries writes the entries in batches of one millisecond and following sequences, as they were appended.
func (s *snapshot) dumpEntries(emit brokers.Emit) error {
	var body []byte
	var payloads [][]byte
	for from := 0; from < len(s.entries); {
		first := s.entries[from]
		if first.lost() {
			from++ // the gap between the records tells it again
			continue
		}
		payloads = payloads[:0]
		size := 0
		for i := from; i < len(s.entries) && len(payloads) < snapshotBatch && size < snapshotBytes; i++ {
			e := s.entries[i]
			if e.lost() || e.ms != first.ms || e.seq != first.seq+uint64(i-from) {
				break
			}
			payloads = append(payloads, e.payload)
			size += len(e.payload)
		}
		body = encodeAppend(body[:0], s.id, s.first+uint64(from), first.ms, first.seq, 0, nil, payloads)
		if err := emit(body); err != nil {
			return err
		}
		from += len(payloads)
	}
	return nil
}
