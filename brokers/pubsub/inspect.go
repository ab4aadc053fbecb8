package pubsub

import (
	"slices"
	"strings"

	"github.com/nexobroker/nexo/brokers"
)

// pageBytesMax bounds the payloads of one page of retained messages.
const pageBytesMax = 16 << 20

// Retained is one retained message as Page lists it.
type Retained struct {
	Topic     string
	Payload   []byte // not to be changed
	TTLMillis int64  // -1 is no expiry
}

// RetainedPage lists up to count retained messages that a filter matches, ordered by level, behind the topic after ("" from the
// first). more tells whether there are others behind the last. A page holds at most 16 MiB of payloads, but never none.
func (b *Broker) RetainedPage(filter, after string, count int) (page []Retained, more bool, err error) {
	if err := ValidateFilter(filter); err != nil {
		return nil, false, err
	}
	cursor := b.snapshotCursor(filter, after)
	bytes := 0
	for {
		m := cursor.next()
		if m == nil {
			return page, false, nil
		}
		if len(page) > 0 && (len(page) >= count || bytes+len(m.payload) > pageBytesMax) {
			return page, true, nil
		}
		bytes += len(m.payload)
		entry := Retained{Topic: string(appendTopic(nil, m.key)), Payload: m.payload, TTLMillis: -1}
		if m.end != 0 {
			entry.TTLMillis = max(m.left(b.clock.Now()), 0)
		}
		page = append(page, entry)
	}
}

// Topic is one topic that is in use.
type Topic struct {
	Name        string
	Subscribers int  // how many subscriptions a publish would reach
	Retained    bool // a message is retained
}

// TopicsPage lists up to count topics that have a retained message or subscriptions of exactly that name, ordered by level, behind
// the topic after ("" from the first).
func (b *Broker) TopicsPage(filter, after string, count int) (page []Topic, more bool, err error) {
	if err := ValidateFilter(filter); err != nil {
		return nil, false, err
	}
	// One more than asked tells whether there are more; retained topics come in order, the others are picked out.
	keys := map[string]bool{}
	cursor := b.snapshotCursor(filter, after)
	for len(keys) <= count {
		m := cursor.next()
		if m == nil {
			break
		}
		keys[m.key] = true
	}
	afterKey := keyOf(after)
	b.channels.each(func(r *roster) {
		name := []byte(r.filter)
		if topicProblem(name) != "" || !filterMatches(filter, name) {
			return
		}
		if key := keyOf(r.filter); after == "" || key > afterKey {
			if _, retained := keys[key]; !retained {
				keys[key] = false
			}
		}
	})
	ordered := make([]string, 0, len(keys))
	for key := range keys {
		ordered = append(ordered, key)
	}
	slices.Sort(ordered)
	if more = len(ordered) > count; more {
		ordered = ordered[:count]
	}
	for _, key := range ordered {
		name := appendTopic(nil, key)
		page = append(page, Topic{Name: string(name), Subscribers: b.Receivers(name), Retained: keys[key]})
	}
	return page, more, nil
}

// Receivers is how many subscriptions a publish to this name would reach.
func (b *Broker) Receivers(name []byte) int { return b.channels.route(name, &b.wild).count() }

// Channels lists the names that have subscriptions of their own, those that a glob pattern matches when it is not nil;
// shard lists the shard channels instead.
func (b *Broker) Channels(pattern []byte, shard bool) []string {
	space := b.channels
	if shard {
		space = b.shards
	}
	glob := string(pattern)
	var names []string
	space.each(func(r *roster) {
		if pattern == nil || brokers.MatchGlob(glob, r.filter) {
			names = append(names, r.filter)
		}
	})
	return names
}

// Subscribers is the number of subscriptions of exactly this name; shard counts those of the shard channel.
func (b *Broker) Subscribers(name []byte, shard bool) int {
	if shard {
		return b.shards.size(name)
	}
	return b.channels.size(name)
}

// Patterns is the number of distinct wildcard filters and glob patterns that are subscribed to.
func (b *Broker) Patterns() int { return int(b.wild.names.Load()) }

// Subscriptions lists up to limit subscriptions that have to do with a filter: the filter itself, those that it
// matches when they are read as topics, and those that match it when it is read as a topic.
func (b *Broker) Subscriptions(filter string, limit int) ([]*Subscription, error) {
	if err := ValidateFilter(filter); err != nil {
		return nil, err
	}
	var found []*Subscription
	take := func(sub *Subscription) bool {
		found = append(found, sub)
		return len(found) < limit
	}
	topic := []byte(filter)
	isTopic := topicProblem(topic) == ""
	b.channels.each(func(r *roster) {
		if len(found) < limit && (r.filter == filter || covers(filter, r.filter)) {
			r.each(take)
		}
	})
	if len(found) >= limit {
		return found, nil
	}
	b.wild.each(func(r *roster) bool {
		if r.filter == filter || covers(filter, r.filter) || isTopic && r.concerns(topic) {
			return r.each(take)
		}
		return true
	})
	return found, nil
}

// covers tells whether a filter matches a name that may hold wildcards itself.
func covers(filter, name string) bool {
	return name != "" && strings.IndexByte(name, 0) < 0 && filterMatches(filter, []byte(name))
}

// concerns tells whether the subscriptions of a wildcard roster get what is published to a topic.
func (r *roster) concerns(topic []byte) bool {
	concerned := false
	r.each(func(sub *Subscription) bool {
		concerned = sub.Kind == Glob && brokers.MatchGlob(sub.Name, topic) ||
			sub.Kind != Glob && filterMatches(sub.Name, topic)
		return false
	})
	return concerned
}

// Wildcard is a filter with wildcards, or a glob pattern, that is subscribed to.
type Wildcard struct {
	Name        string
	Glob        bool
	Subscribers int // members of groups included
}

// WildcardsPage lists the filters with wildcards and the glob patterns that are subscribed to and that a filter matches when their
// names are read as topics, ordered by name, behind the name after ("" from the first). "#" matches every one. A page has
// count of them, or a little more when the last ones share a name; more tells whether there are others.
func (b *Broker) WildcardsPage(filter, after string, count int) (page []Wildcard, more bool, err error) {
	if err := ValidateFilter(filter); err != nil {
		return nil, false, err
	}
	var all []Wildcard
	take := func(r *roster, glob bool) bool {
		if (after == "" || r.filter > after) && (filter == "#" || r.filter == filter || covers(filter, r.filter)) {
			all = append(all, Wildcard{r.filter, glob, r.size()})
		}
		return true
	}
	b.wild.mu.RLock()
	b.wild.mu.root.each(func(r *roster) bool { return take(r, false) })
	b.wild.mu.globs.each(func(r *roster) bool { return take(r, true) })
	b.wild.mu.RUnlock()
	slices.SortFunc(all, func(a, b Wildcard) int {
		if order := strings.Compare(a.Name, b.Name); order != 0 || a.Glob == b.Glob {
			return order
		}
		if b.Glob {
			return -1
		}
		return 1
	})
	end := min(count, len(all))
	for end > 0 && end < len(all) && (all[end].Name == all[end-1].Name || all[end-1].Name == "") { // no page ends with the empty pattern
		end++
	}
	return all[:end], end < len(all), nil
}

// SubscriptionsTo lists up to limit subscriptions to exactly this name, channel, filter or pattern.
func (b *Broker) SubscriptionsTo(name string, limit int) (found []*Subscription) {
	take := func(sub *Subscription) bool {
		found = append(found, sub)
		return len(found) < limit
	}
	s := b.channels.shard([]byte(name))
	s.mu.RLock()
	if ch := s.mu.channels[name]; ch != nil {
		ch.roster.each(take)
	}
	s.mu.RUnlock()
	if len(found) >= limit {
		return found
	}
	b.wild.each(func(r *roster) bool { return r.filter != name || r.each(take) })
	return found
}
