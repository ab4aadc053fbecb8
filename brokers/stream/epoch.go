package stream

import "github.com/nexobroker/nexo/brokers"

// A group's epoch fences what consumers knew before a seek: an acknowledgement with an older one is refused. So no epoch may
// mean two states of a group, whatever a crash takes back:
//
//   - It is told only when the record that gave it is fsynced, at every level of the stream. One that a crash takes back
//     was told to nobody and may be given again.
//   - A group that is made after one was dropped, in whatever stream, begins above the epochs of all that were dropped.

// epochReceipt is to be waited for before the group's epoch is told.
func (g *group) epochReceipt() brokers.Receipt {
	if g.stream.broker.synced.Load() >= g.epochSeq {
		return brokers.Receipt{}
	}
	return brokers.Receipt{Journal: g.stream.broker.journal, Seq: g.epochSeq, Durability: brokers.Always}
}

// dropEpoch notes the epoch of a group that goes.
func (b *Broker) dropEpoch(epoch uint64) {
	for {
		last := b.droppedEpoch.Load()
		if epoch <= last || b.droppedEpoch.CompareAndSwap(last, epoch) {
			return
		}
	}
}

// dropEpochs notes those of a stream that goes.
func (s *Stream) dropEpochs() {
	for _, g := range s.groups {
		s.broker.dropEpoch(g.epoch)
	}
}

// Seek moves a group: what was pending is forgotten, the epoch grows, who waits tries again. What is parked stays so until
// it is delivered again or unparked. A group that is missing is made with defaults. The receipt is to be waited for
// before the epoch is told.
func (b *Broker) Seek(name, groupName []byte, p Position) (epoch, next uint64, r brokers.Receipt, err error) {
	if err := CheckName("group", groupName); err != nil {
		return 0, 0, r, err
	}
	if p, err = b.located(name, &p); err != nil {
		return 0, 0, r, err
	}
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return 0, 0, r, err
	}
	defer s.mu.Unlock()
	next = s.resolveLocked(p)
	g := s.groups[string(groupName)]
	if g == nil {
		if g, _, err = s.createGroupLocked(string(groupName), DefaultGroupConfig(), next); err != nil {
			return 0, 0, r, err
		}
		return g.epoch, g.next, g.epochReceipt(), nil
	}
	g.seekLocked(g.epoch+1, min(max(next, s.first), s.high+1))
	g.epochSeq = b.journal.Append(g.encodeSought(nil), true)
	g.wakeAllLocked()
	return g.epoch, g.next, g.epochReceipt(), nil
}

func (g *group) seekLocked(epoch, next uint64) {
	g.epoch, g.next = epoch, next
	g.pending.Clear()
	g.lapsing.Clear()
	g.returning.Clear()
	g.held = 0
	clear(g.holding)
}
