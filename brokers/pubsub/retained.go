package pubsub

import (
	"cmp"
	"math"
	"sync"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/tidwall/btree"
)

const (
	// expireBatch is how many messages one hold of the lock expires or deletes.
	expireBatch = 512
	// datedCheck is how long the expiry timer sleeps at most while a message ends at a date: the wall clock may be set. Who
	// reads looks at the clock anyhow.
	datedCheck = time.Minute
	// longestWait is the longest that it sleeps, so that no time to live is beyond what a timer takes.
	longestWait = 24 * time.Hour
	// messageOverhead is what a retained message is counted for beside its topic and payload.
	messageOverhead = 128
	// compactMin is how much log there is before a compaction is thought of.
	compactMin = 8 << 20
)

// Expiry says when a retained message ends: After, Until, or the zero value for never.
type Expiry int64

// After is a time to live in milliseconds, at least 1. No step of the wall clock makes it longer or shorter.
func After(millis int64) Expiry { return Expiry(millis) }

// Until is a date, in Unix milliseconds, at least 1. It has come when the wall clock shows it.
func Until(unixMillis int64) Expiry { return Expiry(-unixMillis) }

// message is one retained message, immutable.
type message struct {
	key     string
	payload []byte
	end     int64 // steady time, of a dated one wall time; 0 is never
	dated   bool
}

func (m *message) size() int64 { return int64(len(m.key)+len(m.payload)) + messageOverhead }

// left is how much of its time is left, in milliseconds, of a message that ends.
func (m *message) left(now brokers.Instant) int64 {
	if m.dated {
		return m.end - now.Wall
	}
	return m.end - now.Steady
}

func (m *message) expired(now brokers.Instant) bool { return m.end != 0 && m.left(now) <= 0 }

// retained is the retained messages of all topics.
type retained struct {
	clock      *brokers.Timeline
	journal    brokers.Journal
	durability brokers.Durability
	maxBytes   int64
	compaction sync.WaitGroup
	relief     brokers.Relief

	mu struct {
		sync.Mutex
		messages *btree.Map[string, *message]
		// expiring and dated hold the messages that end, after a time to live and at a date, the earliest first.
		expiring, dated *btree.BTreeG[*message]
		bytes           int64
		expired         uint64
		timer           brokers.Timer
		timerAtMillis   int64 // steady time at which timer will fire; 0 is not armed
		closed          bool
		record          []byte // scratch
		compacting      bool
		compactAbove    int64 // bytes of log; raised when a compaction fails
		compactionError string
	}
}

func expiresBefore(a, b *message) bool {
	if order := cmp.Compare(a.end, b.end); order != 0 {
		return order < 0
	}
	return a.key < b.key
}

// open loads the journal. What ran out while the server was down is left out, and deleted from the journal too.
func (r *retained) open(b *Broker, maxBytes int64) error {
	r.clock, r.journal, r.durability, r.maxBytes = b.clock, b.journal, b.durability, maxBytes
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.messages = btree.NewMap[string, *message](0)
	r.mu.expiring = btree.NewBTreeGOptions(expiresBefore, btree.Options{NoLocks: true})
	r.mu.dated = btree.NewBTreeGOptions(expiresBefore, btree.Options{NoLocks: true})
	if r.journal != nil {
		if err := r.journal.Replay(r.applyRecord); err != nil {
			return err
		}
		r.journal.Notify(func(written, synced uint64) { r.relieveIfDue() })
	}
	for r.expireSomeLocked() {
	}
	r.armLocked()
	return nil
}

func (r *retained) close() {
	r.mu.Lock()
	r.mu.closed = true
	if r.mu.timer != nil {
		r.mu.timer.Stop()
	}
	r.mu.Unlock()
	r.compaction.Wait()
}

// byEnd is the order that a message which ends is in.
func (r *retained) byEnd(m *message) *btree.BTreeG[*message] {
	if m.dated {
		return r.mu.dated
	}
	return r.mu.expiring
}

// storeLocked replaces the message of a topic.
func (r *retained) storeLocked(m *message) {
	old, had := r.mu.messages.Set(m.key, m)
	if had {
		r.dropLocked(old)
	}
	r.mu.bytes += m.size()
	if m.end != 0 {
		r.byEnd(m).Set(m)
	}
}

func (r *retained) removeLocked(key string) bool {
	old, had := r.mu.messages.Delete(key)
	if had {
		r.dropLocked(old)
	}
	return had
}

func (r *retained) dropLocked(old *message) {
	r.mu.bytes -= old.size()
	if old.end != 0 {
		r.byEnd(old).Delete(old)
	}
}

// appendLocked writes the record that is in the scratch buffer.
func (r *retained) appendLocked() brokers.Receipt {
	if r.journal == nil {
		return brokers.Receipt{}
	}
	seq := r.journal.Append(r.mu.record, r.durability == brokers.Always)
	if cap(r.mu.record) > 1<<20 {
		r.mu.record = nil
	}
	return brokers.Receipt{Journal: r.journal, Seq: seq, Durability: r.durability}
}

// Retain publishes a message and keeps it as the topic's retained message until its expiry, replacing the one
// before. An empty payload, or a date that has passed, clears the topic. It is delivered at once, in the order of the changes, together with what the batch has gathered before.
func (b *Batch) Retain(topic, payload []byte, expiry Expiry, noEcho bool) (int, brokers.Receipt, error) {
	if err := ValidateTopic(topic); err != nil {
		return 0, brokers.Receipt{}, err
	}
	r := &b.broker.retained
	b.Flush()
	r.mu.Lock()
	receipt, err := r.changeLocked(topic, payload, expiry)
	if err != nil {
		r.mu.Unlock()
		return 0, brokers.Receipt{}, err
	}
	to := b.broker.route(topic, false)
	receivers := b.receivers(to, to.count(), noEcho)
	b.broker.published.Add(1)
	b.broker.show(topic, payload)
	if receivers > 0 {
		b.run.Messages = append(b.run.Messages[:0], Message{Topic: topic, Payload: payload})
		b.deliver(to, noEcho)
		clear(b.run.Messages)
	}
	r.armLocked()
	r.mu.Unlock()
	r.compactIfDue()
	return receivers, receipt, nil
}

func (r *retained) changeLocked(topic, payload []byte, expiry Expiry) (brokers.Receipt, error) {
	key := keyOf(string(topic))
	now := r.clock.Now()
	m := &message{key: key}
	if expiry > 0 {
		m.end = now.Steady + int64(expiry)
	} else if expiry < 0 {
		m.end, m.dated = int64(-expiry), true
	}
	if len(payload) == 0 || m.expired(now) {
		if !r.removeLocked(key) {
			return brokers.Receipt{}, nil
		}
		r.mu.record = appendDelete(r.mu.record[:0], key)
		return r.appendLocked(), nil
	}
	if r.journal != nil {
		if err := r.journal.Ready(); err != nil {
			return brokers.Receipt{}, err
		}
	}
	m.payload = append([]byte(nil), payload...)
	grown := r.mu.bytes + m.size()
	if old, had := r.mu.messages.Get(key); had {
		grown -= old.size()
	}
	if grown > r.maxBytes && grown > r.mu.bytes {
		return brokers.Receipt{}, brokers.Errorf("OOM", "retained messages hold %d of %d bytes", r.mu.bytes, r.maxBytes)
	}
	r.storeLocked(m)
	r.mu.record = appendSet(r.mu.record[:0], key, m, now)
	return r.appendLocked(), nil
}

// DeleteRetained clears the retained messages that a filter matches and returns how many they were. Nothing is delivered.
// It goes in steps, so a message retained meanwhile may be cleared or stay.
func (b *Broker) DeleteRetained(filter string) (int, brokers.Receipt, error) {
	if err := ValidateFilter(filter); err != nil {
		return 0, brokers.Receipt{}, err
	}
	r := &b.retained
	var last brokers.Receipt
	deleted := 0
	cursor := b.snapshotCursor(filter, "")
	for more := true; more; {
		r.mu.Lock()
		for i := 0; i < expireBatch; i++ {
			m := cursor.next()
			if m == nil {
				more = false
				break
			}
			if r.removeLocked(m.key) {
				deleted++
				r.mu.record = appendDelete(r.mu.record[:0], m.key)
				last = r.appendLocked()
			}
		}
		r.mu.Unlock()
	}
	r.compactIfDue()
	return deleted, last, nil
}

// expireSomeLocked clears messages whose time has come and tells whether there may be more.
func (r *retained) expireSomeLocked() bool {
	now := r.clock.Now()
	for i := 0; i < expireBatch; i++ {
		m, ok := r.mu.expiring.Min()
		if !ok || !m.expired(now) {
			m, ok = r.mu.dated.Min()
		}
		if !ok || !m.expired(now) {
			return false
		}
		r.removeLocked(m.key)
		r.mu.expired++
		r.mu.record = appendDelete(r.mu.record[:0], m.key)
		r.appendLocked()
	}
	return true
}

// expire is what the timer calls.
func (r *retained) expire() {
	for more := true; more; {
		r.mu.Lock()
		r.mu.timerAtMillis = 0
		if r.mu.closed {
			r.mu.Unlock()
			return
		}
		if more = r.expireSomeLocked(); !more {
			r.armLocked()
		}
		r.mu.Unlock()
	}
	r.compactIfDue()
}

// armLocked sets the timer for the earliest expiry, unless it will fire by then anyway.
func (r *retained) armLocked() {
	if r.mu.closed || r.mu.expiring.Len() == 0 && r.mu.dated.Len() == 0 {
		return
	}
	instant := r.clock.Now()
	now, at := instant.Steady, int64(math.MaxInt64)
	if first, ok := r.mu.expiring.Min(); ok {
		at = first.end
	}
	if first, ok := r.mu.dated.Min(); ok {
		at = min(at, now+min(first.left(instant), datedCheck.Milliseconds()))
	}
	if r.mu.timerAtMillis != 0 && r.mu.timerAtMillis <= at {
		return
	}
	r.mu.timerAtMillis = at
	at = min(at, now+longestWait.Milliseconds())
	wait := max(time.Duration(at-now)*time.Millisecond, 0)
	if r.mu.timer == nil {
		r.mu.timer = r.clock.AfterFunc(wait, r.expire)
		return
	}
	r.mu.timer.Reset(wait)
}

// compactIfDue starts a compaction once the log has outgrown the live messages. The new snapshot is written in the
// background from a copy-on-write view of the map.
func (r *retained) compactIfDue() {
	if r.journal == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	logBytes := r.journal.LogBytes()
	if logBytes >= max(compactMin+r.mu.bytes, r.mu.compactAbove) {
		r.compactLocked()
	}
}

// relieveIfDue is called by the journal's writer after each batch, and again and again while the disk is full.
func (r *retained) relieveIfDue() {
	if r.relief.Due(r.journal, r.liveBytes) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.compactLocked()
	}
}

func (r *retained) liveBytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.bytes
}

func (r *retained) compactLocked() {
	if r.mu.closed || r.mu.compacting {
		return
	}
	logBytes := r.journal.LogBytes()
	finish, err := r.journal.Cut()
	if err != nil {
		r.compactedLocked(logBytes, err)
		return
	}
	r.mu.compacting = true
	snapshot, live, now := r.mu.messages.Copy(), r.mu.bytes, r.clock.Now()
	r.compaction.Add(1)
	go func() {
		defer r.compaction.Done()
		err := finish(func(emit brokers.Emit) error { return dump(snapshot, now, emit) })
		r.relief.Ended(live, err)
		r.mu.Lock()
		r.mu.compacting = false
		r.compactedLocked(logBytes, err)
		r.mu.Unlock()
	}()
}

// compactedLocked notes how a compaction ended; after a failure the next one waits until the log has doubled.
func (r *retained) compactedLocked(logBytes int64, err error) {
	r.mu.compactAbove, r.mu.compactionError = 0, ""
	if err != nil {
		r.mu.compactAbove, r.mu.compactionError = 2*logBytes, err.Error()
	}
}

func dump(snapshot *btree.Map[string, *message], now brokers.Instant, emit brokers.Emit) error {
	var err error
	var record []byte
	snapshot.Scan(func(key string, m *message) bool {
		record = appendSet(record[:0], key, m, now)
		err = emit(record)
		return err == nil
	})
	return err
}
