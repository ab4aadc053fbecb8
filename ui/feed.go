package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const (
	tick          = time.Second
	socketsMax    = 100
	subsPerSocket = 32
)

// feed serves the sockets. It ticks once a second while a state topic is watched; a tail has a goroutine of its own.
type feed struct {
	server *Server

	mu      sync.Mutex // guards what follows
	sockets map[*socket]bool
	states  map[string]*shared
	tails   map[string]*sharedTail
	last    *sample
	points  []Point
	ticking bool
	closed  bool
	work    sync.WaitGroup
	stop    chan struct{}
}

// shared is a state topic with all who watch it.
type shared struct {
	topic    topic
	revision int
	watchers map[*subscription]bool
}

// subscription is what one socket watches under one id. Its fields are guarded by feed.mu.
type subscription struct {
	socket *socket
	id     int
	state  *shared
	tail   *sharedTail
	behind bool // a frame could not be queued: the next one is a snapshot
	missed int  // events that could not be queued
}

func newFeed(s *Server) *feed {
	return &feed{server: s, sockets: map[*socket]bool{}, states: map[string]*shared{}, tails: map[string]*sharedTail{}, stop: make(chan struct{})}
}

// sampleLocked is a sample not older than a tick; it collects only when there is none. While the ticker runs nobody else collects: a
// second cut in two would have rates of a moment.
func (f *feed) sampleLocked() *sample {
	if f.ticking && f.last != nil {
		return f.last
	}
	if now := f.server.options.Now(); f.last == nil || now.Sub(f.last.at) >= tick*9/10 || now.Before(f.last.at) {
		f.collectLocked(now)
	}
	return f.last
}

func (f *feed) collectLocked(now time.Time) {
	f.last = collect(f.server.source, now, f.last)
	if f.points = append(f.points, f.last.point); len(f.points) > pointsMax {
		f.points = append(f.points[:0:0], f.points[len(f.points)-pointsMax:]...)
	}
}

// now is the present point.
func (f *feed) now() Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sampleLocked().point
}

func (f *feed) queueRates(name string) Rates {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queueRatesLocked(name)
}

// queueRatesLocked are rates of a sample that somebody watches; 0 when nobody does.
func (f *feed) queueRatesLocked(name string) Rates {
	if q := f.freshLocked().queue(name); q != nil {
		return q.Rates
	}
	return Rates{}
}

func (f *feed) appendRate(name string) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.appendRateLocked(name)
}

func (f *feed) appendRateLocked(name string) float64 {
	if s := f.freshLocked().stream(name); s != nil {
		return s.AppendRate
	}
	return 0
}

func (f *feed) freshLocked() *sample {
	if f.last == nil || f.server.options.Now().Sub(f.last.at) > staleAfter {
		return nil
	}
	return f.last
}

func (s *Server) queueDetailLocked(name string) (QueueDetail, error) {
	detail, err := s.source.Queue(name)
	detail.Rates = s.feed.queueRatesLocked(name)
	return detail, err
}

func (s *Server) streamDetailLocked(name string) (StreamDetail, error) {
	detail, err := s.source.Stream(name)
	detail.AppendRate = s.feed.appendRateLocked(name)
	if detail.Groups == nil {
		detail.Groups = []Group{}
	}
	return detail, err
}

// subscribe begins a topic for a socket, in place of what had the same id.
func (f *feed) subscribe(s *socket, id int, name string, q topicQuery) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsubscribeLocked(s, id)
	if len(s.subscriptions) >= subsPerSocket {
		return problem(429, "TOOMANY", "a socket may watch at most %d topics", subsPerSocket)
	}
	sub := &subscription{socket: s, id: id}
	if isTail(name) {
		if err := f.joinTailLocked(sub, name, q); err != nil {
			return err
		}
		s.subscriptions[id] = sub
		return nil
	}
	made, key, err := newTopic(name, q)
	if err != nil {
		return err
	}
	state := f.states[key]
	if state == nil {
		state = &shared{topic: made, revision: 1, watchers: map[*subscription]bool{}}
		if _, err := made.refresh(f, f.sampleLocked()); err != nil {
			return err
		}
		f.states[key] = state
	}
	sub.state = state
	state.watchers[sub] = true
	s.subscriptions[id] = sub
	sub.sendSnapshot()
	f.startTickingLocked()
	return nil
}

// readSnapshot is the snapshot of a state topic for a browser to which no socket comes through.
func (s *Server) readSnapshot(q *query) (any, error) {
	name, wanted := q.need("topic"), topicQuery{}
	if text := q.text("q"); text != "" {
		if err := json.Unmarshal([]byte(text), &wanted); err != nil {
			q.fail("q is no query of a topic: %v", err)
		}
	}
	if q.err != nil {
		return nil, q.err
	}
	made, _, err := newTopic(name, wanted)
	if err != nil {
		return nil, err
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if _, err := made.refresh(s.feed, s.feed.sampleLocked()); err != nil {
		return nil, err
	}
	return json.RawMessage(made.snapshot()), nil
}

func (f *feed) unsubscribe(s *socket, id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsubscribeLocked(s, id)
}

func (f *feed) unsubscribeLocked(s *socket, id int) {
	sub := s.subscriptions[id]
	if sub == nil {
		return
	}
	delete(s.subscriptions, id)
	if sub.tail != nil {
		f.leaveTailLocked(sub)
		return
	}
	delete(sub.state.watchers, sub)
	if len(sub.state.watchers) == 0 {
		for key, state := range f.states {
			if state == sub.state {
				delete(f.states, key)
			}
		}
	}
}

func (f *feed) startTickingLocked() {
	if f.ticking || f.closed {
		return
	}
	f.ticking = true
	f.work.Go(f.tickWhileWatched)
}

func (f *feed) tickWhileWatched() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-f.stop:
			return
		}
		if !f.refresh() {
			return
		}
	}
}

// refresh collects once and sends every topic's changes; false when nobody watches any more.
func (f *feed) refresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.states) == 0 {
		f.ticking = false
		return false
	}
	f.collectLocked(f.server.options.Now())
	for key, state := range f.states {
		delta, err := state.topic.refresh(f, f.last)
		if err != nil {
			f.endLocked(key, state, err)
			continue
		}
		if len(delta) > 0 {
			state.revision++
		}
		for sub := range state.watchers {
			sub.update(delta)
		}
	}
	return true
}

// endLocked tells the watchers that their topic is gone, such as a queue that was dropped.
func (f *feed) endLocked(key string, state *shared, err error) {
	delete(f.states, key)
	for sub := range state.watchers {
		sub.socket.queue(errorFrame(sub.id, problemOf(err)))
		delete(sub.socket.subscriptions, sub.id)
	}
}

func (sub *subscription) sendSnapshot() {
	frame := fmt.Appendf(nil, `{"t":"snap","id":%d,"rev":%d,"data":%s}`, sub.id, sub.state.revision, sub.state.topic.snapshot())
	sub.behind = !sub.socket.queue(frame)
}

// update sends a delta, or a snapshot to one that has missed a frame.
func (sub *subscription) update(delta []byte) {
	switch {
	case sub.behind:
		sub.sendSnapshot()
	case len(delta) > 0:
		frame := fmt.Appendf(nil, `{"t":"delta","id":%d,"rev":%d,"prev":%d,`, sub.id, sub.state.revision, sub.state.revision-1)
		sub.behind = !sub.socket.queue(append(append(frame, delta...), '}'))
	}
}

func errorFrame(id int, p *Problem) []byte {
	return encode(struct {
		Type    string `json:"t"`
		ID      int    `json:"id"`
		Code    string `json:"code"`
		Message string `json:"msg"`
	}{"err", id, p.Code, p.Message})
}

// close ends all sockets and waits for what works for them.
func (f *feed) close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.stop)
	}
	for s := range f.sockets {
		s.end()
	}
	f.mu.Unlock()
	f.work.Wait()
}

// eventFrame is one flush of a tail.
func eventFrame(id int, items [][]byte, dropped int, rate float64) []byte {
	frame := fmt.Appendf(nil, `{"t":"ev","id":%d,"items":[`, id)
	frame = append(frame, bytes.Join(items, []byte(","))...)
	return fmt.Appendf(frame, `],"dropped":%d,"rate":%.0f}`, dropped, rate)
}
