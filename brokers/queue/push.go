package queue

import (
	"encoding/binary"
	"strings"

	"github.com/nexobroker/nexo/brokers"
)

func appendUint(buf []byte, n uint64) []byte { return binary.AppendUvarint(buf, n) }

func upper(text string) string { return strings.ToUpper(text) }

// PushOptions say how jobs are pushed. The zero value is a push with the queue's own settings.
type PushOptions struct {
	Priority    uint8
	Delay       int64 // ms; counts when HasDelay
	HasDelay    bool
	At          int64 // a date, Unix ms; counts when HasAt
	HasAt       bool
	TTL         int64 // ms; counts when HasTTL; 0 is no TTL
	HasTTL      bool
	MaxAttempts int64    // 0: the queue's
	Lease       int64    // ms; 0: the queue's
	Dedup       [][]byte // nil, or one key per payload
	NoCreate    bool
}

// Pushed is what became of one payload: its id, or with New false the id of the job it repeats.
type Pushed struct {
	ID  uint64
	New bool
}

// Push adds jobs, all or none, in one record, and appends what became of them to out. The payloads are copied.
func (b *Broker) Push(name []byte, payloads [][]byte, o *PushOptions, out []Pushed) ([]Pushed, brokers.Receipt, error) {
	if err := b.checkPush(payloads, o); err != nil {
		return out, brokers.Receipt{}, err
	}
	if err := b.enter(); err != nil {
		return out, brokers.Receipt{}, err
	}
	for fetched := 0; ; fetched++ {
		q, err := b.target(name, o.NoCreate)
		if err != nil {
			b.leave()
			return out, brokers.Receipt{}, err
		}
		q.mu.Lock()
		if q.dropped {
			q.mu.Unlock()
			continue
		}
		// When what was fetched goes back to disk at once, the oldest jobs in RAM are dropped instead.
		r := q.coldToDropLocked(len(payloads))
		if r == nil {
			r = q.coldDuplicateLocked(o.Dedup)
		}
		if r != nil && fetched < dropFetches {
			f := q.fetchLocked(r)
			q.mu.Unlock()
			b.leave()
			if <-f.done; f.err != nil {
				return out, brokers.Receipt{}, f.err
			}
			if err := b.enter(); err != nil {
				return out, brokers.Receipt{}, err
			}
			continue
		}
		out, receipt, err := q.pushLocked(payloads, o, out)
		q.mu.Unlock()
		b.leave()
		return out, receipt, err
	}
}

func (b *Broker) checkPush(payloads [][]byte, o *PushOptions) error {
	for _, payload := range payloads {
		if len(payload) > b.options.MaxPayload {
			return brokers.Errorf("TOOBIG", "payload %d > %d", len(payload), b.options.MaxPayload)
		}
	}
	for _, key := range o.Dedup {
		if len(key) == 0 || len(key) > MaxDedupBytes {
			return brokers.Errorf("ERR", "a DEDUP key has 1 to %d bytes", MaxDedupBytes)
		}
	}
	if ram := b.ram(); b.options.MaxMemory > 0 && ram > b.options.MaxMemory {
		return brokers.Errorf("OOM", "jobs take %d bytes of memory, the limit is %d", ram, b.options.MaxMemory)
	}
	return b.journal.Ready()
}

func (b *Broker) target(name []byte, existing bool) (*queue, error) {
	if existing {
		b.directory.mu.RLock()
		q := b.directory.byName[string(name)]
		b.directory.mu.RUnlock()
		if q == nil {
			if err := CheckName(name); err != nil {
				return nil, err
			}
			return nil, errNoQueue(name)
		}
		return q, nil
	}
	q, _, err := b.findOrCreate(name, b.Defaults())
	return q, err
}

func (q *queue) pushLocked(payloads [][]byte, o *PushOptions, out []Pushed) ([]Pushed, brokers.Receipt, error) {
	now := q.broker.steady()
	if q.pausedIn > now {
		return out, brokers.Receipt{}, brokers.Errorf("QPAUSED", "'%s' input paused", q.name)
	}
	fresh := len(payloads)
	start := len(out)
	if o.Dedup != nil && q.config.DedupWindow > 0 {
		out, fresh = q.duplicatesLocked(o.Dedup, now, out)
		if fresh > 0 && q.dedup.count()+fresh > q.broker.options.DedupKeys {
			return out[:start], brokers.Receipt{}, brokers.Errorf("QFULL", "'%s' holds %d DEDUP keys in its window", q.name, q.dedup.count())
		}
	} else {
		for range payloads {
			out = append(out, Pushed{New: true})
		}
	}
	excess := q.lenLocked() + int64(fresh) - q.config.MaxLen
	if q.config.MaxLen > 0 && excess > 0 && fresh > 0 {
		if !q.config.DropOldest || excess > int64(q.ready.count+q.delayed.count()) {
			q.counters.more().Blocked++
			return out[:start], brokers.Receipt{}, brokers.Errorf("QFULL", "'%s' has %d of MAXLEN %d", q.name, q.lenLocked(), q.config.MaxLen)
		}
	} else {
		excess = 0
	}
	if fresh < len(payloads) {
		q.counters.more().Deduped += uint64(len(payloads) - fresh)
	}
	if fresh == 0 {
		// The first push may not be durable yet, and this answer promises its job.
		return out, q.receiptLocked(q.lastSeq), nil
	}
	receipt := q.storeLocked(payloads, o, now, out[start:], fresh)
	if excess > 0 {
		q.dropOldestLocked(dropsOf(excess, fresh), now)
	}
	q.serveLocked()
	q.relieveLocked()
	return out, receipt, nil
}

// dropsOf is how many of the excess a push of n jobs drops: those it replaces and a slice. So a MAXLEN that was set far below
// the length takes hold over some pushes, and not in one hold of the lock.
func dropsOf(excess int64, n int) int64 { return min(excess, int64(n)+sliceJobs) }

// dropFetches is how many runs a push waits for: to drop the oldest jobs, and to see whether those of its keys have expired.
const dropFetches = 256

// coldToDropLocked is the run to fetch before a push of n jobs can drop the oldest ones.
func (q *queue) coldToDropLocked(n int) (cold *run) {
	excess := q.lenLocked() + int64(n) - q.config.MaxLen
	if q.config.MaxLen == 0 || !q.config.DropOldest || excess <= 0 || q.ready.cold == 0 && q.delayed.cold() == 0 {
		return nil
	}
	excess = dropsOf(excess, n)
	if delayed := excess - int64(q.ready.count); delayed > 0 && q.delayed.cold() > 0 {
		hot := q.delayed.hot.count()
		if r := q.delayed.firstRun(); hot == 0 || r.from().before(q.delayed.hot.at(min(hot, int(delayed))-1)) {
			return r
		}
	}
	q.ready.all(func(b *bucket) bool {
		if len(b.runs()) > 0 && int64(b.front.count) < excess {
			cold = b.runs()[0]
		}
		return cold == nil
	})
	return cold
}

// coldDuplicateLocked is a run to fetch before a push can tell whether the jobs that have its keys still wait: it holds one of
// them, and one whose TTL has run out, which may be the same.
func (q *queue) coldDuplicateLocked(keys [][]byte) *run {
	if q.coldJobsLocked() == 0 || q.dedup.count() == 0 {
		return nil
	}
	now := q.broker.steady()
	for _, key := range keys {
		entry, ok := q.dedup.get(string(key))
		if !ok || entry.until <= now {
			continue
		}
		if _, hot := q.index.get(entry.id); hot {
			continue
		}
		if r := q.coldWithLocked(entry.id); r != nil && q.endsLocked(r) <= now {
			return r
		}
	}
	return nil
}

// endsLocked is when the time of a job of a run may be over.
func (q *queue) endsLocked(r *run) int64 {
	if r.state() == stateDead && q.config.DeadTTL > 0 {
		return r.from().at + q.config.DeadTTL
	}
	return r.soonest
}

// protectsLocked tells whether a key keeps its work from being pushed again: inside its window, unless the time of its job
// is over and only the timer has not come yet to take it away.
func (q *queue) protectsLocked(entry dedupEntry, now int64) bool {
	if entry.until <= now {
		return false
	}
	j, ok := q.index.get(entry.id)
	if !ok {
		return true
	}
	switch j.state {
	case statePending, stateReady, stateDelayed:
		return j.expiresAt == 0 || j.expiresAt > now
	case stateDead:
		return q.config.DeadTTL == 0 || j.at+q.config.DeadTTL > now
	}
	return true
}

// storeLocked journals the new jobs of a push and puts them into the queue.
func (q *queue) storeLocked(payloads [][]byte, o *PushOptions, now int64, pushed []Pushed, fresh int) brokers.Receipt {
	b := q.broker
	first, safe := b.allocateIDs(fresh)
	p := q.resolve(o, now)
	p.firstID = first
	record := p.shifted(b.time.Now().Drift()).encode(q.recordLocked()[:0], q.number, fresh)
	id := first
	for i := range pushed {
		if !pushed[i].New {
			continue
		}
		pushed[i].ID = id
		id++
		if p.dedupUntil != 0 {
			record = appendText(record, o.Dedup[i])
		}
		record = appendText(record, payloads[i])
	}
	q.record.bytes = record
	if o.Dedup != nil {
		q.resolveRepeats(o.Dedup, pushed)
	}
	level := q.config.Sync
	if !safe {
		level = brokers.Always
	}
	seq := q.appendLocked(record, level == brokers.Always)
	for i := range pushed {
		if !pushed[i].New {
			continue
		}
		var key string
		if p.dedupUntil != 0 {
			key = string(o.Dedup[i])
		}
		j := q.newJobLocked(&p, pushed[i].ID, string(payloads[i]), key)
		if level == brokers.Never {
			q.visibleLocked(j)
		} else {
			q.pendLocked(j, seq, !safe)
		}
	}
	if level != brokers.Never {
		q.pendedLocked()
	}
	return brokers.Receipt{Journal: b.journal, Seq: seq, Durability: level}
}

// resolve turns options into times.
func (q *queue) resolve(o *PushOptions, now int64) push {
	p := push{now: now, priority: o.Priority, lease: o.Lease, maxAttempts: o.MaxAttempts}
	delay := q.config.Delay
	if o.HasDelay {
		delay = o.Delay
	}
	switch {
	case o.HasAt:
		q.followLocked()
		if due := o.At - q.drift; due > now {
			p.due, p.dated = due, true
		}
	case delay > 0:
		p.due = now + delay
	}
	ttl := q.config.TTL
	if o.HasTTL {
		ttl = o.TTL
	}
	if ttl > 0 {
		p.expires = now + ttl
	}
	if o.Dedup != nil && q.config.DedupWindow > 0 {
		p.dedupUntil = now + q.config.DedupWindow
	}
	return p
}

// newJobLocked makes a job of a push, live and in replay. It is not attached yet.
func (q *queue) newJobLocked(p *push, id uint64, body, key string) *job {
	j := &job{id: id, body: body, at: p.due, pushedAt: p.now, expiresAt: p.expires, priority: p.priority}
	if p.lease != 0 || p.maxAttempts != 0 || key != "" {
		j.extra = &extra{lease: p.lease, maxAttempts: p.maxAttempts, dedup: key}
	}
	q.addLocked(j)
	if p.dated {
		q.dateLocked(j)
	}
	q.counters.pushed++
	if key != "" {
		q.rememberLocked(key, dedupEntry{id: id, until: p.dedupUntil})
	}
	return j
}

// duplicatesLocked marks the payloads whose key is in the window, or came earlier in the batch (id 0 for now).
func (q *queue) duplicatesLocked(keys [][]byte, now int64, out []Pushed) (_ []Pushed, fresh int) {
	var inBatch map[string]struct{}
	if len(keys) > 1 {
		inBatch = make(map[string]struct{}, len(keys))
	}
	for _, key := range keys {
		if entry, ok := q.dedup.get(string(key)); ok && q.protectsLocked(entry, now) {
			out = append(out, Pushed{ID: entry.id})
			continue
		}
		if inBatch != nil {
			if _, ok := inBatch[string(key)]; ok {
				out = append(out, Pushed{})
				continue
			}
			inBatch[string(key)] = struct{}{}
		}
		out = append(out, Pushed{New: true})
		fresh++
	}
	return out, fresh
}

// resolveRepeats gives a payload that repeats an earlier one of the same batch the id of that one.
func (q *queue) resolveRepeats(keys [][]byte, pushed []Pushed) {
	var ids map[string]uint64
	for i := range pushed {
		if pushed[i].New || pushed[i].ID != 0 {
			continue
		}
		if ids == nil {
			ids = make(map[string]uint64, len(pushed))
			for k := range pushed {
				if pushed[k].New {
					ids[string(keys[k])] = pushed[k].ID
				}
			}
		}
		pushed[i].ID = ids[string(keys[i])]
	}
}

func (q *queue) rememberLocked(key string, entry dedupEntry) {
	if q.dedup == nil {
		q.dedup = &window{}
	}
	q.dedup.set(key, entry)
	q.armLocked(entry.until + dedupSlack)
}

// dedupSlack is how long a key may stay in memory past its window, so that sweeping comes in batches.
const dedupSlack = 1000

// dropOldestLocked drops waiting jobs: ready ones by age, then delayed ones by due time.
func (q *queue) dropOldestLocked(n, now int64) {
	for ; n > 0; n-- {
		j := q.ready.oldest()
		if j == nil {
			t, ok := q.delayed.hot.min()
			if !ok {
				break
			}
			j = t.job
		}
		q.changeLocked(j, change{verb: verbDrop}, now, "")
	}
	q.commitLocked(false)
}
