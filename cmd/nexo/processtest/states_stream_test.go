package processtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// streamOwner appends to one stream, trims it or lets its limits do it, and consumes it with one group.
type streamOwner struct {
	*findings
	random  *rand.Rand
	name    string
	options []any // of XCREATE
	maxLen  uint64
	maxSize int64
	maxAge  time.Duration
	chained bool

	made    bool
	number  int // of the last payload
	entries map[uint64]ownedEntry
	next    uint64
	floor   uint64 // everything before is gone for good
	ceiling uint64 // everything from it on is there, but for what the limits take
	keys    map[string]uint64

	headAt uint64 // the offset of a hash that was told
	head   string

	group ownedGroup

	// What the command that is under way, or was when the server died, may have done.
	pushing  []ownedEntry
	key      string
	dropping bool
}

type ownedEntry struct {
	head string
	size int64
	at   span // when it was appended
}

const entryWeight = 48 // what an entry counts against MAXBYTES besides its payload

func newStreamOwner(name string, n int, random *rand.Rand, found *findings) *streamOwner {
	s := &streamOwner{findings: found, random: random, name: name}
	switch n {
	case 1:
		s.maxLen, s.options = 800, []any{"MAXLEN", 800, "SYNC", "INTERVAL"}
	case 2:
		s.maxAge, s.options = 4*time.Second, []any{"MAXAGE", "4s"}
	case 3:
		s.maxSize, s.options = 2<<20, []any{"MAXBYTES", 2 << 20, "SYNC", "ALWAYS"}
	case 4:
		s.chained, s.options = true, []any{"INTEGRITY", "CHAIN"}
	}
	s.options = append(s.options, "DEDUPWINDOW", "1h")
	s.forget()
	return s
}

// forget is for a stream that is new, or was dropped.
func (s *streamOwner) forget() {
	s.entries, s.keys, s.next, s.floor, s.ceiling = map[uint64]ownedEntry{}, map[string]uint64{}, 1, 1, 1
	s.headAt, s.made, s.dropping = 0, false, false
	s.group = ownedGroup{stream: s, entries: map[uint64]*taken{}}
}

func (s *streamOwner) create(c *client) error {
	if _, err := s.ask(c, append([]any{"XCREATE", s.name}, s.options...)...); err != nil {
		return err
	}
	s.made = true
	_, err := s.ask(c, "XGCREATE", s.name, "g", "ACKWAIT", ackWait.Milliseconds(), "MAXDELIVER", maxDeliver, "MAXPENDING", 100000)
	s.group.made = s.group.made || err == nil
	return err
}

// limits is the first entry that must be there, and the first that may be, at a time.
func (s *streamOwner) limits(now time.Time) (may, must uint64) {
	may, must = s.floor, s.ceiling
	if s.maxLen > 0 && s.next > s.maxLen {
		may, must = max(may, s.next-s.maxLen), max(must, s.next-s.maxLen)
	}
	if s.maxSize > 0 {
		size, first := int64(0), s.next
		for first > s.floor && size+s.entries[first-1].size+entryWeight <= s.maxSize {
			first--
			size += s.entries[first].size + entryWeight
		}
		may, must = max(may, first), max(must, first)
	}
	if s.maxAge > 0 {
		for ; may < s.next && s.entries[may].at.to.Add(s.maxAge+late).Before(now); may++ {
		}
		for ; must < s.next && !s.entries[must].at.from.Add(s.maxAge-early).After(now); must++ {
		}
	}
	return may, max(may, must)
}

func (s *streamOwner) work(c *client) error {
	if len(s.entries) > 6000 {
		return s.trim(c)
	}
	switch dice := s.random.IntN(1000); {
	case dice < 80:
		return s.appendMany(c)
	case dice < 250:
		return s.append(c)
	case dice < 300:
		return s.appendKeyed(c, fmt.Sprintf("key-%d", s.random.IntN(60)))
	case dice < 320:
		return s.trim(c)
	case dice < 400:
		return s.read(c)
	case dice < 402:
		return s.drop(c)
	case dice < 430 && s.chained:
		return s.hash(c)
	default:
		return s.group.work(c)
	}
}

func (s *streamOwner) newEntry() (ownedEntry, string) {
	s.number++
	payload := payloadOf(s.name, s.number)
	return ownedEntry{head: headOf(s.name, s.number), size: int64(len(payload)), at: span{time.Now(), time.Now().Add(late)}}, payload
}

// appended gives the entries under way their offsets.
func (s *streamOwner) appended() {
	now := time.Now()
	for _, e := range s.pushing {
		e.at.to = minTime(e.at.to, now)
		s.entries[s.next] = e
		s.next++
	}
	s.pushing = nil
}

func (s *streamOwner) append(c *client) error {
	e, payload := s.newEntry()
	words := []any{"XAPPEND", s.name, payload, "NOMK"}
	if s.random.IntN(3) == 0 {
		words = append(words, "EXPECT", s.next-1)
	}
	s.pushing = []ownedEntry{e}
	reply, err := s.ask(c, words...)
	if err != nil {
		return err
	}
	if reply != int64(s.next) {
		s.problem("XAPPEND to %s was told offset %v, and %d is the next", s.name, reply, s.next)
		return errRefuted
	}
	s.appended()
	return nil
}

func (s *streamOwner) appendMany(c *client) error {
	n := 10 + s.random.IntN(100)
	words := []any{"XMAPPEND", s.name, n}
	s.pushing = nil
	for range n {
		e, payload := s.newEntry()
		s.pushing, words = append(s.pushing, e), append(words, payload)
	}
	reply, err := s.ask(c, words...)
	if err != nil {
		return err
	}
	if pair := reply.([]any); pair[0] != int64(s.next) || pair[1] != int64(s.next)+int64(n)-1 {
		s.problem("XMAPPEND of %d to %s was told offsets %v, and %d is the next", n, s.name, pair, s.next)
		return errRefuted
	}
	s.appended()
	return nil
}

// appendKeyed appends with a key that may be in its window already.
func (s *streamOwner) appendKeyed(c *client, key string) error {
	e, payload := s.newEntry()
	s.key = key
	s.pushing = []ownedEntry{e}
	first, known := s.keys[s.key]
	if known {
		s.pushing = nil // nothing will be added
	}
	reply, err := s.ask(c, "XAPPEND", s.name, payload, "NOMK", "DEDUP", s.key)
	if err != nil {
		return err
	}
	want, isNew := s.next, int64(1)
	if known {
		want, isNew = first, 0
		s.count("duplicates answered", 1)
	}
	if pair := reply.([]any); pair[0] != int64(want) || pair[1] != isNew {
		s.problem("XAPPEND to %s with key %s answers %v, not %d, %d", s.name, s.key, pair, want, isNew)
		return errRefuted
	}
	s.keys[s.key], s.key = want, ""
	s.appended()
	return nil
}

// trim removes entries from the front, wherever they are.
func (s *streamOwner) trim(c *client) error {
	may, must := s.limits(time.Now())
	first := must + uint64(s.random.IntN(int(s.next-must)/2+1))
	words := []any{"XTRIM", s.name, "MINID", fmt.Sprintf("#%d", first)}
	if s.random.IntN(2) == 0 {
		words = []any{"XTRIM", s.name, "MAXLEN", s.next - first}
	}
	s.ceiling = max(s.ceiling, first)
	reply, err := s.ask(c, words...)
	if err != nil {
		return err
	}
	_, late := s.limits(time.Now())
	if n := uint64(reply.(int64)); n > first-min(may, first) || late == must && must == may && n != first-must {
		s.problem("%v of the entries %d (or %d) to %d counted %d", words, may, must, s.next-1, n)
		return errRefuted
	}
	s.count("entries trimmed", int(reply.(int64)))
	s.gone(first)
	return nil
}

// gone forgets the entries before one.
func (s *streamOwner) gone(first uint64) {
	for ; s.floor < first; s.floor++ {
		delete(s.entries, s.floor)
		delete(s.group.entries, s.floor)
	}
	s.ceiling = max(s.ceiling, s.floor)
}

// read reads a page somewhere.
func (s *streamOwner) read(c *client) error {
	at := s.floor + uint64(s.random.IntN(int(s.next-s.floor)+1))
	_, must := s.limits(time.Now())
	reply, err := s.ask(c, "XFETCH", s.name, at, "COUNT", 50)
	if err != nil {
		return err
	}
	page := reply.([]any)
	if high := page[1].(int64); high != int64(s.next)-1 {
		s.problem("%s is durable up to %d, and was told to be up to %d", s.name, high, s.next-1)
		return errRefuted
	}
	_, err = s.page(page[3].([]any), at, must)
	return err
}

// page compares entries that were read from an offset on: none of those that must be there may be missing.
func (s *streamOwner) page(list []any, at, must uint64) (next uint64, err error) {
	if len(list) == 0 && max(at, must) < s.next {
		_, must = s.limits(time.Now()) // they may have gone meanwhile
		if max(at, must) < s.next {
			s.problem("%s has entries %d to %d, and shows none", s.name, max(at, must), s.next-1)
			return 0, errRefuted
		}
	}
	for i, item := range list {
		entry := item.([]any)
		offset, payload := uint64(entry[0].(int64)), entry[len(entry)-1].(string)
		if i == 0 && offset > at {
			_, must = s.limits(time.Now())
		}
		if i > 0 && offset != at || offset < at || offset > at && offset > must {
			s.problem("%s: entry %d follows where %d was due (%d must be there)", s.name, offset, at, must)
			return 0, errRefuted
		}
		if err := s.holds(offset, payload); err != nil {
			return 0, err
		}
		at = offset + 1
	}
	return at, nil
}

// holds compares the payload of one entry.
func (s *streamOwner) holds(offset uint64, payload string) error {
	producer, number, err := keyOf(payload)
	if e, known := s.entries[offset]; err != nil || !known || headOf(producer, number) != e.head {
		s.problem("%s: entry %d has %.60q (%v), not %q", s.name, offset, payload, err, e.head)
		return errRefuted
	}
	return nil
}

// hash notes the hash of the last entry.
func (s *streamOwner) hash(c *client) error {
	reply, err := s.ask(c, "XHEAD", s.name)
	if err != nil {
		return err
	}
	s.headAt, s.head = uint64(reply.([]any)[0].(int64)), reply.([]any)[2].(string)
	return nil
}

func (s *streamOwner) drop(c *client) error {
	s.dropping = true
	if reply, err := s.ask(c, "XDROP", s.name); err != nil {
		return err
	} else if reply != int64(1) {
		s.problem("XDROP of %s counted %v", s.name, reply)
	}
	s.forget()
	return s.create(c)
}

func (s *streamOwner) died(at time.Time, clean bool) {
	if !clean {
		s.group.died()
	}
}

// compare reads the whole stream, and what its group has.
func (s *streamOwner) compare(c *client) error {
	reply, err := s.ask(c, "XEXISTS", s.name)
	if err != nil {
		return err
	}
	if there := reply == int64(1); !there {
		if s.made && !s.dropping {
			s.problem("stream %s is lost", s.name)
			return errRefuted
		}
		s.forget()
	}
	s.dropping = false
	if s.group.made {
		if _, err := s.ask(c, "XSTAT", s.name, "g"); err != nil {
			return err
		}
	}
	if err := s.create(c); err != nil {
		return err
	}
	if reply, err = s.ask(c, "XSTAT", s.name); err != nil {
		return err
	}
	if err := s.compareEnds(mapOf(reply)); err != nil {
		return err
	}
	if err := s.readWhole(c); err != nil {
		return err
	}
	if err := s.compareChain(c); err != nil {
		return err
	}
	for key := range s.keys {
		if s.random.IntN(4) == 0 {
			if err := s.appendKeyed(c, key); err != nil {
				return err
			}
		}
	}
	return s.group.compare(c)
}

// compareEnds takes over an append that was not answered, or gives it up.
func (s *streamOwner) compareEnds(fields map[string]any) error {
	first, next := uint64(fields["first"].(int64)), uint64(fields["next"].(int64))
	switch next {
	case s.next + uint64(len(s.pushing)):
		if s.key != "" && len(s.pushing) > 0 {
			s.keys[s.key] = s.next
		}
		s.appended()
	case s.next:
		s.pushing = nil
	default:
		s.problem("%s goes on at %d after a start, not at %d (or %d behind it)", s.name, next, s.next, len(s.pushing))
		return errRefuted
	}
	s.key = ""
	if fields["high"] != int64(next)-1 {
		s.problem("%s goes on at %d and is durable up to %v after a start", s.name, next, fields["high"])
	}
	if may, must := s.limits(time.Now()); first < may || first > must {
		s.problem("%s begins with %d after a start, not between %d and %d", s.name, first, may, must)
		return errRefuted
	}
	s.count("entries trimmed", int(first-s.floor))
	s.gone(first)
	s.ceiling = s.floor
	return nil
}

func (s *streamOwner) readWhole(c *client) error {
	for at := s.floor; at < s.next; {
		_, must := s.limits(time.Now())
		reply, err := s.ask(c, "XFETCH", s.name, at, "COUNT", 1000, "MAXBYTES", 16<<20)
		if err != nil {
			return err
		}
		list := reply.([]any)[3].([]any)
		if at, err = s.page(list, at, max(at, must)); err != nil || len(list) == 0 {
			return err
		}
	}
	return nil
}

func (s *streamOwner) compareChain(c *client) error {
	if !s.chained || s.floor == s.next {
		return nil
	}
	reply, err := s.ask(c, "XVERIFY", s.name)
	if err != nil {
		return err
	}
	if ok := mapOf(reply)["ok"]; ok != int64(1) {
		s.problem("the chain of %s is broken after a start: %v", s.name, reply)
	}
	at, head := s.headAt, s.head
	if err := s.hash(c); err == nil && at == s.headAt && head != s.head {
		s.problem("entry %d of %s had the hash %s, and has %s after a start", at, s.name, head, s.head)
	}
	return nil
}

// finish takes what the group has not had, until nothing comes any more.
func (s *streamOwner) finish(c *client) error { return s.group.finish(c) }

// offsets are the keys of a map in order.
func offsets[T any](m map[uint64]T) []uint64 {
	list := make([]uint64, 0, len(m))
	for offset := range m {
		list = append(list, offset)
	}
	slices.Sort(list)
	return list
}
