package stream

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// model is the oracle: the same rules, told with maps and whole scans. One stream, one group.
type model struct {
	exists            bool
	config            Config
	first, next, high uint64
	lastMs            int64
	entries           map[uint64]Entry
	hashes            map[uint64][sha256.Size]byte
	dedup             map[string]modelKey
	group             *modelGroup
}

// modelWait is a wait for a steady time, and what the last record of it says: the end as a time of the wall, and how long
// it was then.
type modelWait struct{ end, wallEnd, wait int64 }

func waitUntil(end int64, now brokers.Instant) modelWait {
	return modelWait{end: end, wallEnd: now.WallOf(end), wait: end - now.Steady}
}

// resumed is the wait in a life that begins at a time of the wall.
func (w modelWait) resumed(start int64) modelWait {
	w.end = min(w.wallEnd, start+w.wait)
	return w
}

type modelKey struct {
	modelWait
	offset uint64
	maybe  bool // its window had ended, and then the wall was set back into it: it may be remembered or not
}

type modelPending struct {
	offset     uint64
	consumer   string
	deliveries int
	due        modelWait
	never      bool
}

type modelGroup struct {
	config      GroupConfig
	epoch, next uint64
	pending     map[uint64]*modelPending
	parked      map[uint64]int
}

func (m *model) create(c Config) {
	*m = model{exists: true, config: c, first: 1, next: 1, entries: map[uint64]Entry{}, hashes: map[uint64][sha256.Size]byte{},
		dedup: map[string]modelKey{}}
}

func (m *model) createGroup(c GroupConfig, epoch, next uint64) {
	m.group = &modelGroup{config: c, epoch: epoch, next: min(max(next, m.first), m.high+1), pending: map[uint64]*modelPending{},
		parked: map[uint64]int{}}
}

func (m *model) append(now int64, payload []byte) {
	e := Entry{Offset: m.next, Ms: max(now, m.lastMs), Payload: payload}
	m.lastMs = e.Ms
	m.entries[m.next] = e
	m.hashes[m.next] = chainHash(m.hashes[m.next-1], &e)
	m.next++
}

func (m *model) bytes() (n int64) {
	for offset := m.first; offset < m.next; offset++ {
		n += int64(len(m.entries[offset].Payload)) + entryOverhead
	}
	return n
}

func (m *model) retain(now int64) {
	for m.exists && m.first <= m.high {
		tooMany := m.config.MaxLen > 0 && int64(m.next-m.first) > m.config.MaxLen
		tooBig := m.config.MaxBytes > 0 && m.bytes() > m.config.MaxBytes
		tooOld := m.config.MaxAge > 0 && m.entries[m.first].Ms+m.config.MaxAge.Milliseconds() <= now
		if !tooMany && !tooBig && !tooOld {
			return
		}
		m.cut(m.first + 1)
	}
}

func (m *model) cut(first uint64) {
	for ; m.first < first; m.first++ {
		delete(m.entries, m.first)
		if m.group != nil {
			delete(m.group.pending, m.first)
			delete(m.group.parked, m.first)
			m.group.next = max(m.group.next, m.first+1)
		}
	}
}

func (g *modelGroup) offsets(from, to uint64) (list []uint64) {
	for offset := range g.pending {
		if offset >= from && offset <= to {
			list = append(list, offset)
		}
	}
	sort.Slice(list, func(i, k int) bool { return list[i] < list[k] })
	return list
}

// held is how many entries consumers hold.
func (g *modelGroup) held() (n int) {
	for _, p := range g.pending {
		if p.consumer != nobody {
			n++
		}
	}
	return n
}

func (m *model) consume(now brokers.Instant, consumer string, count int, noAck bool) (got []string) {
	g := m.group
	give := func(offset uint64, deliveries int) {
		got = append(got, fmt.Sprintf("%d x%d %s", offset, deliveries, m.entries[offset].Payload))
	}
	deliver := func(offset uint64, deliveries int) {
		due := waitUntil(now.Steady+g.config.AckWait.Milliseconds(), now)
		g.pending[offset] = &modelPending{offset: offset, consumer: consumer, deliveries: deliveries, due: due, never: g.config.AckWait == 0}
		delete(g.parked, offset)
		give(offset, deliveries)
	}
	for {
		offset := uint64(0)
		for _, o := range g.offsets(0, m.next) {
			p := g.pending[o]
			if p.never || p.due.end > now.Steady || p.consumer == nobody && g.held() >= g.config.MaxPending {
				continue
			}
			if offset == 0 || p.due.end < g.pending[offset].due.end {
				offset = o
			}
		}
		p := g.pending[offset]
		if p == nil {
			break
		}
		if g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
			delete(g.pending, offset)
			g.parked[offset] = p.deliveries
			continue
		}
		if len(got) >= count {
			break
		}
		deliver(offset, p.deliveries+1)
	}
	for ; g.next <= m.high && len(got) < count && (noAck || g.held() < g.config.MaxPending); g.next++ {
		if noAck {
			delete(g.parked, g.next)
			give(g.next, 1)
		} else {
			deliver(g.next, 1)
		}
	}
	return got
}

func (g *modelGroup) giveBack(offset uint64, deliveries int, due modelWait) {
	g.pending[offset] = &modelPending{offset: offset, consumer: nobody, deliveries: deliveries, due: due}
}

// recorded is what a snapshot does to the waits.
func (m *model) recorded(now brokers.Instant) {
	for key, d := range m.dedup {
		d.modelWait = waitUntil(d.end, now)
		m.dedup[key] = d
	}
	if m.group != nil {
		for _, p := range m.group.pending {
			p.due = waitUntil(p.due.end, now)
		}
	}
}

// restarted is what a new life does to them.
func (m *model) restarted(before brokers.Instant, start int64) {
	for key, d := range m.dedup {
		over := d.end <= before.Steady
		d.modelWait = d.resumed(start)
		d.maybe = d.maybe || over && d.end > start
		m.dedup[key] = d
	}
	if m.group != nil {
		for _, p := range m.group.pending {
			p.due = p.due.resumed(start)
		}
	}
}

type modelRun struct {
	t       *testing.T
	random  *rand.Rand
	clock   *brokertest.Clock
	journal *brokertest.Journal
	broker  *Broker
	model   model
	epochs  uint64 // of dropped groups
	step    string
	serial  int

	directory  string
	blockBytes int
}

var (
	streamName = []byte("s")
	groupName  = []byte("g")
)

func (r *modelRun) open() {
	b, err := Open(Options{Journal: r.journal, Directory: r.directory, Clock: r.clock, Durability: brokers.Always, BlockBytes: r.blockBytes,
		Failed: func(err error) { r.t.Error(err) }})
	if err != nil {
		r.t.Fatal(r.step, err)
	}
	r.broker = b
}

func (r *modelRun) now() brokers.Instant { return r.broker.time.Now() }

func (r *modelRun) flush() {
	r.journal.AdvanceAll()
	if r.model.exists {
		r.model.high = r.model.next - 1
	}
}

func (r *modelRun) equal(what string, got, want any) {
	r.t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		r.t.Fatalf("%s: %s\n got %s\nwant %s", r.step, what, g, w)
	}
}

// span is a range of offsets that reaches over both ends now and then.
func (r *modelRun) span() Range {
	m := &r.model
	from := m.first + r.random.Uint64N(m.next-m.first+2)
	return Range{From: from - min(from, r.random.Uint64N(2)), To: from + r.random.Uint64N(4)}
}

func exactly(ranges ...Range) Resolver {
	return func(func(Position) (uint64, bool)) []Range { return ranges }
}

func TestModel(t *testing.T) {
	for range 60 {
		seed := rand.Uint64() // its name repeats a failure
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runModel(t, seed, 300) })
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	journal := brokertest.NewJournal()
	journal.Auto = false
	r := &modelRun{t: t, random: rand.New(rand.NewPCG(seed, 1)), clock: brokertest.NewClock(time.UnixMilli(1_700_000_000_000)), journal: journal,
		directory: t.TempDir()}
	r.blockBytes = 1 << r.random.IntN(10)
	r.open()
	defer func() { // a failure ends here as well
		r.journal.SetAuto(true)
		r.broker.Close()
	}()
	for i := range steps {
		r.step = fmt.Sprint("step ", i)
		r.one()
		r.compare()
	}
}

func (r *modelRun) one() {
	m := &r.model
	if !m.exists {
		c := DefaultConfig(brokers.Always)
		c.Chain = r.random.IntN(2) == 0
		c.MaxAge = time.Duration(r.random.IntN(3)) * 10 * time.Second
		if _, err := r.broker.Create(streamName, c, false); err != nil {
			r.t.Fatal(err)
		}
		m.create(c)
		return
	}
	if m.group == nil && r.random.IntN(3) > 0 {
		c := GroupConfig{AckWait: time.Duration(r.random.IntN(3)) * time.Second, MaxDeliver: r.random.IntN(4), MaxPending: 1 + r.random.IntN(8)}
		start := r.random.Uint64N(m.next + 2)
		if _, err := r.broker.CreateGroup(streamName, groupName, c, Position{Offset: start}, false); err != nil {
			r.t.Fatal(err)
		}
		m.createGroup(c, r.epochs+1, start)
		return
	}
	switch n := r.random.IntN(100); {
	case n < 25:
		r.append()
	case n < 40:
		r.step += " flush"
		r.flush()
	case n < 50:
		r.step += " clock"
		if r.random.IntN(4) == 0 {
			r.clock.Step(time.Duration(r.random.IntN(20_000)-10_000) * time.Millisecond)
		}
		r.clock.Advance(time.Duration(r.random.IntN(3000)) * time.Millisecond)
	case n < 60:
		r.wholes(n)
	case m.group != nil:
		r.groupOp()
	}
}

func (r *modelRun) append() {
	m, count := &r.model, 1+r.random.IntN(3)*r.random.IntN(2)
	payloads := make([][]byte, count)
	for i := range payloads {
		r.serial++
		payloads[i] = fmt.Appendf(nil, "p%d", r.serial)
	}
	if r.random.IntN(8) == 0 {
		payloads[0] = nil
	}
	var key []byte
	if count == 1 && r.random.IntN(3) == 0 {
		key = fmt.Appendf(nil, "k%d", r.random.IntN(4))
	}
	x := Expect{}
	if r.random.IntN(5) == 0 {
		x = Expect{Kind: ExpectOffset, Offset: m.next - 1 + r.random.Uint64N(2)}
	}
	r.step += fmt.Sprintf(" append %q key %q expect %v", payloads, key, x)
	result, _, err := r.broker.Append(streamName, payloads, x, key, true)
	d, known := m.dedup[string(key)]
	if key != nil && known && d.end > r.now().Steady && (!d.maybe || result.Duplicate) {
		r.equal("duplicate", result, AppendResult{First: d.offset, Last: d.offset, Duplicate: true})
		return
	}
	if x.Kind == ExpectOffset && x.Offset != m.next-1 {
		if !errors.Is(err, &brokers.Error{Code: "EXPECT"}) {
			r.t.Fatal(r.step, ": ", err)
		}
		return
	}
	r.equal("result", result, AppendResult{First: m.next, Last: m.next + uint64(count) - 1})
	if key != nil {
		m.dedup[string(key)] = modelKey{offset: m.next, modelWait: waitUntil(r.now().Steady+m.config.DedupWindow.Milliseconds(), r.now())}
	}
	now := max(r.now().Wall, m.lastMs)
	for _, payload := range payloads {
		m.append(now, payload)
	}
}

// wholes are the operations on the whole stream or log.
func (r *modelRun) wholes(n int) {
	m := &r.model
	switch n {
	case 50, 51:
		r.step += " restart"
		r.journal.SetAuto(true) // a merge under way waits for its record
		r.broker.Close()
		r.journal = r.journal.Reopen(true)
		r.journal.Auto = false
		m.restarted(r.now(), r.clock.Now().UnixMilli())
		r.open()
		m.high = m.next - 1
	case 52, 53:
		r.step += " compact"
		if r.random.IntN(2) == 0 {
			r.flush()
		}
		if err := r.broker.Compact(); err != nil {
			r.t.Fatal(err)
		}
		m.high = m.next - 1 // what a snapshot holds is durable
		m.recorded(r.now())
		if r.random.IntN(2) == 0 {
			r.merge()
		}
	case 54, 55:
		before := r.span().To
		r.step += fmt.Sprint(" trim before ", before)
		n, _, err := r.broker.Trim(streamName, nil, &Position{Offset: before})
		to := min(before, m.high+1)
		r.equal("trimmed", fmt.Sprint(n, err), fmt.Sprint(to-min(m.first, to), error(nil)))
		m.cut(to)
	case 56, 57, 58:
		r.step += " config"
		if _, err := r.broker.Configure(streamName, func(c *Config) error {
			c.MaxLen, c.MaxBytes = int64(r.random.IntN(3)*6), int64(r.random.IntN(3)*400)
			c.DedupWindow = time.Duration(r.random.IntN(5)) * time.Second
			m.config = *c
			return nil
		}); err != nil {
			r.t.Fatal(err)
		}
	case 59:
		r.step += " drop"
		if n, _ := r.broker.Drop([][]byte{streamName}); n != 1 {
			r.t.Fatal("not dropped")
		}
		if m.group != nil {
			r.epochs = max(r.epochs, m.group.epoch)
		}
		*m = model{}
	}
}

// merge merges some of the segment files, whatever their sizes.
func (r *modelRun) merge() {
	r.step += " merge"
	r.journal.SetAuto(true) // a merge waits for its record
	defer r.journal.SetAuto(false)
	r.model.high = r.model.next - 1
	r.broker.tidying.Lock()
	defer r.broker.tidying.Unlock()
	var chosen []*sealed
	for _, file := range r.broker.files {
		if r.random.IntN(2) == 0 {
			chosen = append(chosen, file)
		}
	}
	if err := r.broker.merge(chosen); err != nil {
		r.t.Fatal(err)
	}
	if ids, unfinished, err := segment.List(r.directory); len(ids) != len(r.broker.files) || len(unfinished) > 0 || err != nil {
		r.t.Fatal(r.step, ": files ", ids, unfinished, err, ", listed ", len(r.broker.files))
	}
}

func (r *modelRun) groupOp() {
	m, g, now, span := &r.model, r.model.group, r.now(), r.span()
	consumer := fmt.Sprint("c", r.random.IntN(2))
	inside := g.offsets(span.From, span.To)
	switch n := r.random.IntN(20); {
	case n < 8:
		r.consume(consumer)
	case n < 11:
		r.step += fmt.Sprint(" ack ", span)
		n, _, err := r.broker.Ack(streamName, groupName, exactly(span, span), g.epoch)
		r.equal("acked", fmt.Sprint(n, err), fmt.Sprint(len(inside), error(nil)))
		for _, offset := range inside {
			delete(g.pending, offset)
		}
	case n < 14:
		r.nack(span, inside)
	case n == 14:
		r.step += fmt.Sprint(" extend ", span)
		n, err := r.broker.Extend(streamName, groupName, 700*time.Millisecond, exactly(span, span))
		r.equal("extended", fmt.Sprint(n, err), fmt.Sprint(len(inside), error(nil)))
		for _, offset := range inside {
			g.pending[offset].due, g.pending[offset].never = waitUntil(now.Steady+700, now), false
		}
	case n < 17:
		r.step += " leave " + consumer
		held := 0
		for _, p := range g.pending {
			if p.consumer == consumer {
				held++
				g.giveBack(p.offset, p.deliveries-1, waitUntil(now.Steady, now))
			}
		}
		n, err := r.broker.Leave(streamName, groupName, []byte(consumer))
		r.equal("released", fmt.Sprint(n, err), fmt.Sprint(held, error(nil)))
	case n == 17:
		r.step += fmt.Sprint(" seek ", span.From)
		old := g.epoch
		g.epoch, g.next = g.epoch+1, min(max(span.From, m.first), m.high+1)
		clear(g.pending)
		epoch, next, _, err := r.broker.Seek(streamName, groupName, Position{Offset: span.From})
		r.equal("seek", fmt.Sprint(epoch, next, err), fmt.Sprint(g.epoch, g.next, error(nil)))
		if _, _, err := r.broker.Ack(streamName, groupName, exactly(span), old); !errors.Is(err, &brokers.Error{Code: "FENCED"}) {
			r.t.Fatal(r.step, ": an old epoch acknowledges: ", err)
		}
	default:
		r.unpark(n == 18)
	}
}

func (r *modelRun) consume(consumer string) {
	m := &r.model
	o := ConsumeOptions{Count: 1 + r.random.IntN(4), MaxBytes: 1 << 20, NoAck: r.random.IntN(6) == 0}
	r.step += fmt.Sprint(" consume ", consumer, " ", o)
	got, err := r.broker.Consume(streamName, groupName, []byte(consumer), o, nil)
	if err != nil {
		r.t.Fatal(r.step, err)
	}
	var words []string
	for _, d := range got.Entries {
		words = append(words, fmt.Sprintf("%d x%d %s", d.Offset, d.Deliveries, d.Payload))
	}
	r.equal("consumed", words, m.consume(r.now(), consumer, o.Count, o.NoAck))
	if r.random.IntN(5) == 0 {
		r.broker.Return(streamName, groupName, got.Entries)
		for _, d := range got.Entries {
			if p := m.group.pending[d.Offset]; p != nil && p.deliveries == d.Deliveries {
				m.group.giveBack(d.Offset, d.Deliveries-1, waitUntil(r.now().Steady, r.now()))
			}
		}
	}
}

func (r *modelRun) nack(span Range, inside []uint64) {
	g := r.model.group
	mode := NackMode(r.random.IntN(3))
	delay := time.Duration(r.random.IntN(2)) * time.Second
	r.step += fmt.Sprint(" nack ", mode, span, delay)
	n, _, err := r.broker.Nack(streamName, groupName, mode, exactly(span, span), delay, "why")
	r.equal("nacked", fmt.Sprint(n, err), fmt.Sprint(len(inside), error(nil)))
	for _, offset := range inside {
		p := g.pending[offset]
		if mode == NackFatal || mode == NackFail && g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
			delete(g.pending, offset)
			g.parked[offset] = p.deliveries
			continue
		}
		deliveries := p.deliveries
		if mode == NackSilent && p.consumer != nobody {
			deliveries--
		}
		g.giveBack(offset, deliveries, waitUntil(r.now().Steady+delay.Milliseconds(), r.now()))
	}
}

func (r *modelRun) unpark(drop bool) {
	g := r.model.group
	r.step += fmt.Sprint(" unpark, drop ", drop)
	n, _, err := r.broker.Unpark(streamName, groupName, nil, drop)
	r.equal("unparked", fmt.Sprint(n, err), fmt.Sprint(len(g.parked), error(nil)))
	for offset := range g.parked {
		if !drop && offset < g.next {
			g.giveBack(offset, 0, waitUntil(r.now().Steady, r.now()))
		}
	}
	clear(g.parked)
}

// compare looks at everything that can be seen. Its Fetch lets the broker retire what is too old, as every reader does.
func (r *modelRun) compare() {
	m := &r.model
	m.retain(r.now().Earlier())
	page, err := r.broker.Fetch(streamName, Position{Kind: First}, FetchOptions{Count: 1 << 30, MaxBytes: 1 << 30}, nil)
	if !m.exists {
		if !errors.Is(err, noStream("")) {
			r.t.Fatal(r.step, ": ", err)
		}
		return
	}
	var got, want []string
	for _, e := range page.Entries {
		got = append(got, fmt.Sprintf("%d@%d %s", e.Offset, e.Ms, e.Payload))
	}
	for offset := m.first; offset <= m.high; offset++ {
		want = append(want, fmt.Sprintf("%d@%d %s", offset, m.entries[offset].Ms, m.entries[offset].Payload))
	}
	r.equal("entries", got, want)
	st, err := r.broker.Stats(streamName)
	r.equal("stats", fmt.Sprint(st.First, st.Next, st.High, st.Entries, st.Bytes, err), fmt.Sprint(m.first, m.next, m.high, m.next-m.first, m.bytes(), error(nil)))
	if m.config.Chain {
		v, err := r.broker.Verify(streamName, Position{Kind: First}, Position{Kind: Last})
		offset, _, _, head, headErr := r.broker.Head(streamName)
		r.equal("chain", fmt.Sprint(v.OK, err, offset, head, headErr), fmt.Sprint(true, error(nil), m.high, m.hashes[m.high], error(nil)))
	}
	if m.group != nil {
		r.compareGroup()
	}
}

func (r *modelRun) compareGroup() {
	g := r.model.group
	st, err := r.broker.GroupStats(streamName, groupName)
	floor, held := g.next-1, map[string]bool{}
	for offset, p := range g.pending {
		floor = min(floor, offset-1)
		if p.consumer != nobody {
			held[p.consumer] = true
		}
	}
	var want []string
	for offset, deliveries := range g.parked {
		floor = min(floor, offset-1)
		want = append(want, fmt.Sprintf("%d x%d", offset, deliveries))
	}
	r.equal("group", fmt.Sprint(st.Epoch, st.Next, st.Pending, st.Held, st.Parked, st.Floor, st.Consumers, err),
		fmt.Sprint(g.epoch, g.next, len(g.pending), g.held(), len(g.parked), floor, len(held), error(nil)))
	list, _, err := r.broker.ParkedEntries(streamName, groupName, Position{Kind: First}, 1<<30, 1<<30)
	if err != nil {
		r.t.Fatal(r.step, err)
	}
	var got []string
	for _, p := range list {
		got = append(got, fmt.Sprintf("%d x%d", p.Offset, p.Deliveries))
	}
	sort.Strings(got)
	sort.Strings(want)
	r.equal("parked", got, want)
}
