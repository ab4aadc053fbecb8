package processtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// storeOwner changes the keys of one database.
type storeOwner struct {
	*findings
	random   *rand.Rand
	database int
	number   int
	keys     map[string]ownedValue

	// What the command that is under way, or was when the server died, makes of its keys: all of them, or none.
	changing map[string]ownedValue
}

// ownedValue is what a key has; the zero value is that of a key which is not there.
type ownedValue struct {
	there  bool
	text   string
	expiry span // zero for none
}

// over tells that a key with an expiry is about to end, or has: what it has is not to be built upon.
func (v ownedValue) over(now time.Time) bool {
	return v.there && v.expiry.may(now.Add(2*time.Second)) && !v.expiry.must(now)
}

// current is what is left of a value.
func (v ownedValue) current(now time.Time) ownedValue {
	if v.expiry.must(now) {
		return ownedValue{}
	}
	return v
}

func newStoreOwner(database int, random *rand.Rand, found *findings) *storeOwner {
	return &storeOwner{findings: found, random: random, database: database, keys: map[string]ownedValue{}}
}

func (s *storeOwner) key() string { return fmt.Sprint("k", s.random.IntN(400)) }

// storeChange is a command, what it does to keys, and its reply.
type storeChange struct {
	words []any
	after map[string]ownedValue
	reply any
}

func (s *storeOwner) work(c *client) error {
	now := time.Now()
	key, other := s.key(), s.key()
	v, w := s.keys[key].current(now), s.keys[other].current(now)
	if s.keys[key].over(now) || s.keys[other].over(now) {
		return nil // nobody can say what the reply has to be
	}
	var change storeChange
	switch s.random.IntN(4) {
	case 0:
		change = s.count1(key, v)
	case 1:
		change = s.text(key, v)
	case 2:
		change = s.expire(key, v, now)
	default:
		change = s.many(key, other, v, w)
	}
	if s.random.IntN(2000) == 0 {
		change = storeChange{words: []any{"FLUSHDB"}, after: map[string]ownedValue{}, reply: "OK"}
		for name := range s.keys {
			change.after[name] = ownedValue{}
		}
	}
	s.changing = change.after
	if err := s.selects(c); err != nil {
		return err
	}
	reply, err := s.ask(c, change.words...)
	if err != nil {
		return err
	}
	if fmt.Sprint(reply) != fmt.Sprint(change.reply) {
		s.problem("%.200v answers %.100v, not %.100v", change.words, reply, change.reply)
		return errRefuted
	}
	for name, v := range change.after {
		if v.expiry.to.After(now.Add(time.Hour)) { // its end was not yet known
			v.expiry.to = time.Now().Add(v.expiry.from.Sub(now))
		}
		s.keys[name] = v
	}
	s.changing = nil
	return nil
}

func (s *storeOwner) selects(c *client) error {
	if c.database == s.database {
		return nil
	}
	c.database = s.database
	_, err := s.ask(c, "SELECT", s.database)
	return err
}

func (s *storeOwner) payload() string {
	s.number++
	return payloadOf(fmt.Sprint("d", s.database), s.number)
}

// of is the change of one key by a command.
func (v ownedValue) of(key string, reply any, words ...any) storeChange {
	return storeChange{words: words, after: map[string]ownedValue{key: v}, reply: reply}
}

// count1 counts, when the key has a number.
func (s *storeOwner) count1(key string, v ownedValue) storeChange {
	n, err := strconv.ParseInt(v.text, 10, 64)
	if v.there && err != nil {
		text := v.text
		return ownedValue{}.of(key, text, "GETDEL", key)
	}
	by := int64(s.random.IntN(1000) - 300)
	after := ownedValue{there: true, text: strconv.FormatInt(n+by, 10), expiry: v.expiry}
	switch s.random.IntN(3) {
	case 0:
		after.text = strconv.FormatInt(n+1, 10)
		return after.of(key, n+1, "INCR", key)
	case 1:
		return after.of(key, n+by, "NINCR", key, "BY", by)
	default:
		return after.of(key, n+by, "INCRBY", key, by)
	}
}

// text makes a string longer, or a new one.
func (s *storeOwner) text(key string, v ownedValue) storeChange {
	payload := s.payload()
	after := ownedValue{there: true, text: v.text + payload, expiry: v.expiry}
	switch dice := s.random.IntN(4); {
	case dice == 0 && len(v.text) < 300_000:
		return after.of(key, len(after.text), "APPEND", key, payload)
	case dice == 1 && len(v.text) < 300_000:
		at := len(v.text) + s.random.IntN(5)
		after.text = v.text + strings.Repeat("\x00", at-len(v.text)) + payload
		return after.of(key, len(after.text), "SETRANGE", key, at, payload)
	case dice == 2:
		after.text = payload
		return after.of(key, "OK", "SET", key, payload, "KEEPTTL")
	default:
		return ownedValue{there: true, text: payload}.of(key, "OK", "SET", key, payload)
	}
}

// expire gives a key a time to live, or takes it away.
func (s *storeOwner) expire(key string, v ownedValue, now time.Time) storeChange {
	d := time.Duration(100+s.random.IntN(20_000)) * time.Millisecond
	after := v
	after.expiry = span{now.Add(d), now.Add(24 * time.Hour)}
	reply := 1
	if !v.there {
		reply, after = 0, ownedValue{}
	}
	switch s.random.IntN(5) {
	case 0:
		return after.of(key, reply, "PEXPIRE", key, d.Milliseconds())
	case 1:
		date := now.Add(d).UnixMilli()
		if v.there {
			after.expiry = at(date)
		}
		return after.of(key, reply, "PEXPIREAT", key, date)
	case 2:
		if after.expiry = (span{}); v.expiry.from.IsZero() {
			reply = 0
		}
		return after.of(key, reply, "PERSIST", key)
	case 3:
		payload := s.payload()
		return ownedValue{there: true, text: payload, expiry: span{now.Add(d), now.Add(24 * time.Hour)}}.of(key, "OK", "SET", key, payload, "PX",
			d.Milliseconds())
	default:
		seconds := 1 + s.random.IntN(15)
		if v.there {
			after.expiry.from = now.Add(time.Duration(seconds) * time.Second)
		}
		return after.of(key, reply, "EXPIRE", key, seconds)
	}
}

// many changes two keys at once: both, or none.
func (s *storeOwner) many(key, other string, v, w ownedValue) storeChange {
	change := storeChange{after: map[string]ownedValue{}}
	switch dice := s.random.IntN(4); {
	case dice == 0 && key != other && v.there:
		change.words, change.reply = []any{"RENAME", key, other}, "OK"
		change.after[key], change.after[other] = ownedValue{}, v
	case dice == 1:
		n := 0
		for _, name := range slices.Compact([]string{key, other}) {
			if s.keys[name].current(time.Now()).there {
				n++
			}
			change.after[name] = ownedValue{}
		}
		change.words, change.reply = []any{"DEL", key, other}, n
	case dice == 2 && key != other && v.there:
		change.words, change.reply = []any{"COPY", key, other, "REPLACE"}, 1
		change.after[other] = v
	default:
		one, two := s.payload(), s.payload()
		change.words, change.reply = []any{"MSET", key, one, other, two}, "OK"
		change.after[key] = ownedValue{there: true, text: one}
		change.after[other] = ownedValue{there: true, text: two}
	}
	return change
}

func (s *storeOwner) died(at time.Time, _ bool) {
	for name, v := range s.changing {
		if v.expiry.to.After(at.Add(time.Hour)) {
			v.expiry.to = at.Add(late + v.expiry.from.Sub(at))
			s.changing[name] = v
		}
	}
}

// compare reads every key with its time to live.
func (s *storeOwner) compare(c *client) error {
	if err := s.selects(c); err != nil {
		return err
	}
	outcome := "" // of the change that was not answered
	for name := range s.changing {
		known := s.keys[name]
		s.keys[name] = known // look at it, too
	}
	for name, v := range s.keys {
		sent := time.Now()
		value, err := s.ask(c, "GET", name)
		if err != nil {
			return err
		}
		left, err := s.ask(c, "PTTL", name)
		if err != nil {
			return err
		}
		found := ownedValue{there: true, text: fmt.Sprint(value)}
		if ms := left.(int64); value == nil || ms == -2 { // it may have ended between the two
			found = ownedValue{}
		} else if ms >= 0 {
			found.expiry = within(sent, time.Now(), time.Duration(ms)*time.Millisecond)
		}
		before, done := v.agrees(found), false
		next, changing := s.changing[name]
		if changing {
			done = next.agrees(found)
		}
		switch {
		case !before && !done:
			s.problem("key %s of database %d has %.80q (%d bytes, expiry %v) after a start, not %.80q (%d bytes, expiry %v), nor %.80q (%v)", name,
				s.database, found.text, len(found.text), found.expiry.from, v.text, len(v.text), v.expiry.from, next.text, changing)
			return errRefuted
		case changing && done != before:
			if word := map[bool]string{true: "done", false: "not done"}[done]; outcome != "" && outcome != word {
				s.problem("a change of several keys was %s for %s and %s for another", word, name, outcome)
			} else {
				outcome = word
			}
		}
		s.keys[name] = found
	}
	s.changing = nil
	s.count("keys compared", len(s.keys))
	if err := s.others(c); err != nil || s.database != 1 || s.random.IntN(3) != 0 {
		return err
	}
	for range 5 { // so much that a compaction begins
		if _, err := s.ask(c, "SET", "much", strings.Repeat("z", 8<<20)); err != nil {
			return err
		}
	}
	_, err := s.ask(c, "DEL", "much")
	return err
}

// agrees tells whether a value is what is found, as far as the clock allows.
func (v ownedValue) agrees(found ownedValue) bool {
	now := time.Now()
	if !found.there {
		return !v.there || v.expiry.may(now)
	}
	if !v.there || v.expiry.must(now) || v.text != found.text || v.expiry.from.IsZero() != found.expiry.from.IsZero() {
		return false
	}
	return v.expiry.from.IsZero() || !found.expiry.to.Before(v.expiry.from.Add(-early)) && !found.expiry.from.After(v.expiry.to.Add(early))
}

// others tells of keys that nobody has made.
func (s *storeOwner) others(c *client) error {
	reply, err := s.ask(c, "KEYS", "*")
	if err != nil {
		return err
	}
	for _, name := range reply.([]any) {
		if v, known := s.keys[name.(string)]; !known || !v.there {
			s.problem("database %d has the key %v after a start", s.database, name)
			return errRefuted
		}
	}
	return nil
}

func (s *storeOwner) finish(*client) error { return nil }

// retainedOwner changes the retained messages below one topic.
type retainedOwner struct {
	*findings
	random *rand.Rand
	name   string
	number int
	topics map[string]ownedValue

	changing map[string]ownedValue
}

func newRetainedOwner(name string, random *rand.Rand, found *findings) *retainedOwner {
	return &retainedOwner{findings: found, random: random, name: name, topics: map[string]ownedValue{}}
}

func (r *retainedOwner) work(c *client) error {
	now := time.Now()
	topic := fmt.Sprintf("%s/%d/%d", r.name, r.random.IntN(10), r.random.IntN(20))
	if r.topics[topic].over(now) {
		return nil
	}
	r.number++
	payload := payloadOf(r.name, r.number)
	words := []any{"NPUB", topic, payload, "RETAIN"}
	r.changing = map[string]ownedValue{}
	after := ownedValue{there: true, text: payload}
	d := time.Duration(100+r.random.IntN(10_000)) * time.Millisecond
	switch dice := r.random.IntN(100); {
	case dice < 30:
		words, after.expiry = append(words, "PX", d.Milliseconds()), span{now.Add(d), now.Add(d + late)}
	case dice < 50:
		words[2], after = "", ownedValue{}
	case dice < 52:
		below := fmt.Sprintf("%s/%d/", r.name, r.random.IntN(10))
		words = []any{"NRDEL", below + "+"}
		for topic := range r.topics {
			if strings.HasPrefix(topic, below) {
				r.changing[topic] = ownedValue{}
			}
		}
	}
	if words[0] == "NPUB" {
		r.changing[topic] = after
	}
	if _, err := r.ask(c, words...); err != nil {
		return err
	}
	for topic, v := range r.changing {
		if !v.expiry.from.IsZero() {
			v.expiry.to = time.Now().Add(d)
		}
		r.topics[topic] = v
	}
	r.changing = nil
	return nil
}

func (r *retainedOwner) died(time.Time, bool) {}

// compare reads all retained messages below the topic.
func (r *retainedOwner) compare(c *client) error {
	found := map[string]ownedValue{}
	for cursor := any(nil); cursor == nil || cursor != "0"; {
		words := []any{"NRETAINED", r.name + "/#", "COUNT", 100}
		if cursor != nil {
			words = append(words, "CURSOR", cursor)
		}
		sent := time.Now()
		reply, err := r.ask(c, words...)
		if err != nil {
			return err
		}
		page := reply.([]any)
		cursor = page[0]
		for _, item := range page[1].([]any) {
			message := item.([]any)
			v := ownedValue{there: true, text: message[1].(string)}
			if ms := message[2].(int64); ms >= 0 {
				v.expiry = within(sent, time.Now(), time.Duration(ms)*time.Millisecond)
			}
			if topic := message[0].(string); found[topic].there {
				r.problem("topic %s is listed twice", topic)
			} else {
				found[topic] = v
			}
		}
	}
	for topic := range r.topics {
		retained := found[topic]
		found[topic] = retained // none, if it is not there
	}
	for topic, v := range found {
		next, changing := r.changing[topic]
		if !r.topics[topic].agrees(v) && !(changing && next.agrees(v)) {
			r.problem("topic %s retains %.60q (expiry %v) after a start, not %.60q (expiry %v), nor %.60q (%v)", topic, v.text, v.expiry.from,
				r.topics[topic].text, r.topics[topic].expiry.from, next.text, changing)
			return errRefuted
		}
	}
	r.count("retained messages compared", len(found))
	r.topics, r.changing = found, nil
	for n := 0; n < 12 && r.random.IntN(12) > 0; n++ { // so much that a compaction begins
		for _, payload := range []string{strings.Repeat("z", 1<<20), ""} {
			if _, err := r.ask(c, "NPUB", r.name+"/much", payload, "RETAIN"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *retainedOwner) finish(*client) error { return nil }
