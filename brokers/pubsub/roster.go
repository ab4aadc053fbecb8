package pubsub

import (
	"slices"
	"sync/atomic"
)

// Kind says how the name of a subscription is read.
type Kind uint8

const (
	// Channel is one name, any bytes.
	Channel Kind = iota
	// Glob is a Redis glob pattern.
	Glob
	// Filter is a topic filter, with or without wildcards.
	Filter
	// Shard is one name in the space of the shard channels.
	Shard
)

// Subscriber takes messages. Deliver is called from publishers' goroutines, at once from several, and must not block or
// call the broker. It returns false when the subscriber is gone and nothing was taken.
type Subscriber interface {
	Deliver(run *Run, sub *Subscription) bool
}

// Subscription is one interest of one subscriber. It is filled by the subscriber, never changed after
// Subscribe, and identified by its pointer.
type Subscription struct {
	Subscriber Subscriber
	Owner      uint64 // who publishes under this number is the subscriber itself; for NoLocal and no-echo publishes
	Kind       Kind
	Name       string // channel, pattern or filter that is matched
	Group      string // the shared group it is a member of, of a Filter; "" for none
	NoLocal    bool   // nothing that Owner publishes
	Tag        uint8  // the subscriber's own

	position int // in roster.subs, under the roster's lock
}

// roster is every subscription with one name. Its fields are guarded by the lock of the index that holds it.
type roster struct {
	filter string
	// subs is handed out as views of its first n elements. While shared is set such a view may be in use, so an element may be
	// added behind it but none replaced: a removal copies first.
	subs    []*Subscription
	shared  atomic.Bool
	noLocal int // how many of subs have NoLocal
	groups  []*group
}

// group is the members of one shared group on one filter; each message goes to one of them, in turn.
type group struct {
	name    string
	members atomic.Pointer[[]*Subscription] // immutable
	next    atomic.Uint64
}

// part is an immutable view of a roster.
type part struct {
	subs    []*Subscription
	groups  []*group
	noLocal bool
}

func (r *roster) view() part {
	if !r.shared.Load() {
		r.shared.Store(true)
	}
	return part{subs: r.subs[:len(r.subs):len(r.subs)], groups: r.groups, noLocal: r.noLocal > 0}
}

func (r *roster) empty() bool { return len(r.subs) == 0 && len(r.groups) == 0 }

// count is how many receivers a message has here: each subscription, and one of each group.
func (p part) count() int { return len(p.subs) + len(p.groups) }

// same tells whether two views are of the same roster in the same state.
func (p part) same(q part) bool {
	return sameSlice(p.subs, q.subs) && sameSlice(p.groups, q.groups)
}

func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (r *roster) add(sub *Subscription) {
	if sub.Group != "" {
		r.join(sub)
		return
	}
	sub.position = len(r.subs)
	r.subs = append(r.subs, sub)
	if sub.NoLocal {
		r.noLocal++
	}
}

func (r *roster) join(sub *Subscription) {
	for _, g := range r.groups {
		if g.name == sub.Group {
			members := append(slices.Clone(*g.members.Load()), sub)
			g.members.Store(&members)
			return
		}
	}
	g := &group{name: sub.Group}
	g.members.Store(&[]*Subscription{sub})
	r.groups = append(slices.Clone(r.groups), g)
}

func (r *roster) remove(sub *Subscription) bool {
	if sub.Group != "" {
		return r.leave(sub)
	}
	if sub.position >= len(r.subs) || r.subs[sub.position] != sub {
		return false
	}
	if r.shared.Load() {
		r.subs = slices.Clone(r.subs)
		r.shared.Store(false)
	}
	last := len(r.subs) - 1
	r.subs[sub.position] = r.subs[last]
	r.subs[sub.position].position = sub.position
	r.subs[last] = nil
	r.subs = r.subs[:last]
	if sub.NoLocal {
		r.noLocal--
	}
	return true
}

func (r *roster) leave(sub *Subscription) bool {
	for i, g := range r.groups {
		if g.name != sub.Group {
			continue
		}
		members := *g.members.Load()
		at := slices.Index(members, sub)
		if at < 0 {
			return false
		}
		members = slices.Delete(slices.Clone(members), at, at+1)
		g.members.Store(&members)
		if len(members) == 0 {
			r.groups = slices.Delete(slices.Clone(r.groups), i, i+1)
		}
		return true
	}
	return false
}

// each calls visit with every subscription, members of groups included.
func (r *roster) each(visit func(*Subscription) bool) bool {
	for _, sub := range r.subs {
		if !visit(sub) {
			return false
		}
	}
	for _, g := range r.groups {
		for _, sub := range *g.members.Load() {
			if !visit(sub) {
				return false
			}
		}
	}
	return true
}

// size is the number of subscriptions, members of groups included.
func (r *roster) size() int {
	n := len(r.subs)
	for _, g := range r.groups {
		n += len(*g.members.Load())
	}
	return n
}
