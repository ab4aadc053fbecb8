package queue

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// oracleJob is what the model knows of a job.
type oracleJob struct {
	id       uint64
	body     string
	priority uint8
	state    state
	at       int64 // due, lease end
	expires  int64
	attempts int64
	delivery uint64
	reason   string
}

// oracle is the model: a map and plain searches.
type oracle struct {
	jobs  map[uint64]oracleJob
	dedup map[string]dedupEntry
}

func (o *oracle) clone() *oracle { return &oracle{maps.Clone(o.jobs), maps.Clone(o.dedup)} }

func (o *oracle) ids(states ...state) []uint64 {
	var ids []uint64
	for id, j := range o.jobs {
		if slices.Contains(states, j.state) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// order is the ready jobs as they should be delivered.
func (o *oracle) order() []uint64 {
	ids := o.ids(stateReady)
	slices.SortStableFunc(ids, func(a, b uint64) int { return int(o.jobs[b].priority) - int(o.jobs[a].priority) })
	return ids
}

// throwAway takes out a job that was not done, and the key that it has.
func (o *oracle) throwAway(id uint64) {
	delete(o.jobs, id)
	for key, entry := range o.dedup {
		if entry.id == id {
			delete(o.dedup, key)
		}
	}
}

// pass moves the model to a time: TTLs, due times, lease ends.
func (o *oracle) pass(now int64, config Config) {
	for range 2 {
		for id, j := range o.jobs {
			switch {
			case (j.state == stateReady || j.state == stateDelayed) && j.expires != 0 && j.expires <= now:
				o.throwAway(id)
				continue
			case j.state == stateDelayed && j.at <= now:
				j.state = stateReady
			case j.state == stateInflight && j.at <= now:
				j.state, j.reason = stateReady, leaseExpired
				if j.attempts >= config.MaxAttempts {
					j.state = stateDead
				}
			}
			o.jobs[id] = j
		}
	}
}

// handJournal is a journal that becomes durable when told to.
type handJournal struct {
	*brokertest.Journal
	last atomic.Uint64
}

func newHandJournal(j *brokertest.Journal) *handJournal {
	j.Auto = false
	return &handJournal{Journal: j}
}

func (j *handJournal) Append(body []byte, sync bool) uint64 {
	seq := j.Journal.Append(body, sync)
	j.last.Store(seq)
	return seq
}

// syncAll makes everything appended so far durable, and what is appended because of it.
func (j *handJournal) syncAll() {
	for {
		seq := j.last.Load()
		j.Advance(seq, seq)
		if j.last.Load() == seq {
			return
		}
	}
}

// model runs random operations on a broker and an oracle.
type model struct {
	t         *testing.T
	random    *rand.Rand
	journal   *handJournal
	clock     *brokertest.Clock
	broker    *Broker
	config    Config
	now       *oracle
	durable   *oracle // as of the last sync
	lastSeq   uint64
	handles   map[Handle]bool // every handle ever given
	ids       map[uint64]bool // every id ever shown
	recent    []Handle
	trace     []string
	compacts  bool
	spills    bool  // every ready job that can goes to disk
	runLeast  int64 // bytes of the jobs of a run at least
	directory string
	runs      uint64          // the most that one life of the broker cut
	shelved   [stateGone]bool // the states of which jobs were in runs
}

// settleFetches waits until no run is on its way back.
func settleFetches(b *Broker) (any bool) {
	for _, q := range b.queues() {
		for {
			q.mu.Lock()
			var f *fetch
			for _, r := range q.runsLocked() {
				if r.fetch != nil {
					f = r.fetch
				}
			}
			q.mu.Unlock()
			if f == nil {
				break
			}
			<-f.done
			any = true
		}
	}
	return any
}

// settled lets what is due and on disk come back and expire.
func (m *model) settled() {
	for settleFetches(m.broker) || m.overdue() {
		m.clock.Advance(0)
	}
}

// overdue tells that a run of a shelf, or what has come back from one, waits for the timer.
func (m *model) overdue() (any bool) {
	for _, q := range m.broker.queues() {
		q.mu.Lock()
		now := m.broker.steady()
		for _, s := range []state{stateDelayed, stateInflight} {
			t, ok := q.shelf(s).hot.min()
			r := q.shelf(s).firstRun()
			// A run may be fetched before its time, but one that was cut or left when there was no room for that waits until then.
			any = any || ok && t.at <= now || r != nil && r.from().at <= now
		}
		q.mu.Unlock()
	}
	return any
}

func (m *model) logf(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	from := max(0, len(m.trace)-60)
	for _, line := range m.trace[from:] {
		m.t.Log(line)
	}
	m.t.Fatalf(format, args...)
}

func (m *model) wall() int64 { return m.clock.Now().UnixMilli() }

func (m *model) sync() {
	m.journal.syncAll()
	// What became visible past its TTL goes with the next timer.
	m.clock.Advance(0)
	m.settled()
	m.journal.syncAll()
	for id, j := range m.now.jobs {
		if j.state == statePending {
			j.state = stateReady
			if j.at > m.wall() {
				j.state = stateDelayed
			}
			m.now.jobs[id] = j
		}
	}
	m.now.pass(m.wall(), m.config)
	m.durable = m.now.clone()
}

func (m *model) push() {
	n := 1 + m.random.IntN(3)
	o := PushOptions{Priority: uint8(m.random.IntN(4) * 60)}
	if m.random.IntN(3) == 0 {
		o.Delay, o.HasDelay = int64(m.random.IntN(3000)), true
	}
	// On disk a job may be counted past its TTL, so here those have none.
	if m.random.IntN(4) == 0 && !m.spills {
		o.TTL, o.HasTTL = int64(1+m.random.IntN(8000)), true
	}
	var payloads [][]byte
	for range n {
		payloads = append(payloads, fmt.Appendf(nil, "body %d", m.random.Uint32()))
		if m.random.IntN(3) == 0 || o.Dedup != nil {
			for len(o.Dedup) < len(payloads) {
				o.Dedup = append(o.Dedup, fmt.Appendf(nil, "key %d", m.random.IntN(40)))
			}
		}
	}
	got, receipt, err := m.broker.Push([]byte("q"), payloads, &o, nil)
	if err != nil {
		m.fatalf("push: %v", err)
	}
	m.lastSeq = receipt.Seq
	now := m.wall()
	m.logf("push %d %+v -> %v", n, o, got)
	for i, p := range got {
		if o.Dedup != nil {
			entry, held := m.now.dedup[string(o.Dedup[i])]
			if held = held && entry.until > now; held == p.New || held && entry.id != p.ID {
				m.fatalf("dedup of %s: %+v, model %+v", o.Dedup[i], p, entry)
			}
			if !p.New {
				continue
			}
			m.now.dedup[string(o.Dedup[i])] = dedupEntry{p.ID, now + m.config.DedupWindow}
		}
		if m.ids[p.ID] {
			m.fatalf("id %d was given twice", p.ID)
		}
		m.ids[p.ID] = true
		j := oracleJob{id: p.ID, body: string(payloads[i]), priority: o.Priority, state: statePending}
		if o.HasDelay && o.Delay > 0 {
			j.at = now + o.Delay
		}
		if o.HasTTL {
			j.expires = now + o.TTL
		}
		m.now.jobs[p.ID] = j
	}
}

func (m *model) pop() {
	o := PopOptions{Count: 1 + m.random.IntN(4)}
	if m.random.IntN(3) == 0 {
		o.Lease = int64(1 + m.random.IntN(4000))
	}
	got, receipt, err := m.broker.Pop([]byte("q"), &o, nil)
	if err != nil {
		if m.broker.directory.byName["q"] == nil {
			return
		}
		m.fatalf("pop: %v", err)
	}
	if receipt.Seq != 0 {
		// The numbers are not reserved on disk yet: nothing may be shown before the sync.
		m.sync()
	}
	want := m.now.order()
	want = want[:min(len(want), o.Count)]
	m.logf("pop %+v -> %d jobs", o, len(got))
	if len(got) != len(want) {
		m.fatalf("popped %d jobs, model %v", len(got), want)
	}
	lease := o.Lease
	if lease == 0 {
		lease = m.config.Lease
	}
	for i, d := range got {
		j := m.now.jobs[want[i]]
		h := Handle{d.ID, d.Number}
		if d.ID != want[i] || d.Body != j.body || d.Attempt != j.attempts+1 || d.Priority != j.priority || d.Reason != j.reason {
			m.fatalf("popped %+v, model %+v", d, j)
		}
		if m.handles[h] {
			m.fatalf("handle %v was given twice", h)
		}
		m.handles[h] = true
		m.recent = append(m.recent, h)
		j.state, j.at, j.attempts, j.delivery = stateInflight, m.wall()+lease, j.attempts+1, d.Number
		m.now.jobs[d.ID] = j
	}
}

func (m *model) settle() {
	if len(m.recent) == 0 {
		return
	}
	h := m.recent[m.random.IntN(len(m.recent))]
	if m.random.IntN(2) == 0 {
		h = m.recent[len(m.recent)-1]
	}
	j, ok := m.now.jobs[h.ID]
	current := ok && j.state == stateInflight && j.delivery == h.Delivery
	want := 0
	if current {
		want = 1
	}
	var n int
	var err error
	switch what := m.random.IntN(6); what {
	case 0, 1:
		n, _, err = m.broker.Ack([]byte("q"), []Handle{h}, nil)
		m.logf("ack %v -> %d", h, n)
		if current {
			delete(m.now.jobs, h.ID)
		}
	case 2:
		n, _, err = m.broker.Extend([]byte("q"), 2500, []Handle{h}, nil)
		m.logf("extend %v -> %d", h, n)
		if current {
			j.at = m.wall() + 2500
			m.now.jobs[h.ID] = j
		}
	default:
		o := NackOptions{Reason: "because", Release: what == 3, Dead: what == 4}
		n, _, err = m.broker.Nack([]byte("q"), &o, []Handle{h}, nil)
		m.logf("nack %+v %v -> %d", o, h, n)
		if current {
			m.now.jobs[h.ID] = m.nacked(j, o)
			// A TTL that ran out in flight takes effect now that the job waits again.
			m.clock.Advance(0)
			m.now.pass(m.wall(), m.config)
		}
	}
	if err != nil && len(m.now.jobs) > 0 || err == nil && n != want {
		m.fatalf("settling %v: %d (%v), model %d", h, n, err, want)
	}
}

func (m *model) nacked(j oracleJob, o NackOptions) oracleJob {
	if o.Release {
		j.state, j.attempts = stateReady, j.attempts-1
		return j
	}
	j.reason = o.Reason
	if o.Dead || j.attempts >= m.config.MaxAttempts {
		j.state = stateDead
		return j
	}
	j.state, j.at = stateDelayed, m.wall()+min(m.config.BackoffBase<<(j.attempts-1), m.config.BackoffMax)
	return j
}

func (m *model) admin() {
	switch m.random.IntN(5) {
	case 0:
		if ids := m.now.ids(stateReady, stateDelayed, stateInflight, stateDead); len(ids) > 0 {
			id := ids[m.random.IntN(len(ids))]
			n, _, err := m.broker.Delete([]byte("q"), []uint64{id, 1 << 60})
			m.logf("delete %d", id)
			if err != nil || n != 1 {
				m.fatalf("delete %d: %d %v", id, n, err)
			}
			m.now.throwAway(id)
		}
	case 1:
		ids := m.now.ids(stateDead)
		n, _, err := m.broker.ReplayAllDead([]byte("q"), nil)
		m.logf("replay all -> %d %v", n, err)
		if err == nil && n != len(ids) {
			m.fatalf("replayed %d dead letters of %d", n, len(ids))
		}
		for _, id := range ids {
			j := m.now.jobs[id]
			j.state, j.attempts, j.expires = stateReady, 0, 0
			m.now.jobs[id] = j
		}
		m.now.pass(m.wall(), m.config)
		m.clock.Advance(0)
	case 2:
		if m.compacts {
			m.logf("compact")
			m.sync()
			if err := m.broker.Compact(); err != nil {
				m.fatalf("compact: %v", err)
			}
		}
	case 3:
		if ids := m.now.ids(stateDead); len(ids) > 2 {
			n, _, err := m.broker.PurgeDead([]byte("q"))
			m.logf("purge dead")
			if err != nil || n != len(ids) {
				m.fatalf("purged %d of %d: %v", n, len(ids), err)
			}
			for _, id := range ids {
				m.now.throwAway(id)
			}
		}
	case 4:
		for id, j := range m.now.jobs {
			view, found, err := m.broker.Get([]byte("q"), id)
			if err != nil || found == (j.state == statePending) || found && (view.Body != j.body || view.State != j.state.String()) {
				m.fatalf("get %d: %+v %v %v, model %+v", id, view, found, err, j)
			}
			break
		}
	}
}

// restart ends the process: cleanly, killed (the kernel has everything), or with the power (only what was synced stays).
func (m *model) restart() {
	keep := true
	switch m.random.IntN(3) {
	case 0:
		m.logf("clean restart")
		if err := closeAdvancing(m.broker, m.journal); err != nil {
			m.fatalf("close: %v", err)
		}
	case 1:
		m.logf("killed")
	case 2:
		m.logf("power lost")
		keep = false
		m.now = m.durable.clone()
	}
	if m.spills && !m.broker.closed.Load() {
		m.settled()
		m.broker.spill.close() // the goroutine would die with the process
	}
	m.journal = newHandJournal(m.journal.Reopen(keep))
	m.clock = brokertest.NewClock(m.clock.Now().Add(time.Duration(m.random.IntN(1500)) * time.Millisecond))
	m.open()
	m.sync()
	m.clock.Advance(0)
}

// closeAdvancing closes a broker whose journal only advances by hand.
func closeAdvancing(b *Broker, j *handJournal) error {
	done := make(chan error)
	go func() { done <- b.Close() }()
	for {
		select {
		case err := <-done:
			return err
		default:
			j.syncAll()
		}
	}
}

func (m *model) open() {
	options := Options{Journal: m.journal, Clock: m.clock, Durability: brokers.Always}
	if m.spills {
		if m.directory == "" {
			m.directory = m.t.TempDir()
		}
		options.SpillDirectory, options.JobMemory, options.runBytes, options.runLeast = m.directory, 1, 1000, m.runLeast
		options.fetchAhead = 1
	}
	b, err := Open(options)
	if err != nil {
		m.fatalf("open: %v", err)
	}
	m.broker = b
	m.t.Cleanup(b.spill.close)
}

func TestModel(t *testing.T) {
	runs, steps := 60, 400
	if testing.Short() {
		runs = 5
	}
	base := rand.Uint64() &^ 1
	var shelved [stateGone]int
	for run := range runs {
		seed := base + uint64(run)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			for s, any := range runModel(t, seed, steps) {
				if any {
					shelved[s]++
				}
			}
		})
	}
	if shelved[stateDelayed] == 0 || shelved[stateInflight] == 0 || shelved[stateDead] == 0 {
		t.Fatalf("runs with jobs on disk, by state: %v", shelved)
	}
	t.Logf("runs with jobs on disk, by state: %v", shelved)
}

func runModel(t *testing.T, seed uint64, steps int) (shelved [stateGone]bool) {
	m := &model{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), journal: newHandJournal(brokertest.NewJournal()), clock: brokertest.NewClock(testStart),
		now: &oracle{map[uint64]oracleJob{}, map[string]dedupEntry{}}, handles: map[Handle]bool{}, ids: map[uint64]bool{},
		compacts: true, spills: seed%2 == 0, runLeast: 1 + int64(seed/2%3)*200,
	}
	m.config = DefaultConfig(brokers.Always)
	m.config.Jitter, m.config.MaxAttempts, m.config.Lease, m.config.DedupWindow = 0, 3, 1500, 4000
	m.open()
	if _, err := m.broker.Create([]byte("q"), m.config, false); err != nil {
		t.Fatal(err)
	}
	m.sync()
	for range steps {
		switch n := m.random.IntN(100); {
		case n < 30:
			m.push()
		case n < 55:
			m.pop()
		case n < 75:
			m.settle()
		case n < 85:
			d := m.random.IntN(1200)
			m.logf("pass %d ms", d)
			m.clock.Advance(time.Duration(d) * time.Millisecond)
			m.now.pass(m.wall(), m.config)
		case n < 96:
			m.admin()
		default:
			m.restart()
		}
		if m.random.IntN(4) > 0 {
			m.logf("sync")
			m.sync()
		}
		m.settled()
		checkInvariants(t, m.broker, "q")
		m.compare()
		m.runs = max(m.runs, m.broker.spill.last.Load())
		m.lookAtShelves()
	}
	if m.spills && m.runs == 0 {
		t.Fatal("no job went to disk")
	}
	return m.shelved
}

func (m *model) lookAtShelves() {
	for _, q := range m.broker.queues() {
		q.mu.Lock()
		for _, s := range []state{stateDelayed, stateInflight, stateDead} {
			m.shelved[s] = m.shelved[s] || q.shelf(s).cold() > 0
		}
		q.mu.Unlock()
	}
}

// compare looks at the counts of every state.
func (m *model) compare() {
	info, err := m.broker.Info([]byte("q"))
	if err != nil {
		m.fatalf("info: %v", err)
	}
	want := [...]int{
		len(m.now.ids(statePending)), len(m.now.ids(stateReady)), len(m.now.ids(stateDelayed)), len(m.now.ids(stateInflight)),
		len(m.now.ids(stateDead)),
	}
	if got := [...]int{info.Pending, info.Ready, info.Delayed, info.Inflight, info.Dead}; got != want {
		m.fatalf("pending, ready, delayed, inflight, dead are %v, model %v", got, want)
	}
}
