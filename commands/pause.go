package commands

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/resp"
)

// pause is CLIENT PAUSE: commands wait until it is over.
type pause struct {
	mu     sync.Mutex
	until  time.Time
	writes bool // only commands that write
	over   chan struct{}
	active atomic.Bool
}

// Pause lets commands wait until then, all of them or those that write. As in Redis the longer and the wider of two pauses holds.
func (s *Server) Pause(until time.Time, writes bool) {
	p := &s.pause
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over == nil {
		p.over, p.until, p.writes = make(chan struct{}), until, writes
	} else {
		if until.After(p.until) {
			p.until = until
		}
		p.writes = p.writes && writes
	}
	p.active.Store(true)
}

// Unpause ends a pause.
func (s *Server) Unpause() {
	s.pause.mu.Lock()
	defer s.pause.mu.Unlock()
	s.pause.endLocked()
}

func (p *pause) endLocked() {
	p.active.Store(false)
	if p.over != nil {
		close(p.over)
		p.over = nil
	}
}

// remaining tells how long the pause still lasts and what ends it before; one that is over is taken away.
func (p *pause) remaining(now time.Time) (left time.Duration, over <-chan struct{}, writes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left = p.until.Sub(now); left <= 0 {
		p.endLocked()
	}
	return left, p.over, p.writes
}

// waitPause lets a command wait while CLIENT PAUSE holds it back, and tells whether it may run then. As in Redis a pause of all
// holds back everything, and one of writes what changes data or is noticed by others. CLIENT UNPAUSE and QUIT always run, so a pause
// for too long can be ended. A server that stops does not wait for the end of a pause.
func (s *Server) waitPause(ctx *Context, spec *Spec) bool {
	p := &s.pause
	for p.active.Load() {
		left, over, writes := p.remaining(s.Clock.Now())
		if over == nil || spec.Unpaused || writes && spec.Flags&(Write|MayReplicate) == 0 {
			return true
		}
		switch ctx.Conn.Block(left, over) {
		case resp.Gone:
			return false
		case resp.Draining:
			return true
		}
	}
	return true
}
