package processtest

import (
	"fmt"
	"time"
)

const (
	ackWait    = 2 * time.Second
	maxDeliver = 3
)

// takenStates is a set of states in which an entry of a group may be.
type takenStates uint8

const (
	entryNew takenStates = 1 << iota
	entryPending
	entryParked
	entryAhead // parked, and delivered once more in its turn, since the group has gone back
	entryDone
)

// taken is what a group may know of an entry. An entry that was never delivered has none.
type taken struct {
	states   takenStates
	was      takenStates // before its last delivery, of which the record may be lost
	due      span
	from, to int64 // deliveries
	held     bool  // by a consumer, and not given back

	// What would hold without the last records, which may be lost.
	most   int64
	latest time.Time
}

type ownedGroup struct {
	stream   *streamOwner
	made     bool
	entries  map[uint64]*taken
	from, to int64 // epoch
	seen     bool  // the epoch is known
}

func (g *ownedGroup) at(offset uint64) *taken {
	e := g.entries[offset]
	if e == nil {
		e = &taken{states: entryNew}
		g.entries[offset] = e
	}
	return e
}

func (e *taken) is(s takenStates) bool { return e.states == s }

// list are the offsets that must be there and are in one of the states, and in no other.
func (g *ownedGroup) list(states takenStates, n int) (list []uint64, all []*taken) {
	s := g.stream
	_, must := s.limits(time.Now().Add(late))
	for _, offset := range offsets(g.entries) {
		if e := g.entries[offset]; offset >= must && e.states&^states == 0 {
			list = append(list, offset)
		}
	}
	list = some(s.random, list, n)
	for _, offset := range list {
		all = append(all, g.entries[offset])
	}
	return list, all
}

func numbered(list []uint64) (words []any) {
	for _, offset := range list {
		words = append(words, fmt.Sprintf("#%d", offset))
	}
	return words
}

func (g *ownedGroup) work(c *client) error {
	switch dice := g.stream.random.IntN(100); {
	case dice < 45:
		_, err := g.consume(c, 1+g.stream.random.IntN(30))
		return err
	case dice < 70:
		return g.ack(c)
	case dice < 88:
		return g.nack(c)
	case dice < 98:
		return g.unpark(c)
	default:
		return g.seek(c)
	}
}

// consume takes what is due again and then what is new, in order.
func (g *ownedGroup) consume(c *client, count int) (n int, err error) {
	s, sent := g.stream, time.Now()
	reply, err := s.ask(c, "XCONSUME", s.name, "g", fmt.Sprint("consumer-", s.random.IntN(3)), "COUNT", count, "MAXBYTES", 16<<20)
	if err != nil {
		g.consuming(sent, count)
		return 0, err
	}
	answered := time.Now()
	parts := reply.([]any)
	if epoch := parts[0].(int64); g.seen && (epoch < g.from || epoch > g.to) {
		s.problem("group of %s has epoch %d, not %d to %d", s.name, epoch, g.from, g.to)
		return 0, errRefuted
	} else {
		g.seen, g.from, g.to = true, epoch, epoch
	}
	_, must := s.limits(answered.Add(late))
	got := map[uint64]bool{}
	lastNew := uint64(0)
	list := parts[2].([]any)
	for _, item := range list {
		entry := item.([]any)
		offset, deliveries := uint64(entry[0].(int64)), entry[2].(int64)
		if err := s.holds(offset, entry[3].(string)); err != nil {
			return 0, err
		}
		e := g.at(offset)
		if wrong := e.delivered(deliveries, sent, answered); wrong != "" || got[offset] {
			s.problem("%s: entry %d was delivered (again in one reply: %v) as number %d: %s", s.name, offset, got[offset], deliveries, wrong)
			return 0, errRefuted
		}
		if got[offset] = true; e.was&(entryNew|entryAhead) == e.was {
			lastNew = max(lastNew, offset)
		}
	}
	return len(list), g.passedOver(got, len(list) < count, must, lastNew, sent)
}

// delivered changes an entry that was delivered; it answers what is wrong with that.
func (e *taken) delivered(deliveries int64, sent, answered time.Time) string {
	again := e.states&entryPending != 0 && e.due.may(answered) && deliveries > e.from && deliveries <= e.to+1
	first := e.states&(entryNew|entryAhead) != 0 && deliveries == 1
	if !again && !first {
		return fmt.Sprintf("it was %05b (done, ahead, parked, pending, new) with %d to %d deliveries, due %v ago", e.states, e.from, e.to,
			answered.Sub(e.due.from))
	}
	e.was = e.states & (entryNew | entryAhead)
	if again {
		e.was |= entryPending
	}
	*e = taken{states: entryPending, was: e.was, due: within(sent, answered, ackWait), from: deliveries, to: deliveries, held: true,
		most: deliveries, latest: maxTime(e.latest, answered.Add(ackWait))}
	return ""
}

// passedOver tells of entries that had to come before others, or at all, and did not.
func (g *ownedGroup) passedOver(got map[uint64]bool, all bool, must, lastNew uint64, sent time.Time) error {
	s := g.stream
	for offset := must; offset < s.next; offset++ {
		e := g.at(offset)
		if got[offset] {
			continue
		}
		if e.states&entryPending != 0 && e.due.may(time.Now()) && e.to >= maxDeliver {
			e.states |= entryParked // delivered too often
			e.was |= entryPending
		}
		if !all && offset >= lastNew {
			continue
		}
		if e.states&^(entryNew|entryAhead) == 0 {
			s.problem("%s: entry %d was never delivered and is passed over (%d came, up to %d)", s.name, offset, len(got), lastNew)
			return errRefuted
		}
		if e.is(entryPending) && all && e.due.must(sent) && e.to < maxDeliver {
			s.problem("%s: entry %d was to be delivered again %v ago, and was not", s.name, offset, sent.Sub(e.due.from))
			return errRefuted
		}
	}
	return nil
}

// consuming is for a delivery that was not answered: it may have taken what is new from the front, or what is due.
func (g *ownedGroup) consuming(sent time.Time, count int) {
	s, now := g.stream, time.Now()
	for offset := s.floor; offset < s.next; offset++ {
		e := g.at(offset)
		isNew := e.states&(entryNew|entryAhead) != 0
		if isNew || e.states&entryPending != 0 && e.due.may(now) {
			if e.states&entryPending != 0 && e.to >= maxDeliver {
				e.states |= entryParked
			}
			e.due = span{minTime(e.due.from, sent.Add(ackWait)), now.Add(ackWait)}
			if isNew && e.states&entryPending == 0 {
				e.due, e.from, e.to = within(sent, now, ackWait), 0, 0
			}
			e.states |= entryPending
			e.to++
		}
		if isNew {
			if count--; count == 0 {
				break
			}
		}
	}
}

func (g *ownedGroup) ack(c *client) error {
	list, all := g.list(entryPending, 1+g.stream.random.IntN(20))
	if len(list) == 0 {
		return nil
	}
	for _, e := range all {
		e.states |= entryDone
	}
	s := g.stream
	words := append([]any{"XACK", s.name, "g"}, numbered(list)...)
	if g.seen && g.from == g.to && s.random.IntN(3) == 0 {
		words = append(words, "EPOCH", g.from)
	}
	reply, err := s.ask(c, words...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) && !g.parkedMeanwhile(all) {
		s.problem("XACK of %d pending entries of %s counted %v: %v", len(list), s.name, reply, list)
		return errRefuted
	}
	for _, e := range all {
		e.states = entryDone
	}
	return nil
}

// parkedMeanwhile tells that some may have been delivered too often, by then.
func (g *ownedGroup) parkedMeanwhile(all []*taken) bool {
	for _, e := range all {
		if e.states&entryParked != 0 {
			return true
		}
	}
	return false
}

// nack gives entries back, or parks them.
func (g *ownedGroup) nack(c *client) error {
	s := g.stream
	list, all := g.list(entryPending, 1+s.random.IntN(8))
	if len(list) == 0 {
		return nil
	}
	mode := []string{"SILENT", "FAIL", "FATAL"}[s.random.IntN(3)]
	delay := time.Duration(s.random.IntN(1500)) * time.Millisecond
	sent := time.Now()
	var after []taken
	for _, e := range all {
		t := taken{states: entryPending, was: e.was | entryPending, due: within(sent, sent.Add(late), delay), from: e.from, to: e.to,
			most: e.most, latest: maxTime(e.latest, sent.Add(delay+late))}
		switch {
		case mode == "FATAL":
			t = taken{states: entryParked, from: e.from, to: e.to}
		case mode == "FAIL" && e.from >= maxDeliver:
			t = taken{states: entryParked, from: e.from, to: e.to}
		case mode == "FAIL" && e.to >= maxDeliver:
			t.states |= entryParked
		case mode == "SILENT":
			if t.from--; e.held && e.from == e.to {
				t.to--
			}
			t.from = max(t.from, 0)
		}
		after = append(after, t)
		if e.states |= t.states; !t.due.from.IsZero() {
			e.due = span{minTime(e.due.from, t.due.from), maxTime(e.due.to, t.due.to)}
		}
		e.from, e.to = min(e.from, t.from), max(e.to, t.to)
	}
	words := append([]any{"XNACK", s.name, "g", mode, "IDS", len(list)}, numbered(list)...)
	reply, err := s.ask(c, append(words, "DELAY", delay.Milliseconds(), "REASON", "because")...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		s.problem("XNACK %s of %d pending entries of %s counted %v", mode, len(list), s.name, reply)
		return errRefuted
	}
	for i, e := range all {
		*e = after[i]
		e.due.to = time.Now().Add(delay)
	}
	return nil
}

// unpark lets parked entries be delivered again, or drops them.
func (g *ownedGroup) unpark(c *client) error {
	s := g.stream
	list, all := g.list(entryParked|entryAhead, 1+s.random.IntN(5))
	if len(list) == 0 {
		return nil
	}
	words := append([]any{"XUNPARK", s.name, "g"}, numbered(list)...)
	drop := s.random.IntN(3) == 0
	if drop {
		words = append(words, "DROP")
	}
	sent := time.Now()
	var after []taken
	for _, e := range all {
		t := taken{states: entryPending, due: within(sent, sent.Add(late), 0)}
		switch {
		case e.is(entryAhead):
			t = taken{states: entryNew}
		case e.states != entryParked:
			t.states |= entryNew
			if drop {
				t.states = entryDone | entryNew
			}
		case drop:
			t = taken{states: entryDone}
		}
		after = append(after, t)
		e.states, e.due, e.from = e.states|t.states, t.due, 0
	}
	reply, err := s.ask(c, words...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		s.problem("%v counted %v", words, reply)
		return errRefuted
	}
	for i, e := range all {
		*e = after[i]
	}
	return nil
}

// seek moves the group: what is pending is forgotten, what is parked stays so.
func (g *ownedGroup) seek(c *client) error {
	s := g.stream
	_, must := s.limits(time.Now().Add(late))
	to := must + uint64(s.random.IntN(int(s.next-must)+1))
	before := map[uint64]taken{}
	for offset := s.floor; offset < s.next; offset++ {
		e := g.at(offset)
		before[offset] = *e
		after := e.sought(offset < to)
		e.states |= after.states
	}
	g.to++
	reply, err := s.ask(c, "XSEEK", s.name, "g", fmt.Sprintf("#%d", to))
	if err != nil {
		return err
	}
	pair := reply.([]any)
	if g.seen && pair[0] != g.from+1 || pair[1] != int64(to) {
		s.problem("XSEEK of %s to %d answers %v, with epoch %d before", s.name, to, pair, g.from)
		return errRefuted
	}
	g.seen, g.from, g.to = true, pair[0].(int64), pair[0].(int64)
	for offset, was := range before {
		*g.at(offset) = was.sought(offset < to)
	}
	return nil
}

func (e taken) sought(passed bool) (after taken) {
	after.from, after.to = e.from, e.to
	if e.states&(entryParked|entryAhead) != 0 {
		if after.states = entryAhead; passed {
			after.states = entryParked
		}
	}
	if e.states&(entryNew|entryPending|entryDone) != 0 {
		if passed {
			after.states |= entryDone
		} else {
			after.states |= entryNew
			after.from = 0
		}
	}
	return after
}

// died is a kill: the records of deliveries, and of what was given back, may be lost.
func (g *ownedGroup) died() {
	for _, e := range g.entries {
		if e.states&entryPending != 0 {
			e.states |= e.was
			e.from, e.to, e.held = 0, max(e.to, e.most), false
			e.due = span{time.Unix(1, 0), maxTime(e.due.to, e.latest)}
		} else if e.states&entryParked != 0 && e.was != 0 {
			e.states |= e.was
			e.from = 0
		}
	}
}
