package processtest

import "time"

// compare finds out where the group has gone on, and compares what is parked and how much is pending.
func (g *ownedGroup) compare(c *client) error {
	s := g.stream
	reply, err := s.ask(c, "XSTAT", s.name, "g")
	if err != nil {
		return err
	}
	fields := mapOf(reply)
	if epoch := fields["epoch"].(int64); g.seen && (epoch < g.from || epoch > g.to) {
		s.problem("group of %s has epoch %d after a start, not %d to %d", s.name, epoch, g.from, g.to)
		return errRefuted
	} else {
		g.seen, g.from, g.to = true, epoch, epoch
	}
	parked, err := g.parked(c)
	if err != nil {
		return err
	}
	_, must := s.limits(time.Now().Add(late))
	least, most := int64(0), int64(0)
	for offset := s.floor; offset < s.next; offset++ {
		e := g.at(offset)
		if err := g.settle(e, offset, uint64(fields["next"].(int64)), parked[offset], must); err != nil {
			return err
		}
		if e.is(entryPending) && offset >= must {
			least++
		}
		if e.states&entryPending != 0 {
			most++
		}
	}
	if n := fields["pending"].(int64); n < least || n > most {
		s.problem("%d entries of %s are pending after a start, not %d to %d", n, s.name, least, most)
		return errRefuted
	}
	s.count("parked entries at a start", len(parked))
	return nil
}

// settle knows after a start on which side of the group's next an entry is, and whether it is parked.
func (g *ownedGroup) settle(e *taken, offset, next uint64, parked bool, must uint64) error {
	possible := entryPending | entryDone
	switch {
	case offset >= next && parked:
		possible = entryAhead
	case offset >= next:
		possible = entryNew
	case parked:
		possible = entryParked
	}
	if offset >= must && e.states&possible == 0 {
		g.stream.problem("%s: entry %d is (parked: %v; the group goes on at %d) after a start, and was %05b (done, ahead, parked, pending, new)",
			g.stream.name, offset, parked, next, e.states)
		return errRefuted
	}
	if e.states &= possible; e.states == 0 {
		e.states = possible // about to be trimmed
	}
	e.was, e.most = 0, e.to
	return nil
}

// parked reads the list of what is parked.
func (g *ownedGroup) parked(c *client) (map[uint64]bool, error) {
	s := g.stream
	reply, err := s.ask(c, "XPARKED", s.name, "g", "COUNT", 10000)
	if err != nil {
		return nil, err
	}
	found := map[uint64]bool{}
	for _, item := range reply.([]any) {
		entry := item.([]any)
		offset := uint64(entry[0].(int64))
		if offset < s.floor {
			s.problem("%s: entry %d is parked and was trimmed", s.name, offset)
			return nil, errRefuted
		}
		if err := s.holds(offset, entry[4].(string)); err != nil {
			return nil, err
		}
		found[offset] = true
	}
	return found, nil
}

// finish consumes until nothing has come for longer than deliveries wait.
func (g *ownedGroup) finish(c *client) error {
	for last := time.Now(); time.Since(last) < ackWait+200*time.Millisecond; {
		n, err := g.consume(c, 1000)
		if err != nil {
			return err
		}
		if n == 0 {
			time.Sleep(20 * time.Millisecond) // the pace of the poll
			continue
		}
		last = time.Now()
		list, all := g.list(entryPending, 10_000)
		if len(list) == 0 {
			continue
		}
		reply, err := g.stream.ask(c, append([]any{"XACK", g.stream.name, "g"}, numbered(list)...)...)
		if err != nil {
			return err
		}
		if n := reply.(int64); n > int64(len(list)) {
			g.stream.problem("XACK of %d entries counted %d", len(list), n)
		}
		for _, e := range all {
			e.states = entryDone
		}
	}
	for offset, e := range g.entries {
		if _, must := g.stream.limits(time.Now().Add(late)); offset >= must && e.states&^(entryNew|entryPending) == 0 {
			g.stream.problem("%s: entry %d was never delivered", g.stream.name, offset)
			return errRefuted
		}
	}
	return nil
}
