package ui

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushEvery    = 250 * time.Millisecond
	flushMax      = 200 // items
	tailArguments = 32
	tailArgument  = 256
)

func isTail(name string) bool { return strings.HasPrefix(name, "tail:") }

// tail gathers events between two flushes.
type tail interface {
	// start begins; stop ends it. Both run under feed.mu.
	start() (stop func(), err error)
	// drain returns what came since the last call, how many were dropped, and how many there were in all. It runs without
	// feed.mu.
	drain() (items [][]byte, dropped, seen int, err error)
}

// sharedTail is a tail with all who watch it.
type sharedTail struct {
	tail     tail
	watchers map[*subscription]bool
	end      chan struct{}
	stop     func()
}

// joinTailLocked adds a watcher to a tail, and begins it for the first.
func (f *feed) joinTailLocked(sub *subscription, name string, q topicQuery) error {
	made, key, err := f.server.newTail(name, q)
	if err != nil {
		return err
	}
	one := f.tails[key]
	if one == nil {
		if f.closed {
			return problem(http.StatusServiceUnavailable, "CLOSING", "the server is stopping")
		}
		stop, err := made.start()
		if err != nil {
			return err
		}
		one = &sharedTail{tail: made, watchers: map[*subscription]bool{}, end: make(chan struct{}), stop: stop}
		f.tails[key] = one
		f.work.Go(func() { f.flushTail(key, one) })
	}
	one.watchers[sub] = true
	sub.tail = one
	return nil
}

func (f *feed) leaveTailLocked(sub *subscription) {
	one := sub.tail
	delete(one.watchers, sub)
	if len(one.watchers) > 0 {
		return
	}
	for key, other := range f.tails {
		if other == one {
			delete(f.tails, key)
			close(one.end)
			one.stop()
		}
	}
}

// flushTail sends what the tail has gathered four times a second until nobody watches it.
func (f *feed) flushTail(key string, one *sharedTail) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-one.end:
			return
		case <-f.stop:
			return
		}
		items, dropped, seen, err := one.tail.drain()
		f.mu.Lock()
		if f.tails[key] != one {
			f.mu.Unlock()
			return
		}
		if err != nil {
			delete(f.tails, key)
			one.stop()
			for sub := range one.watchers {
				sub.socket.queue(errorFrame(sub.id, problemOf(err)))
				delete(sub.socket.subscriptions, sub.id)
			}
			f.mu.Unlock()
			return
		}
		for sub := range one.watchers {
			if seen == 0 && sub.missed == 0 && !sub.behind {
				continue
			}
			// A flush without events follows one with events, so that the rate goes back to zero.
			if sub.socket.queue(eventFrame(sub.id, items, dropped+sub.missed, float64(seen)/flushEvery.Seconds())) {
				sub.missed, sub.behind = 0, seen > 0
			} else {
				sub.missed += seen
			}
		}
		f.mu.Unlock()
	}
}

// newTail makes the tail of a subscription.
func (s *Server) newTail(name string, q topicQuery) (made tail, key string, err error) {
	switch name {
	case "tail:stream":
		if q.Name == "" {
			return nil, "", problem(http.StatusBadRequest, "BADQUERY", "name is missing")
		}
		return &streamTail{server: s, name: q.Name}, name + " " + q.Name, nil
	case "tail:pubsub":
		if q.Filter == "" {
			q.Filter = "#"
		}
		return &messageTail{server: s, filter: q.Filter}, name + " " + q.Filter, nil
	case "tail:commands":
		return &commandTail{server: s, filter: strings.ToLower(q.Filter)}, name + " " + strings.ToLower(q.Filter), nil
	}
	return nil, "", problem(http.StatusBadRequest, "NOTOPIC", "there is no topic %q", shorten(name))
}

// streamTail reads the end of a stream when it flushes: an append costs nothing more for it.
type streamTail struct {
	server *Server
	name   string
	next   uint64
}

func (t *streamTail) start() (stop func(), err error) {
	_, high, _, err := t.server.source.Entries(t.name, "last", 1, false)
	t.next = high + 1
	return func() {}, err
}

func (t *streamTail) drain() (items [][]byte, dropped, seen int, err error) {
	_, high, _, err := t.server.source.Entries(t.name, "last", 1, false)
	if err != nil || high+1 == t.next {
		return nil, 0, 0, err
	}
	if high+1 < t.next { // dropped and made anew
		t.next = 1
	}
	seen = int(min(high+1-t.next, 1<<40))
	if seen > flushMax {
		t.next = high + 1 - flushMax
	}
	entries, _, _, err := t.server.source.Entries(t.name, strconv.FormatUint(t.next, 10), flushMax, false)
	if err != nil {
		return nil, 0, 0, err
	}
	for _, entry := range entries {
		t.server.showEntry(&entry, false)
		items = append(items, encode(entry))
	}
	t.next = high + 1
	return items, max(seen-len(items), 0), seen, nil
}

// ring holds what came since the last flush, up to flushMax; what comes after is counted. Adding never waits for a flush: that
// takes the list and leaves an empty one.
type ring struct {
	seen atomic.Int64
	full atomic.Bool
	mu   sync.Mutex
	list []json.RawMessage
}

// add takes an event if there is room; make is called only then.
func (r *ring) add(make func() any) {
	r.seen.Add(1)
	if r.full.Load() {
		return
	}
	item := encode(make())
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) < flushMax {
		r.list = append(r.list, item)
	}
	if len(r.list) == flushMax {
		r.full.Store(true)
	}
}

func (r *ring) drain() (items [][]byte, dropped, seen int, err error) {
	r.mu.Lock()
	list := r.list
	r.list = nil
	r.full.Store(false)
	r.mu.Unlock()
	seen = int(r.seen.Swap(0))
	for _, item := range list {
		items = append(items, item)
	}
	seen = max(seen, len(items))
	return items, seen - len(items), seen, nil
}

// messageTail watches the bus; nothing counts it as a subscriber.
type messageTail struct {
	server *Server
	filter string
	ring
}

type messageSeen struct {
	At       int64   `json:"at"`
	Topic    string  `json:"topic"`
	Payload  Payload `json:"payload"`
	Retained bool    `json:"retained"`
}

func (t *messageTail) start() (stop func(), err error) {
	return t.server.source.TailMessages(t.filter, func(topic, payload []byte, retained bool) {
		t.add(func() any {
			shown := Payload{size: len(payload)}
			if !t.server.options.HidePayloads {
				shown.text = string(payload[:min(len(payload), previewMax)])
			}
			return messageSeen{t.server.options.Now().UnixMilli(), string(topic), shown, retained}
		})
	})
}

// commandTail watches the commands of all clients but the dashboard's own.
type commandTail struct {
	server *Server
	filter string // what the command, the client's name or its address holds, in lower case
	ring
}

type commandSeen struct {
	At     int64    `json:"at"`
	Client string   `json:"client"`
	Name   string   `json:"name"`
	Addr   string   `json:"addr"`
	Args   []string `json:"args"`
}

func (t *commandTail) start() (stop func(), err error) {
	return t.server.source.TailCommands(func(c CommandSeen) {
		if t.filter != "" && !strings.Contains(strings.ToLower(string(c.Args[0])), t.filter) && !strings.Contains(c.Addr.String(), t.filter) &&
			!strings.Contains(strings.ToLower(c.Name), t.filter) {
			return
		}
		t.add(func() any {
			return commandSeen{t.server.options.Now().UnixMilli(), strconv.FormatUint(c.Client, 10), c.Name, c.Addr.String(), t.words(c)}
		})
	}), nil
}

// words shows a command without what may be a password, and without payloads when they are hidden.
func (t *commandTail) words(c CommandSeen) []string {
	list := []string{string(c.Args[0])}
	for i, arg := range c.Args[1:] {
		switch {
		case i+1 == tailArguments:
			return append(list, "... ("+strconv.Itoa(len(c.Args)-i-1)+" more)")
		case c.Secret:
			list = append(list, "(redacted)")
		case t.server.options.HidePayloads && i+1 >= c.Naming:
			list = append(list, "(hidden)")
		case len(arg) > tailArgument:
			list = append(list, string(arg[:tailArgument])+"... ("+strconv.Itoa(len(arg)-tailArgument)+" more bytes)")
		default:
			list = append(list, string(arg))
		}
	}
	return list
}
