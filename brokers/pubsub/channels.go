package pubsub

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	shardCount = 256
	// cachedPerShard bounds the topics without a subscription of their own whose wildcard result is remembered, and
	// cachedNameMax their length: 16,384 topics of at most 256 bytes.
	cachedPerShard = 64
	cachedNameMax  = 256
)

// channel is one name that has subscriptions of its own.
type channel struct {
	roster roster
	wild   atomic.Pointer[result]
}

type shard struct {
	// seen are hashes of names without a channel that were looked up: a result is remembered for a name that comes again, so that
	// names which come once, as those of new topics, push out none and cost no memory.
	seen [cachedPerShard]atomic.Uint32

	mu struct {
		sync.RWMutex
		channels map[string]*channel
		// results remembers what matches a name that has no channel.
		results map[string]*result
	}
}

// channels is a space of names.
type channels struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

func newChannels() *channels {
	c := &channels{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].mu.channels = map[string]*channel{}
		c.shards[i].mu.results = map[string]*result{}
	}
	return c
}

func (c *channels) shard(name []byte) *shard {
	s, _ := c.hashed(name)
	return s
}

// hashed is the shard of a name and the rest of its hash.
func (c *channels) hashed(name []byte) (s *shard, rest uint64) {
	hash := maphash.Bytes(c.seed, name)
	return &c.shards[hash%shardCount], hash / shardCount
}

// again tells whether a name was looked up before; it may take another for it.
func (s *shard) again(hash uint64) bool {
	slot, mark := &s.seen[hash%cachedPerShard], uint32(hash/cachedPerShard)|1
	if slot.Load() == mark {
		return true
	}
	slot.Store(mark)
	return false
}

func (c *channels) add(sub *Subscription) {
	s := &c.shards[maphash.String(c.seed, sub.Name)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.mu.channels[sub.Name]
	if ch == nil {
		ch = &channel{roster: roster{filter: sub.Name}}
		s.mu.channels[sub.Name] = ch
		delete(s.mu.results, sub.Name)
	}
	ch.roster.add(sub)
}

func (c *channels) remove(sub *Subscription) bool {
	s := &c.shards[maphash.String(c.seed, sub.Name)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.mu.channels[sub.Name]
	if ch == nil || !ch.roster.remove(sub) {
		return false
	}
	if ch.roster.empty() {
		delete(s.mu.channels, sub.Name)
	}
	return true
}

// route is where a message goes.
type route struct {
	own  part   // the subscriptions of exactly this name
	wild []part // those of filters and patterns, immutable
}

func (r route) count() int {
	n := r.own.count()
	for i := range r.wild {
		n += r.wild[i].count()
	}
	return n
}

func (r route) same(q route) bool {
	if !r.own.same(q.own) || len(r.wild) != len(q.wild) {
		return false
	}
	if sameSlice(r.wild, q.wild) {
		return true
	}
	for i := range r.wild {
		if !r.wild[i].same(q.wild[i]) {
			return false
		}
	}
	return true
}

// route finds the subscriptions of a name; wild is nil in a space without wildcards.
func (c *channels) route(name []byte, wild *wildcards) route {
	var to route
	var known *result
	s, hash := c.hashed(name)
	s.mu.RLock()
	ch := s.mu.channels[string(name)]
	if ch != nil {
		to.own = ch.roster.view()
		known = ch.wild.Load()
	} else {
		known = s.mu.results[string(name)]
	}
	s.mu.RUnlock()
	if wild == nil || wild.empty() {
		return to
	}
	if known == nil || known.generation != wild.generation.Load() {
		known = wild.resolve(name)
		if ch != nil || s.again(hash) {
			s.remember(name, ch, known)
		}
	}
	to.wild = known.parts
	return to
}

func (s *shard) remember(name []byte, ch *channel, found *result) {
	if ch != nil {
		ch.wild.Store(found)
		return
	}
	if len(name) > cachedNameMax {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.results) >= cachedPerShard {
		for victim := range s.mu.results {
			delete(s.mu.results, victim)
			break
		}
	}
	s.mu.results[string(name)] = found
}

// each calls visit with every name that has subscriptions, a shard's read lock at a time.
func (c *channels) each(visit func(*roster)) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		for _, ch := range s.mu.channels {
			visit(&ch.roster)
		}
		s.mu.RUnlock()
	}
}

// size is the number of subscriptions of exactly this name.
func (c *channels) size(name []byte) int {
	s := c.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if ch := s.mu.channels[string(name)]; ch != nil {
		return ch.roster.size()
	}
	return 0
}
