package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func retain(t testing.TB, b *Broker, topic, payload string, ttl time.Duration) brokers.Receipt {
	t.Helper()
	_, receipt, err := b.NewBatch(0).Retain([]byte(topic), []byte(payload), After(ttl.Milliseconds()), false)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func page(t testing.TB, b *Broker, filter string) []string {
	t.Helper()
	entries, _, err := b.RetainedPage(filter, "", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Topic+"="+e.shown())
	}
	return got
}

// shown shows a payload and the rest of its time.
func (e Retained) shown() string {
	if e.TTLMillis < 0 {
		return string(e.Payload)
	}
	return fmt.Sprintf("%s(%d)", e.Payload, e.TTLMillis)
}

func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestRetainReplaceClear(t *testing.T) {
	b := open(t, Options{Clock: brokertest.NewClock(epoch)})
	live, _ := subscribe(b, Filter, "a/#")
	retain(t, b, "a/b", "1", 0)
	retain(t, b, "a", "2", 0)
	retain(t, b, "a/b", "3", time.Second)
	b.NewBatch(0).Publish([]byte("a/b"), []byte("not kept"), false)
	expect(t, page(t, b, "#"), "a=2", "a/b=3(1000)")
	expect(t, page(t, b, "a/+"), "a/b=3(1000)")
	retain(t, b, "a/b", "", 0)
	retain(t, b, "nothing", "", 0)
	expect(t, page(t, b, "#"), "a=2")
	expect(t, live.take(), "a/b=1", "a=2", "a/b=3", "a/b=")
	if stats := b.Stats(); stats.RetainedBytes != int64(2+messageOverhead) || b.retained.mu.expiring.Len() != 0 {
		t.Errorf("%+v, %d expiring", stats, b.retained.mu.expiring.Len())
	}
	n, _, err := b.DeleteRetained("#")
	if n != 1 || err != nil || len(page(t, b, "#")) != 0 {
		t.Errorf("deleted %d, %v", n, err)
	}
	for topic, code := range map[string]string{"a/+": "BADTOPIC", "$SYS/x": "RESERVED", "": "BADTOPIC"} {
		if _, _, err := b.NewBatch(0).Retain([]byte(topic), []byte("x"), 0, false); !errors.Is(err, &brokers.Error{Code: code}) {
			t.Errorf("%q: %v", topic, err)
		}
	}
}

func TestRetainedSurvivesRestart(t *testing.T) {
	clock, journal := brokertest.NewClock(epoch), brokertest.NewJournal()
	b := open(t, Options{Journal: journal, Clock: clock, Durability: brokers.Always})
	retain(t, b, "a/b", "1", 0)
	retain(t, b, "a/b", "2", 0)
	retain(t, b, "gone", "x", 0)
	retain(t, b, "gone", "", 0)
	retain(t, b, "short", "s", time.Second)
	retain(t, b, "long", "l", time.Minute)
	receipt := retain(t, b, "last", "z", 0)
	if err := receipt.Wait(); err != nil {
		t.Fatal(err)
	}
	b.Close()

	// Down for three seconds: what ran out meanwhile is not loaded, and is deleted from the journal.
	clock = brokertest.NewClock(epoch.Add(3 * time.Second))
	journal = journal.Reopen(false)
	b = open(t, Options{Journal: journal, Clock: clock, Durability: brokers.Always})
	expect(t, page(t, b, "#"), "a/b=2", "last=z", "long=l(57000)")
	records := journal.Records()
	if last := records[len(records)-1]; string(last) != "\x02short" {
		t.Errorf("the last record is %q", last)
	}
	clock.Advance(57 * time.Second)
	expect(t, page(t, b, "#"), "a/b=2", "last=z")
	if b.Stats().Retained != 2 || b.Stats().Expired != 2 {
		t.Errorf("%+v", b.Stats())
	}
}

func TestExpiryByOneTimer(t *testing.T) {
	clock := brokertest.NewClock(epoch)
	b := open(t, Options{Clock: clock})
	for i := range 2000 {
		retain(t, b, fmt.Sprintf("many/%d", i), "x", 10*time.Second)
	}
	retain(t, b, "b", "1", 5*time.Second)
	retain(t, b, "a", "1", 2*time.Second)
	retain(t, b, "b", "2", 7*time.Second) // replaced: the old time no longer counts
	retain(t, b, "far", "1", 1000*time.Hour)
	retain(t, b, "past", "1", -time.Second) // never kept
	count := func(want int) {
		t.Helper()
		if got := b.Stats().Retained; got != want {
			t.Fatalf("%d are retained, want %d", got, want)
		}
	}
	count(2003)
	clock.Advance(2 * time.Second)
	count(2002)
	clock.Advance(3 * time.Second)
	count(2002)
	clock.Advance(2 * time.Second)
	count(2001)
	clock.Advance(3 * time.Second)
	count(1)
	clock.Advance(999*time.Hour + 59*time.Minute + 49*time.Second)
	count(1)
	clock.Advance(time.Second)
	count(0)
	if b.Stats().RetainedBytes != 0 {
		t.Errorf("%+v", b.Stats())
	}
}

// TestExpiredIsNotReplayed lets a message run out between the subscribe and its turn in the replay.
func TestExpiredIsNotReplayed(t *testing.T) {
	clock := brokertest.NewClock(epoch)
	b := open(t, Options{Clock: clock})
	retain(t, b, "a/1", "x", 0)
	retain(t, b, "a/2", "x", time.Second)
	retain(t, b, "a/3", "x", 0)
	var cursor *Cursor
	b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Filter, Name: "a/+"}, func(c *Cursor) { cursor = c })
	clock.Advance(time.Second)
	var got []string
	for topic, _, ok := cursor.Next(); ok; topic, _, ok = cursor.Next() {
		got = append(got, string(topic))
	}
	expect(t, got, "a/1", "a/3")
}

func TestReplayOfChannelsAndGlobs(t *testing.T) {
	b := open(t, Options{})
	for _, topic := range []string{"a", "a/b", "a/b/c", "ab", "b/a"} {
		retain(t, b, topic, "x", 0)
	}
	for _, c := range []struct {
		kind Kind
		name string
		want []string
	}{
		{Channel, "a/b", []string{"a/b"}}, {Channel, "zz", nil}, {Channel, "a\x00b", nil}, {Filter, "a", []string{"a"}},
		{Glob, "a*", []string{"a", "a/b", "a/b/c", "ab"}}, {Glob, "a/?", []string{"a/b"}}, {Glob, "*a", []string{"a", "b/a"}},
		{Glob, "a/b*", []string{"a/b", "a/b/c"}}, {Shard, "a", nil}, {Filter, "+/a", []string{"b/a"}}, {Filter, "c/#", nil},
	} {
		var got []string
		b.Subscribe(&Subscription{Subscriber: discard{}, Kind: c.kind, Name: c.name}, func(cursor *Cursor) {
			for topic, _, ok := cursor.Next(); ok; topic, _, ok = cursor.Next() {
				got = append(got, string(topic))
			}
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.name, got, c.want)
		}
	}
}

// queueing is a subscriber as a connection is one: what the replay brings comes first, live messages wait behind it.
type queueing struct {
	collector
	cursor *Cursor
}

func (q *queueing) all() []string {
	var got []string
	if q.cursor != nil {
		for topic, payload, ok := q.cursor.Next(); ok; topic, payload, ok = q.cursor.Next() {
			got = append(got, "retained "+string(topic)+"="+string(payload))
		}
	}
	return append(got, q.take()...)
}

// TestRetainedLiveRace counts up in a retained topic while subscribers join: each first sees a retained value and then
// every one that follows it, once.
func TestRetainedLiveRace(t *testing.T) {
	b := open(t, Options{Journal: brokertest.NewJournal(), Durability: brokers.Never})
	const values, subscribers = 5000, 200
	retain(t, b, "n/count", "0", 0)
	var joined sync.WaitGroup
	all := make([]*queueing, subscribers)
	start := make(chan struct{})
	for i := range all {
		all[i] = &queueing{}
		joined.Add(1)
		go func() {
			defer joined.Done()
			<-start
			name, kind := "n/+", Filter
			switch i % 3 {
			case 1:
				name = "n/count"
			case 2:
				name, kind = "n/*", Glob
			}
			b.Subscribe(&Subscription{Subscriber: all[i], Kind: kind, Name: name}, func(c *Cursor) { all[i].cursor = c })
		}()
	}
	batch := b.NewBatch(1)
	for v := 1; v <= values; v++ {
		if v == 100 {
			close(start)
		}
		if _, _, err := batch.Retain([]byte("n/count"), strconv.AppendInt(nil, int64(v), 10), 0, false); err != nil {
			t.Fatal(err)
		}
	}
	joined.Wait()
	for i, q := range all {
		got := q.all()
		first, ok := strings.CutPrefix(got[0], "retained n/count=")
		next, err := strconv.Atoi(first)
		if !ok || err != nil {
			t.Fatalf("subscriber %d: the first is %q", i, got[0])
		}
		for _, m := range got[1:] {
			next++
			if m != fmt.Sprintf("n/count=%d", next) {
				t.Fatalf("subscriber %d: got %q, want %d", i, m, next)
			}
		}
		if next != values {
			t.Fatalf("subscriber %d ends at %d", i, next)
		}
	}
}

// TestSubscribeVisitsOnlyItsBranch subscribes beside a great many topics that do not match.
func TestSubscribeVisitsOnlyItsBranch(t *testing.T) {
	b := open(t, Options{})
	topics := 1000000
	if testing.Short() {
		topics = 20000
	}
	batch := b.NewBatch(1)
	for i := range topics {
		if _, _, err := batch.Retain(fmt.Appendf(nil, "a/%d/c", i), []byte("x"), 0, false); err != nil {
			t.Fatal(err)
		}
	}
	retain(t, b, "b/x/c", "1", 0)
	retain(t, b, "b/x/d", "1", 0)
	retain(t, b, "b/y/c", "1", 0)
	var cursor *Cursor
	begun := time.Now()
	b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Filter, Name: "b/+/c"}, func(c *Cursor) { cursor = c })
	n := 0
	for _, _, ok := cursor.Next(); ok; _, _, ok = cursor.Next() {
		n++
	}
	t.Logf("subscribe and replay beside %d topics took %v, %d seeks", topics, time.Since(begun), cursor.seeks)
	if n != 2 || cursor.seeks > 8 {
		t.Errorf("%d matches in %d seeks", n, cursor.seeks)
	}
}

func TestRetainedLimitsAndFullDisk(t *testing.T) {
	journal := brokertest.NewJournal()
	b := open(t, Options{Journal: journal, MaxRetainedBytes: 2 * (messageOverhead + 10)})
	retain(t, b, "a", "123456789", 0)
	retain(t, b, "b", "123456789", 0)
	_, _, err := b.NewBatch(0).Retain([]byte("c"), []byte("1"), 0, false)
	if !errors.Is(err, &brokers.Error{Code: "OOM"}) {
		t.Errorf("over the limit: %v", err)
	}
	retain(t, b, "a", "x", 0)
	journal.SetReady(brokers.Errorf("DISKFULL", "no space"))
	_, _, err = b.NewBatch(0).Retain([]byte("a"), []byte("1"), 0, false)
	if !errors.Is(err, &brokers.Error{Code: "DISKFULL"}) {
		t.Errorf("on a full disk: %v", err)
	}
	expect(t, page(t, b, "#"), "a=x", "b=123456789")
	retain(t, b, "b", "", 0) // clearing goes on
	expect(t, page(t, b, "#"), "a=x")
}

// TestCompaction overwrites few topics with much data: the log is cut down to the live messages again and again, and a
// restart finds the last values.
func TestCompaction(t *testing.T) {
	journal := brokertest.NewJournal()
	b := open(t, Options{Journal: journal, Durability: brokers.Interval})
	payload := strings.Repeat("x", 64<<10)
	for i := range 1000 {
		receipt := retain(t, b, fmt.Sprintf("t/%d", i%7), fmt.Sprint(i, payload), 0)
		if err := receipt.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	want := page(t, b, "#")
	total := 0
	for _, record := range journal.Records() {
		total += len(record)
	}
	if total > 48<<20 {
		t.Errorf("the log has %d bytes", total)
	}
	if stats := b.Stats(); stats.CompactionError != "" {
		t.Error(stats.CompactionError)
	}
	b = open(t, Options{Journal: journal.Reopen(true)})
	expect(t, page(t, b, "#"), want...)
}

func TestDamagedRecordIsAnError(t *testing.T) {
	for _, body := range []string{"", "\x09", "\x01", "\x01\x00", "\x01\x00\x05ab", "\x01\x00\x00"} {
		journal := brokertest.NewJournal()
		journal.Append([]byte(body), false)
		if _, err := Open(Options{Journal: journal.Reopen(true)}); err == nil {
			t.Errorf("record %q is accepted", body)
		}
	}
}

func TestPages(t *testing.T) {
	b := open(t, Options{})
	for i := range 25 {
		retain(t, b, fmt.Sprintf("p/%02d", i), "x", 0)
	}
	subscribe(b, Channel, "p/03x")
	subscribe(b, Filter, "p/+")
	var retainedTopics, topics []string
	for after, more := "", true; more; {
		var entries []Retained
		entries, more, _ = b.RetainedPage("p/+", after, 10)
		for _, e := range entries {
			retainedTopics = append(retainedTopics, e.Topic)
		}
		after = retainedTopics[len(retainedTopics)-1]
	}
	for after, more := "", true; more; {
		var entries []Topic
		entries, more, _ = b.TopicsPage("p/#", after, 4)
		for _, e := range entries {
			topics = append(topics, e.Name)
			if want := e.Name != "p/03x"; e.Retained != want {
				t.Errorf("%+v", e)
			}
			if want := 1; e.Name != "p/03x" && e.Subscribers != want {
				t.Errorf("%+v", e)
			}
		}
		after = topics[len(topics)-1]
	}
	if len(retainedTopics) != 25 || !slices.IsSorted(retainedTopics) {
		t.Errorf("%q", retainedTopics)
	}
	if len(topics) != 26 || !slices.IsSorted(topics) {
		t.Errorf("%q", topics)
	}
}

func TestSubscriptions(t *testing.T) {
	b := open(t, Options{})
	for _, name := range []string{"a/b", "a/+", "a/#", "b"} {
		subscribe(b, Filter, name)
	}
	subscribe(b, Glob, "a*")
	for filter, want := range map[string][]string{
		"a/b": {"a*", "a/#", "a/+", "a/b"}, "a/+": {"a/#", "a/+", "a/b"}, "b": {"b"}, "#": {"a*", "a/#", "a/+", "a/b", "b"}, "c": nil,
	} {
		found, err := b.Subscriptions(filter, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, sub := range found {
			got = append(got, sub.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", filter, got, want)
		}
	}
	if found, _ := b.Subscriptions("#", 2); len(found) != 2 {
		t.Errorf("the limit gave %d", len(found))
	}
}

// FuzzReplay feeds one record to a broker that has retained messages: it is refused, or applied and served like any other.
func FuzzReplay(f *testing.F) {
	clock := brokertest.NewClock(epoch)
	prepare := func(t testing.TB, j *brokertest.Journal) {
		b := open(t, Options{Journal: j, Clock: clock})
		retain(t, b, "a/b", "x", time.Hour)
		retain(t, b, "a", "y", 0)
	}
	journal := brokertest.NewJournal()
	prepare(f, journal)
	b := open(f, Options{Journal: journal.Reopen(true), Clock: clock})
	if _, _, err := b.DeleteRetained("#"); err != nil {
		f.Fatal(err)
	}
	for _, record := range append(journal.Records(), appendDelete(nil, keyOf("a/b"))) {
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		journal := brokertest.NewJournal()
		prepare(t, journal)
		journal.Append(record, true)
		journal = journal.Reopen(true)
		b, err := Open(Options{Journal: journal, Clock: clock})
		if err != nil {
			return
		}
		defer b.Close()
		var bytes int64
		expiring := 0
		b.retained.mu.Lock()
		b.retained.mu.messages.Scan(func(key string, m *message) bool {
			bytes += m.size()
			if m.end != 0 {
				expiring++
			}
			if key != m.key || m.expired(b.clock.Now()) {
				t.Errorf("%q is kept as %q until %d", m.key, key, m.end)
			}
			return true
		})
		if bytes != b.retained.mu.bytes || expiring != b.retained.mu.expiring.Len()+b.retained.mu.dated.Len() {
			t.Errorf("%d bytes are counted as %d, %d expiring messages as %d", bytes, b.retained.mu.bytes, expiring, b.retained.mu.expiring.Len())
		}
		b.retained.mu.Unlock()
		kept := page(t, b, "#")
		for _, shown := range kept {
			topic, _, _ := strings.Cut(shown, "=")
			if strings.Contains(topic, "\x00") {
				t.Errorf("%q is served", shown)
			}
		}
		again := open(t, Options{Journal: journal.Reopen(true), Clock: clock})
		expect(t, page(t, again, "#"), kept...)
	})
}

// A time to live is as long as was said wherever the wall is set meanwhile, and no longer across a restart; a date follows
// the wall.
func TestRetainedBesideStepsOfTheWall(t *testing.T) {
	const day = 24 * time.Hour
	until := func(b *Broker, topic string, at time.Time) {
		t.Helper()
		if _, _, err := b.NewBatch(0).Retain([]byte(topic), []byte("x"), Until(at.UnixMilli()), false); err != nil {
			t.Fatal(err)
		}
	}
	for _, compacted := range []bool{false, true} {
		clock, journal := brokertest.NewClock(epoch), brokertest.NewJournal()
		b := open(t, Options{Journal: journal, Clock: clock, Durability: brokers.Always})
		retain(t, b, "for", "x", time.Minute)
		until(b, "until", epoch.Add(time.Minute))
		until(b, "tomorrow", epoch.Add(day))
		clock.Step(day)
		expect(t, page(t, b, "#"), "for=x(60000)")
		until(b, "past", epoch.Add(day-time.Second))
		expect(t, page(t, b, "#"), "for=x(60000)")
		clock.Advance(time.Minute - time.Millisecond)
		if b.Stats().Expired != 2 {
			t.Errorf("a date that has come is not noticed: %+v", b.Stats())
		}
		expect(t, page(t, b, "#"), "for=x(1)")
		clock.Step(-2 * day)
		until(b, "until", epoch.Add(time.Minute-day+time.Second))
		expect(t, page(t, b, "#"), "for=x(1)", "until=x(1001)")
		clock.Advance(time.Millisecond)
		expect(t, page(t, b, "#"), "until=x(1000)")

		retain(t, b, "for", "x", time.Minute)
		clock.Advance(time.Second)
		expect(t, page(t, b, "#"), "for=x(59000)")
		if compacted {
			finish, err := journal.Cut()
			if err != nil {
				t.Fatal(err)
			}
			b.retained.mu.Lock()
			snapshot, now := b.retained.mu.messages.Copy(), b.clock.Now()
			b.retained.mu.Unlock()
			if err := finish(func(emit brokers.Emit) error { return dump(snapshot, now, emit) }); err != nil {
				t.Fatal(err)
			}
		}
		b.Close()
		clock.Step(-day) // while the server is down
		b = open(t, Options{Journal: journal.Reopen(true), Clock: clock, Durability: brokers.Always})
		expect(t, page(t, b, "#"), map[bool]string{false: "for=x(60000)", true: "for=x(59000)"}[compacted])
		clock.Step(2 * day)
		clock.Advance(30 * time.Second)
		b.Close()
	}
}
