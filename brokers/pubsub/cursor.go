package pubsub

import (
	"strings"

	"github.com/nexobroker/nexo/brokers"
	"github.com/tidwall/btree"
)

// probeMax is how many seeks a subscribe spends on finding out that nothing matches.
const probeMax = 16

// Cursor walks the retained messages that one name matches, as they were at one moment, in the order of their topics.
// It belongs to one goroutine at a time.
type Cursor struct {
	clock    *brokers.Timeline
	snapshot *btree.Map[string, *message]
	kind     Kind
	name     string
	levels   []string // of a filter
	prefix   string   // as a key: every match starts with it
	from     string   // the least key that has not been looked at
	done     bool
	topic    []byte
	seeks    int
}

// cursorLocked returns a cursor for a new subscription, or nil when nothing matches.
func (r *retained) cursorLocked(clock *brokers.Timeline, kind Kind, name string) *Cursor {
	if r.mu.messages.Len() == 0 {
		return nil
	}
	if kind == Channel || (kind == Filter && !HasWildcard(name)) {
		m, ok := r.mu.messages.Get(keyOf(name))
		if !ok || strings.IndexByte(name, 0) >= 0 {
			return nil
		}
		single := btree.NewMap[string, *message](2)
		single.Set(m.key, m)
		return newCursor(clock, single, Filter, "#", "")
	}
	probe := newCursor(clock, r.mu.messages, kind, name, "")
	if !probe.mayMatch() {
		return nil
	}
	return newCursor(clock, r.mu.messages.Copy(), kind, name, "")
}

// snapshotCursor returns a cursor over what is retained now, behind the topic after ("" from the first).
func (b *Broker) snapshotCursor(filter, after string) *Cursor {
	b.retained.mu.Lock()
	snapshot := b.retained.mu.messages.Copy()
	b.retained.mu.Unlock()
	return newCursor(b.clock, snapshot, Filter, filter, after)
}

func newCursor(clock *brokers.Timeline, snapshot *btree.Map[string, *message], kind Kind, name, after string) *Cursor {
	c := &Cursor{clock: clock, snapshot: snapshot, kind: kind, name: name}
	if kind == Glob {
		literal := name
		if special := strings.IndexAny(name, globSpecial); special >= 0 {
			literal = name[:special]
		}
		c.prefix = keyOf(literal)
	} else {
		c.levels = strings.Split(name, "/")
		for i, level := range c.levels {
			if level == "+" || level == "#" {
				break
			}
			if i > 0 {
				c.prefix += "\x00"
			}
			c.prefix += level
		}
	}
	c.from = c.prefix
	if after != "" {
		c.from = max(c.from, keyOf(after)+"\x00")
	}
	return c
}

// Next returns the next message that has not run out, or ok false at the end. The topic is valid until the next call, the
// payload for ever, but neither may be changed.
func (c *Cursor) Next() (topic, payload []byte, ok bool) {
	m := c.next()
	if m == nil {
		return nil, nil, false
	}
	c.topic = appendTopic(c.topic[:0], m.key)
	return c.topic, m.payload, true
}

func (c *Cursor) next() *message {
	for !c.done {
		if m := c.step(); m != nil && !m.expired(c.clock.Now()) {
			return m
		}
	}
	return nil
}

// mayMatch tells whether there is a match as far as a few seeks can tell. It moves the cursor.
func (c *Cursor) mayMatch() bool {
	for tries := 0; tries < probeMax && !c.done; tries++ {
		if c.step() != nil {
			return true
		}
	}
	return !c.done
}

// step seeks the least key that may match, moves behind it, and returns its message if it does match.
func (c *Cursor) step() *message {
	c.seeks++
	var m *message
	c.snapshot.Ascend(c.from, func(_ string, found *message) bool {
		m = found
		return false
	})
	if m == nil || !strings.HasPrefix(m.key, c.prefix) {
		c.done = true
		return nil
	}
	if c.kind == Glob {
		c.from = m.key + "\x00"
		c.topic = appendTopic(c.topic[:0], m.key)
		if brokers.MatchGlob(c.name, c.topic) {
			return m
		}
		return nil
	}
	next, matches := seekBehind(c.levels, m.key)
	if next == "" {
		c.done = true
	}
	c.from = next
	if matches {
		return m
	}
	return nil
}

// seekBehind tells whether the levels of a filter match a key, and what the least greater key is that they may match; ""
// is none. This is what skips the branches that do not match:
//
//	filter b/+/c   key b x a  -> b x c       (level too small: up to the filter's)
//	               key b x d  -> b x \x01    (too great: behind this level of the last '+')
//	               key b x    -> b x \x00    (too short: into the branch)
func seekBehind(levels []string, key string) (next string, matches bool) {
	if key[0] == '$' && (levels[0] == "+" || levels[0] == "#") {
		return "%", false // '$' + 1
	}
	plusEnd := -1 // where the key's level under the last '+' ends
	at := 0
	for i, level := range levels {
		if level == "#" {
			return key + "\x00", true
		}
		end := strings.IndexByte(key[at:], 0)
		last := end < 0
		if last {
			end = len(key)
		} else {
			end += at
		}
		switch have := key[at:end]; {
		case level == "+":
			plusEnd = end
		case have < level:
			return key[:at] + level, false
		case have > level:
			return behindBranch(key, plusEnd), false
		}
		if last {
			rest := levels[i+1:]
			return key + "\x00", len(rest) == 0 || rest[0] == "#"
		}
		at = end + 1
	}
	return behindBranch(key, plusEnd), false // the key has more levels than the filter
}

// behindBranch is the least key behind every key that goes on from key[:end] with another level.
func behindBranch(key string, end int) string {
	if end < 0 {
		return ""
	}
	return key[:end] + "\x01"
}
