package stream

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

var all = FetchOptions{Count: 1 << 30, MaxBytes: 1 << 30}

// directories has one for the brokers of each test, so that a restart finds its segment files.
var directories sync.Map

func directoryOf(t testing.TB) string {
	made, _ := directories.LoadOrStore(t.Name(), t.TempDir())
	t.Cleanup(func() { directories.Delete(t.Name()) })
	return made.(string)
}

func openBroker(t testing.TB, j brokers.Journal, c brokers.Clock) *Broker {
	t.Helper()
	b, err := Open(Options{Journal: j, Directory: directoryOf(t), Clock: c, Durability: brokers.Always, BlockBytes: 16,
		Failed: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func newClock() *brokertest.Clock { return brokertest.NewClock(time.UnixMilli(1_700_000_000_000)) }

// create makes the stream without age, at the level where an append is shown at once.
func create(t testing.TB, b *Broker, change func(c *Config)) {
	t.Helper()
	c := DefaultConfig(brokers.Never)
	c.MaxAge = 0
	if change != nil {
		change(&c)
	}
	if _, err := b.Create(streamName, c, false); err != nil {
		t.Fatal(err)
	}
}

func add(t testing.TB, b *Broker, payloads ...string) uint64 {
	t.Helper()
	var last uint64
	for _, payload := range payloads {
		result, _, err := b.Append(streamName, [][]byte{[]byte(payload)}, Expect{}, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		last = result.Last
	}
	return last
}

func makeGroup(t testing.TB, b *Broker, c GroupConfig) {
	t.Helper()
	if _, err := b.CreateGroup(streamName, groupName, c, Position{Kind: First}, false); err != nil {
		t.Fatal(err)
	}
}

// take consumes without waiting and tells "offset x deliveries".
func take(t testing.TB, b *Broker, count int) string {
	t.Helper()
	got, err := b.Consume(streamName, groupName, []byte("c"), ConsumeOptions{Count: count, MaxBytes: 1 << 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	words := []string{}
	for _, d := range got.Entries {
		words = append(words, fmt.Sprintf("%dx%d", d.Offset, d.Deliveries))
	}
	return fmt.Sprint(words)
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func code(t testing.TB, err error, word string) {
	t.Helper()
	if !errors.Is(err, &brokers.Error{Code: word}) {
		t.Fatalf("got %v, want %s", err, word)
	}
}

func TestOnlyDurableEntriesAreShown(t *testing.T) {
	for _, level := range []brokers.Durability{brokers.Always, brokers.Interval} {
		j := brokertest.NewJournal()
		j.Auto = false
		b := openBroker(t, j, newClock())
		create(t, b, func(c *Config) { c.Sync = level })
		makeGroup(t, b, DefaultGroupConfig())
		add(t, b, "a", "b") // records 3 and 4
		high := func() uint64 {
			page, err := b.Fetch(streamName, Position{Kind: First}, all, nil)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "entries", len(page.Entries), page.High)
			return page.High
		}
		want(t, "nothing durable", high(), 0)
		want(t, "a group sees", take(t, b, 9), "[]")
		j.Advance(3, 2)
		want(t, "written", high(), map[brokers.Durability]int{brokers.Always: 0, brokers.Interval: 1}[level])
		j.Advance(4, 3)
		want(t, "one synced", high(), map[brokers.Durability]int{brokers.Always: 1, brokers.Interval: 2}[level])
		j.Advance(4, 4)
		want(t, "both synced", high(), 2)
	}
}

// hastyJournal has a record durable, and has told so where it can, before Append returns.
type hastyJournal struct{ *brokertest.Journal }

func (j hastyJournal) Append(body []byte, sync bool) uint64 {
	seq := j.Journal.Append(body, sync)
	told := make(chan struct{})
	go func() {
		j.Advance(seq, seq)
		close(told)
	}()
	select {
	case <-told:
	case <-time.After(20 * time.Millisecond): // it waits for the stream, which the caller holds
	}
	return seq
}

func TestEveryDurableEntryIsShown(t *testing.T) {
	j := hastyJournal{brokertest.NewJournal()}
	j.Auto = false
	b := openBroker(t, j, newClock())
	for i := range 10 {
		add(t, b, "x")
		page, err := b.Fetch(streamName, Position{Offset: uint64(i + 1)}, FetchOptions{Count: 1, MaxBytes: 9, Watch: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if page.Changed != nil {
			select {
			case <-page.Changed:
			case <-time.After(2 * time.Second):
				t.Fatal("durable and never shown: ", i+1)
			}
		}
	}
}

func TestOffsetsAreNeverReused(t *testing.T) {
	j, clock := brokertest.NewJournal(), newClock()
	b := openBroker(t, j, clock)
	create(t, b, nil)
	want(t, "last", add(t, b, "a", "b", "c"), 3)
	none := int64(0)
	if n, _, err := b.Trim(streamName, &none, nil); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	b = openBroker(t, j.Reopen(true), clock)
	want(t, "after a restart", add(t, b, "d"), 4)
	if _, _, err := b.Trim(streamName, &none, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	b = openBroker(t, b.journal.(*brokertest.Journal).Reopen(true), clock)
	want(t, "after a compaction", add(t, b, "e"), 5)
}

func TestConcurrentAppends(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	var mu sync.Mutex
	told := map[uint64]string{}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 200 {
				payload := fmt.Sprint(w, "/", i)
				offset := add(t, b, payload)
				mu.Lock()
				told[offset] = payload
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	page, err := b.Fetch(streamName, Position{Kind: First}, all, nil)
	if err != nil || len(page.Entries) != 1600 || len(told) != 1600 {
		t.Fatal(err, len(page.Entries), len(told))
	}
	for i, e := range page.Entries {
		if e.Offset != uint64(i+1) || told[e.Offset] != string(e.Payload) {
			t.Fatalf("offset %d holds %q, the reply said %q", e.Offset, e.Payload, told[e.Offset])
		}
	}
}

func TestAgeNeedsNoVisitor(t *testing.T) {
	clock := newClock()
	b := openBroker(t, brokertest.NewJournal(), clock)
	create(t, b, func(c *Config) { c.MaxAge = time.Minute })
	add(t, b, "a")
	clock.Advance(59_999 * time.Millisecond)
	st, _ := b.Stats(streamName) // looks without retiring anything
	want(t, "young", st.Entries, 1)
	clock.Advance(time.Millisecond)
	st, _ = b.Stats(streamName)
	want(t, "old", fmt.Sprint(st.Entries, st.First, st.Next, st.Bytes), "0 2 2 0")
}

func TestIDsNeverGoBack(t *testing.T) {
	clock := newClock()
	j := brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, nil)
	for _, step := range []time.Duration{0, 0, -time.Hour, -time.Hour, 3 * time.Hour} {
		clock.Step(step)
		add(t, b, "x")
		if step < 0 {
			b = openBroker(t, j.Reopen(true), clock)
			j = b.journal.(*brokertest.Journal)
		}
	}
	page, _ := b.Fetch(streamName, Position{Kind: First}, all, nil)
	for i, e := range page.Entries[1:] {
		if before := page.Entries[i]; e.Ms < before.Ms || e.Ms == before.Ms && e.Seq <= before.Seq {
			t.Fatal(before, e)
		}
	}
	want(t, "entries", len(page.Entries), 5)
}

func TestRedeliveryParkingAndUnparking(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{AckWait: time.Second, MaxDeliver: 2, MaxPending: 10})
	add(t, b, "a")
	want(t, "first", take(t, b, 9), "[1x1]")
	clock.Advance(999 * time.Millisecond)
	want(t, "too early", take(t, b, 9), "[]")
	clock.Advance(time.Millisecond)
	want(t, "again", take(t, b, 9), "[1x2]")
	clock.Advance(time.Second)
	want(t, "parked", take(t, b, 9), "[]")
	list, _, err := b.ParkedEntries(streamName, groupName, Position{Kind: First}, 9, 1<<20)
	if err != nil || len(list) != 1 || list[0].Deliveries != 2 || string(list[0].Payload) != "a" {
		t.Fatal(list, err)
	}
	if n, _, err := b.Unpark(streamName, groupName, exactly(Range{1, 1}), false); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	b = openBroker(t, j.Reopen(true), clock)
	want(t, "unparked", take(t, b, 9), "[1x1]")
}

func TestParkedEntriesArePages(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{AckWait: time.Minute, MaxDeliver: 2, MaxPending: 10})
	for range 5 {
		add(t, b, "ten bytes.")
	}
	want(t, "all", take(t, b, 9), "[1x1 2x1 3x1 4x1 5x1]")
	if n, _, err := b.Nack(streamName, groupName, NackFatal, exactly(Range{1, 5}), 0, "no"); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	for _, c := range []struct {
		count, maxBytes int
		want            string
	}{{9, 1 << 20, "[1 2 3 4 5] "}, {2, 1 << 20, "[1 2] [3 4] [5] "}, {9, 21, "[1 2 3] [4 5] "}, {9, 1, "[1] [2] [3] [4] [5] "}, {5, 50, "[1 2 3 4 5] "}} {
		pages := ""
		for from := uint64(1); from != 0; {
			list, next, err := b.ParkedEntries(streamName, groupName, Position{Kind: AtOffset, Offset: from}, c.count, c.maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			var offsets []uint64
			for _, p := range list {
				offsets = append(offsets, p.Offset)
			}
			pages += fmt.Sprint(offsets, " ")
			from = next
		}
		want(t, fmt.Sprintf("pages of %d and %d bytes", c.count, c.maxBytes), pages, c.want)
	}
}

// An unpark is one record: cut anywhere, the entry is parked or pending, never lost.
func TestUnparkIsWhole(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	add(t, b, "a")
	take(t, b, 1)
	if _, _, err := b.Nack(streamName, groupName, NackFatal, exactly(Range{1, 1}), 0, "bad"); err != nil {
		t.Fatal(err)
	}
	before := len(j.Records())
	if _, _, err := b.Unpark(streamName, groupName, nil, false); err != nil {
		t.Fatal(err)
	}
	records := j.Records()
	for n := before; n <= len(records); n++ {
		cut := brokertest.NewJournal()
		for _, body := range records[:n] {
			cut.Append(body, true)
		}
		st, err := openBroker(t, cut.Reopen(true), clock).GroupStats(streamName, groupName)
		if err != nil || st.Pending+st.Parked != 1 {
			t.Fatalf("%d of %d records: %+v %v", n, len(records), st, err)
		}
	}
}

func TestGivingBackCountsOnce(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	add(t, b, "a")
	take(t, b, 1)
	for i, released := range []int{1, 0, 0} {
		n, err := b.Leave(streamName, groupName, []byte("c"))
		want(t, fmt.Sprint("leave ", i), fmt.Sprint(n, err), fmt.Sprint(released, error(nil)))
	}
	for range 3 {
		b.Nack(streamName, groupName, NackSilent, exactly(Range{1, 1}), 0, "")
	}
	want(t, "again", take(t, b, 1), "[1x1]")
}

func TestEpochFencesAcks(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	add(t, b, "a", "b")
	take(t, b, 2)
	epoch, next, _, err := b.Seek(streamName, groupName, Position{Kind: First})
	want(t, "seek", fmt.Sprint(epoch, next, err), fmt.Sprint(2, 1, error(nil)))
	want(t, "from the start", take(t, b, 2), "[1x1 2x1]")
	_, _, err = b.Ack(streamName, groupName, exactly(Range{1, 2}), 1)
	code(t, err, "FENCED")
	if n, _, err := b.Ack(streamName, groupName, exactly(Range{1, 2}), 2); n != 2 || err != nil {
		t.Fatal(n, err)
	}
}

func TestMaxPendingBlocks(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{MaxPending: 2})
	add(t, b, "a", "b", "c")
	want(t, "up to the limit", take(t, b, 9), "[1x1 2x1]")
	got, err := b.Consume(streamName, groupName, []byte("w"), ConsumeOptions{Count: 9, MaxBytes: 99, Wait: true}, nil)
	if err != nil || got.Waiter == nil {
		t.Fatal(got, err)
	}
	add(t, b, "d")
	want(t, "an append wakes", len(got.Waiter.C), 0)
	b.Ack(streamName, groupName, exactly(Range{1, 1}), 0)
	want(t, "an ack wakes", len(got.Waiter.C), 1)
	want(t, "one has room", take(t, b, 9), "[3x1]")
}

func TestOneAppendWakesOne(t *testing.T) {
	clock := newClock()
	b := openBroker(t, brokertest.NewJournal(), clock)
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{AckWait: time.Second, MaxDeliver: 5, MaxPending: 10_000})
	waiters := make([]*Waiter, 1000)
	wait := ConsumeOptions{Count: 1, MaxBytes: 99, Wait: true}
	for i := range waiters {
		got, err := b.Consume(streamName, groupName, []byte("c"), wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		waiters[i] = got.Waiter
	}
	woken := func() (n int) {
		for _, w := range waiters {
			n += len(w.C)
		}
		return n
	}
	add(t, b, "a")
	want(t, "woken", fmt.Sprint(woken(), len(waiters[0].C)), "1 1")
	b.Cancel(waiters[0]) // it left before it could take: the next in line is told
	want(t, "passed on", fmt.Sprint(woken(), len(waiters[1].C)), "2 1")
	want(t, "taken", take(t, b, 1), "[1x1]")
	clock.Advance(time.Second)
	want(t, "the redelivery wakes", len(waiters[2].C), 1)
}

// appendKey appends under one dedup key.
func appendKey(t *testing.T, b *Broker) AppendResult {
	t.Helper()
	result, _, err := b.Append(streamName, [][]byte{[]byte("x")}, Expect{}, []byte("key"), true)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestDedupOutlivesARestart(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.DedupWindow = time.Minute })
	want(t, "new", appendKey(t, b), AppendResult{1, 1, false})
	for _, compact := range []bool{false, true} {
		if compact {
			if err := b.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		j = j.Reopen(true)
		b = openBroker(t, j, clock)
		clock.Advance(20 * time.Second)
		want(t, "again", appendKey(t, b), AppendResult{1, 1, true})
	}
	clock.Advance(20 * time.Second)
	want(t, "after the window", appendKey(t, b), AppendResult{2, 2, false})
}

// TestShorterWindowLeavesKeys makes the window of a stream shorter: keys that were appended before hold as long as was said, also over a
// snapshot and a start.
func TestShorterWindowLeavesKeys(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.DedupWindow = time.Hour })
	want(t, "new", appendKey(t, b), AppendResult{1, 1, false})
	if _, err := b.Configure(streamName, func(c *Config) error { c.DedupWindow = time.Second; return nil }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		clock.Advance(1790 * time.Second)
		want(t, "again", appendKey(t, b), AppendResult{1, 1, true})
		if err := b.Compact(); err != nil {
			t.Fatal(err)
		}
		j = j.Reopen(true)
		b = openBroker(t, j, clock)
	}
	clock.Advance(21 * time.Second)
	want(t, "after the window", appendKey(t, b), AppendResult{2, 2, false})
}

func TestChainIsStable(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.Chain = true })
	add(t, b, "a", "b", "", "d")
	offset, _, _, head, err := b.Head(streamName)
	want(t, "head", fmt.Sprint(offset, err), fmt.Sprint(4, error(nil)))
	check := func(what string) {
		t.Helper()
		_, _, _, now, err := b.Head(streamName)
		want(t, what, fmt.Sprint(now, err), fmt.Sprint(head, error(nil)))
		for _, from := range []uint64{0, 3, 5, 1000, 1 << 63} {
			v, err := b.Verify(streamName, Position{Offset: from}, Position{Kind: Last})
			want(t, what, fmt.Sprint(v.OK, v.Head, err), fmt.Sprint(true, head, error(nil)))
		}
	}
	check("fresh")
	two := int64(2)
	b.Trim(streamName, &two, nil)
	check("trimmed")
	b.Compact()
	b.Close()
	j = j.Reopen(true)
	b = openBroker(t, j, clock)
	check("compacted and restarted")
	none := int64(0)
	b.Trim(streamName, &none, nil)
	b.Close() // it may be removing the file
	b = openBroker(t, j.Reopen(true), clock)
	check("emptied")
	b.find(streamName).head[0]++ // what somebody would change on the disk
	add(t, b, "e")
	_, _, _, now, _ := b.Head(streamName)
	if now == head {
		t.Fatal("the head does not move")
	}
	b.find(streamName).hot[0].Payload = []byte("E")
	v, err := b.Verify(streamName, Position{Kind: First}, Position{Kind: Last})
	want(t, "changed", fmt.Sprint(v.OK, v.FirstBad, err), fmt.Sprint(false, 5, error(nil)))
}

func TestAcknowledgedStaysAcknowledged(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.Sync = brokers.Always })
	makeGroup(t, b, GroupConfig{AckWait: time.Second, MaxDeliver: 5, MaxPending: 10})
	add(t, b, "a", "b")
	_, r, err := b.Append(streamName, [][]byte{[]byte("c")}, Expect{}, nil, true)
	if err != nil || r.Wait() != nil {
		t.Fatal(err)
	}
	for { // the batch may still be on its way to the readers
		n, _ := b.Length(streamName)
		if n == 3 {
			break
		}
		runtime.Gosched()
	}
	want(t, "taken", take(t, b, 9), "[1x1 2x1 3x1]")
	_, r, err = b.Ack(streamName, groupName, exactly(Range{2, 2}), 0)
	if err != nil || r.Wait() != nil {
		t.Fatal(err)
	}
	for range 2 { // from the log, then from a snapshot
		j = j.Reopen(false)
		b = openBroker(t, j, clock)
		clock.Advance(time.Second)
		b.Compact()
	}
	want(t, "redelivered", take(t, b, 9), "[1x2 3x2]")
}

func TestExpect(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	put := func(x Expect) error {
		_, _, err := b.Append(streamName, [][]byte{nil}, x, nil, true)
		return err
	}
	code(t, put(Expect{Kind: ExpectExists}), "NOSTREAM")
	code(t, put(Expect{Kind: ExpectOffset, Offset: 5}), "EXPECT")
	want(t, "a refused append makes", b.Exists([][]byte{streamName}), 0)
	for _, x := range []Expect{{Kind: ExpectNone}, {Kind: ExpectExists}, {Kind: ExpectOffset, Offset: 2}, {}} {
		if err := put(x); err != nil {
			t.Fatal(x, err)
		}
	}
	code(t, put(Expect{Kind: ExpectNone}), "EXPECT")
	code(t, put(Expect{Kind: ExpectOffset, Offset: 3}), "EXPECT")
	want(t, "appended", add(t, b, "x"), 5)
}

func TestRangesEndAtTheLargestID(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	add(t, b, "a", "b")
	for _, to := range []Position{{Kind: AtID, Ms: 1_700_000_000_000, Seq: ^uint64(0)}, {Kind: AtTime, Ms: 1<<63 - 1}, {Kind: AtTime, Ms: 1_700_000_000_000}} {
		o := all
		o.To = &to
		page, err := b.Fetch(streamName, Position{Kind: First}, o, nil)
		want(t, fmt.Sprint(to), fmt.Sprint(len(page.Entries), err), fmt.Sprint(2, error(nil)))
	}
}

func TestLimitsHoldOnceABurstIsDurable(t *testing.T) {
	j := brokertest.NewJournal()
	j.Auto = false
	b := openBroker(t, j, newClock())
	create(t, b, func(c *Config) { c.Sync, c.MaxLen = brokers.Always, 3 })
	add(t, b, "a", "b", "c", "d", "e")
	j.Advance(6, 6)
	st, err := b.Stats(streamName)
	want(t, "kept", fmt.Sprint(st.Entries, st.First, err), fmt.Sprint(3, 3, error(nil)))
}

// FuzzReplay feeds one record to a broker that has a stream with a group, and then uses everything.
func FuzzReplay(f *testing.F) {
	j := brokertest.NewJournal()
	prepare := func(t testing.TB, j *brokertest.Journal) *Broker {
		b := openBroker(t, j, newClock())
		create(t, b, func(c *Config) { c.Chain = true })
		makeGroup(t, b, DefaultGroupConfig())
		add(t, b, "a", "b", "c")
		take(t, b, 2)
		b.Nack(streamName, groupName, NackFatal, exactly(Range{1, 1}), 0, "bad")
		return b
	}
	b := prepare(f, j)
	b.Append(streamName, [][]byte{[]byte("d")}, Expect{}, []byte("key"), true)
	b.Seek(streamName, groupName, Position{Kind: First})
	b.Configure(streamName, func(*Config) error { return nil })
	records := j.Records()
	b.Compact()
	b.Trim(streamName, new(int64), nil)
	b.DropGroup(streamName, groupName)
	b.Drop([][]byte{streamName})
	for _, body := range append(records, j.Records()...) {
		f.Add(body)
	}
	f.Add([]byte("\x11\x01\x01g\x020\x020\x01000\x03\x01000")) // given, often, what comes next
	f.Fuzz(func(t *testing.T, body []byte) {
		j := brokertest.NewJournal()
		prepare(t, j)
		j = j.Reopen(true)
		j.Append(body, true)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := Open(Options{Journal: j.Reopen(true), Directory: t.TempDir(), Clock: newClock()})
		runtime.ReadMemStats(&after)
		if bound := uint64(256*len(body) + 1<<20); after.TotalAlloc-before.TotalAlloc > bound {
			t.Fatalf("a record of %d bytes took %d", len(body), after.TotalAlloc-before.TotalAlloc)
		}
		if err != nil {
			return
		}
		defer b.Close()
		b.Fetch(streamName, Position{Kind: First}, FetchOptions{Count: 10, MaxBytes: 1 << 20}, nil)
		b.Verify(streamName, Position{Kind: First}, Position{Offset: 10})
		b.Head(streamName)
		b.Consume(streamName, groupName, []byte("c"), ConsumeOptions{Count: 10, MaxBytes: 1 << 20}, nil)
		b.ParkedEntries(streamName, groupName, Position{Kind: First}, 10, 1<<20)
		b.GroupStats(streamName, groupName)
		if err := b.Compact(); err != nil {
			t.Fatal(err)
		}
		b.Drop([][]byte{streamName})
	})
}

func TestRangesAreVisitedOnce(t *testing.T) {
	for _, c := range []struct{ given, want []Range }{
		{nil, nil},
		{[]Range{{5, 5}, {1, 2}, {5, 5}}, []Range{{1, 2}, {5, 5}}},
		{[]Range{{1, 9}, {2, 3}, {9, 12}, {14, 15}}, []Range{{1, 12}, {14, 15}}},
		{[]Range{{3, ^uint64(0)}, {0, 4}, {7, 8}}, []Range{{0, ^uint64(0)}}},
	} {
		want(t, "ranges", disjoint(slices.Clone(c.given)), c.want)
	}
}
