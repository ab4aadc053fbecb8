package resp

// parking is the line of the connections whose replies await one journal at one level. Their numbers grow, since the leader takes
// them from the journal one after the other; so those at the front are done first. A batch that a helper has run may come behind later
// numbers than its own: it is then done with them.
type parking struct {
	barrier Barrier
	synced  bool
	line    []parkedConn
	at      int
}

type parkedConn struct {
	conn   *Conn
	ticket uint64 // of its parking: an entry whose connection has gone on, or is closed, is stale
	seq    uint64
}

// park leaves a batch that awaits a journal, with its replies in the connection's writer. If nothing is to be waited for, the
// batch is delivered.
func (c *Conn) park() {
	if !c.io.loop.parkBatch(c) {
		c.finishWaits()
		c.deliver()
	}
}

// parkFor parks the batch that a helper has run.
func (l *loop) parkFor(c *Conn) {
	c.io.toPark = false
	if !l.parkBatch(c) {
		l.resume(c)
	}
}

// parkBatch puts a connection into line with the batch that was just run. It returns false when nothing is to be waited for.
func (l *loop) parkBatch(c *Conn) bool {
	c.gatherWaits()
	c.io.waitAt = 0
	c.io.parkedAt = c.server.clock.Load()
	return l.parkOn(c)
}

// parkOn puts a connection into the line of the first of its waits that is not over. It returns false when all are.
func (l *loop) parkOn(c *Conn) bool {
	for ; c.io.waitAt < len(c.waits); c.io.waitAt++ {
		w := &c.waits[c.io.waitAt]
		p := l.parkingOf(w)
		done, err := w.barrier.Reached(w.seq, w.synced, c.waited())
		if !done {
			l.tickets++
			c.io.parked, c.io.ticket = true, l.tickets
			p.line = append(p.line, parkedConn{c, l.tickets, w.seq})
			return true
		}
		w.err = err
	}
	return false
}

// parkingOf finds the line of a journal and level. The first time, the loop asks to be told of the journal's progress; from then
// on a number that is not reached yet will be told.
func (l *loop) parkingOf(w *wait) *parking {
	known := false
	for _, p := range l.parks {
		if p.barrier == w.barrier {
			known = true
			if p.synced == w.synced {
				return p
			}
		}
	}
	if !known {
		w.barrier.Watch(l.journalMoved)
	}
	p := &parking{barrier: w.barrier, synced: w.synced}
	l.parks = append(l.parks, p)
	return p
}

// journalMoved is called by journals, on their goroutines.
func (l *loop) journalMoved() {
	l.moved.Store(true)
	l.wake()
}

// unpark delivers what the journals have made durable, in one pass.
func (l *loop) unpark() {
	for _, p := range l.parks {
		for p.at < len(p.line) {
			e := &p.line[p.at]
			if c := e.conn; c.io.parked && c.io.ticket == e.ticket {
				done, err := p.barrier.Reached(e.seq, p.synced, c.waited())
				if !done {
					break
				}
				c.waits[c.io.waitAt].err = err
				c.io.waitAt++
				c.io.parked = false
				if !l.parkOn(c) {
					l.resume(c)
				}
			}
			*e = parkedConn{}
			p.at++
		}
		p.shrink()
	}
}

// resume delivers a batch that was parked, or was to be.
func (l *loop) resume(c *Conn) {
	c.finishWaits()
	c.deliver()
	c.batchDone()
	l.takeBack(c)
	l.after(c)
}

// shrink forgets the entries that are done.
func (p *parking) shrink() {
	switch {
	case p.at == len(p.line):
		p.line, p.at = p.line[:0], 0
		if cap(p.line) > 4096 {
			p.line = nil
		}
	case p.at > 64 && p.at > len(p.line)/2:
		n := copy(p.line, p.line[p.at:])
		clear(p.line[n:])
		p.line, p.at = p.line[:n], 0
	}
}
