package resp

import "time"

// sweep moves the clock, cuts connections that are over a time limit and makes room where memory is short. It ends when the last
// connection has.
func (s *Server) sweep() {
	defer close(s.swept)
	o := &s.options
	period := min(time.Second, o.CommandTimeout/4, o.OutboxSoftTime/4)
	if o.WriteTimeout > 0 {
		period = min(period, o.WriteTimeout/4)
	}
	if o.IdleTimeout > 0 {
		period = min(period, o.IdleTimeout/4)
	}
	ticker := time.NewTicker(max(period, time.Millisecond))
	defer ticker.Stop()
	defer s.stopLoops()
	draining := s.draining
	for {
		select {
		case <-ticker.C:
			now := s.now()
			s.clock.Store(now)
			s.Each(func(c *Conn) bool {
				c.enforce(now)
				return true
			})
			s.relieve(nil, 0)
		case <-s.pressed:
			s.relieve(nil, s.missed.Swap(0))
		case <-draining:
			draining = nil
			ticker.Reset(max(min(period, o.DrainTimeout/8), time.Millisecond))
		case <-s.empty:
			return
		}
	}
}

// enforce cuts the connection if it is over a time limit.
func (c *Conn) enforce(now int64) {
	if c.dead() {
		return
	}
	o := &c.server.options
	c.progress.observe(c, now)
	if c.io.loop == nil {
		c.ahead.resume(c)
		c.ahead.watch(c)
	} else if c.io.aheadFull.Load() {
		c.io.loop.mark(c, markMeasure) // there may be room again
	}
	if c.out.overSoftLimit(now, int64(o.OutboxSoftTime)) {
		c.cutForOutput()
		return
	}
	reason := ""
	switch {
	case c.unread(now):
		reason = "it does not read its replies"
	case c.incomplete(now):
		reason = "its command is not complete"
	case c.idle(now):
		reason = "it is idle"
	default:
		return
	}
	c.server.counters.slowCuts.Add(1)
	o.Logger.Info("connection cut: "+reason, "client", c.RemoteAddr().String(), "id", c.id)
	c.Kill()
}

// unread tells whether replies wait for a client that neither reads nor sends.
func (c *Conn) unread(now int64) bool {
	o := &c.server.options
	since := c.writingSince.Load()
	if since == 0 {
		return false
	}
	still := now - max(since, c.lastMoved())
	if c.server.stopped.Load() && still > int64(o.DrainTimeout) {
		return true // pushes too: there will be no more of them
	}
	return o.WriteTimeout > 0 && still > int64(o.WriteTimeout) && c.out.holdsReplies()
}

// incomplete tells whether a command has begun whose rest does not come. Before AUTH it has to come whole. While the client does not
// read its replies nothing of what it sends is run, and unread is the limit that counts.
func (c *Conn) incomplete(now int64) bool {
	since := c.partialSince.Load()
	if since == 0 || c.running.Load() || c.out.repliesWaiting() > writeMax {
		return false
	}
	if !c.stranger.Load() {
		since = max(since, c.lastMoved())
	}
	return now-since > int64(c.server.options.CommandTimeout)
}

// idle tells whether the client has sent nothing for too long, is owed nothing, waits for nothing and holds nothing.
func (c *Conn) idle(now int64) bool {
	limit := c.server.idleMax.Load()
	if limit <= 0 || now-c.lastActive.Load() <= limit || c.running.Load() || c.Outbox() > 0 {
		return false
	}
	busy := c.busy.Load()
	return busy == nil || !(*busy)()
}
