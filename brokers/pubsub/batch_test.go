package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func subscribe(b *Broker, kind Kind, name string) (*collector, *Subscription) {
	c := &collector{}
	sub := &Subscription{Subscriber: c, Kind: kind, Name: name}
	b.Subscribe(sub, nil)
	return c, sub
}

func TestBatchGathersRuns(t *testing.T) {
	b := open(t, Options{})
	exact, _ := subscribe(b, Channel, "a/1")
	wild, _ := subscribe(b, Filter, "a/+")
	glob, _ := subscribe(b, Glob, "a/[12]")
	batch := b.NewBatch(1)
	topic, payload := []byte("a/1"), []byte("x0")
	for i := range 3 {
		payload[1] = byte('0' + i)
		if n := batch.Publish(topic, payload, false); n != 3 {
			t.Fatalf("%d receivers", n)
		}
	}
	copy(topic, "a/2")
	payload[1] = '3'
	for range 2 {
		if n := batch.Publish(topic, payload, false); n != 2 {
			t.Fatalf("%d receivers", n)
		}
	}
	if n := batch.Publish([]byte("b"), payload, false); n != 0 {
		t.Fatalf("%d receivers", n)
	}
	copy(topic, "zzz") // the batch has copied
	if len(exact.take()) != 0 {
		t.Fatal("delivered before the flush")
	}
	batch.Flush()
	batch.Flush()
	if exact.runs != 1 || wild.runs != 2 || glob.runs != 2 {
		t.Fatalf("runs %d %d %d", exact.runs, wild.runs, glob.runs)
	}
	five := []string{"a/1=x0", "a/1=x1", "a/1=x2", "a/2=x3", "a/2=x3"}
	if got := exact.take(); !slices.Equal(got, five[:3]) {
		t.Errorf("got %q", got)
	}
	if got := wild.take(); !slices.Equal(got, five) {
		t.Errorf("got %q", got)
	}
	if got := glob.take(); !slices.Equal(got, five) {
		t.Errorf("got %q", got)
	}
}

// TestRunSpansTopics publishes to different topics that only one filter matches: they form one run.
func TestRunSpansTopics(t *testing.T) {
	b := open(t, Options{})
	c, _ := subscribe(b, Filter, "a/#")
	batch := b.NewBatch(1)
	var want []string
	for i := range 100 {
		topic := fmt.Sprintf("a/%d", i)
		batch.Publish([]byte(topic), []byte("x"), false)
		want = append(want, topic+"=x")
	}
	batch.Flush()
	if c.runs != 1 {
		t.Errorf("%d runs", c.runs)
	}
	if got := c.take(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestBatchFlushesItself(t *testing.T) {
	b := open(t, Options{})
	c, _ := subscribe(b, Channel, "a")
	batch := b.NewBatch(1)
	for range 3 * batchMessagesMax {
		batch.Publish([]byte("a"), nil, false)
	}
	if got := len(c.take()); got < 2*batchMessagesMax {
		t.Errorf("%d messages came without a flush", got)
	}
	if len(batch.spans) > batchMessagesMax {
		t.Errorf("%d messages are held", len(batch.spans))
	}
}

func TestBinaryChannel(t *testing.T) {
	b := open(t, Options{})
	for _, name := range []string{"", "a/+", "#", "\xff\x00", "a\x00b"} {
		exact, sub := subscribe(b, Channel, name)
		all, allSub := subscribe(b, Filter, "#")
		batch := b.NewBatch(1)
		if n := batch.Publish([]byte(name), []byte("x"), false); n != 1 {
			t.Errorf("%q: %d receivers", name, n)
		}
		batch.Flush()
		if len(exact.take()) != 1 || len(all.take()) != 0 {
			t.Errorf("%q: a filter matched what is no topic, or the channel got nothing", name)
		}
		b.Unsubscribe(sub)
		b.Unsubscribe(allSub)
	}
}

func TestNoLocalAndNoEcho(t *testing.T) {
	b := open(t, Options{})
	own, other := &collector{}, &collector{}
	for _, name := range []string{"a", "+"} {
		b.Subscribe(&Subscription{Subscriber: own, Owner: 7, Kind: Filter, Name: name, NoLocal: true}, nil)
		b.Subscribe(&Subscription{Subscriber: other, Owner: 8, Kind: Filter, Name: name}, nil)
	}
	for _, step := range []struct {
		owner      uint64
		noEcho     bool
		n, own, to int
	}{{7, false, 2, 0, 2}, {8, false, 4, 2, 2}, {8, true, 2, 2, 0}, {9, true, 4, 2, 2}} {
		batch := b.NewBatch(step.owner)
		if n := batch.Publish([]byte("a"), []byte("x"), step.noEcho); n != step.n {
			t.Errorf("%+v: %d receivers", step, n)
		}
		batch.Flush()
		if got, to := len(own.take()), len(other.take()); got != step.own || to != step.to {
			t.Errorf("%+v: %d and %d", step, got, to)
		}
	}
}

// TestSharedGroup checks that each message goes to exactly one living member, in turn, whoever else listens.
func TestSharedGroup(t *testing.T) {
	b := open(t, Options{})
	members := make([]*collector, 3)
	subs := make([]*Subscription, 3)
	for i := range members {
		members[i] = &collector{}
		subs[i] = &Subscription{Subscriber: members[i], Owner: uint64(i + 1), Kind: Filter, Name: "jobs/+", Group: "g"}
		b.Subscribe(subs[i], func(*Cursor) { t.Error("a shared group was given retained messages") })
	}
	plain, _ := subscribe(b, Channel, "jobs/1")
	batch := b.NewBatch(99)
	send := func(n int, noEcho bool, want int) {
		t.Helper()
		for i := range n {
			if got := batch.Publish([]byte("jobs/1"), []byte{byte(i)}, noEcho); got != want {
				t.Fatalf("%d receivers", got)
			}
		}
		batch.Flush()
	}
	send(30, false, 2)
	for _, m := range members {
		if got := len(m.take()); got != 10 {
			t.Errorf("a member got %d of 30", got)
		}
	}
	members[1].gone = true // dead, not yet unsubscribed
	send(30, false, 2)
	if got := len(members[0].take()) + len(members[2].take()); got != 30 {
		t.Errorf("the living got %d of 30", got)
	}
	b.Unsubscribe(subs[1])
	send(30, false, 2)
	if a, c := len(members[0].take()), len(members[2].take()); a != 15 || c != 15 {
		t.Errorf("the living got %d and %d of 30", a, c)
	}
	batch.owner = 1
	send(4, true, 2)
	if a, c := len(members[0].take()), len(members[2].take()); a != 0 || c != 4 {
		t.Errorf("no-echo: %d to itself, %d to the other", a, c)
	}
	b.Unsubscribe(subs[2])
	send(4, true, 1)
	b.Unsubscribe(subs[0])
	send(4, false, 1)
	if got := len(plain.take()); got != 102 {
		t.Errorf("beside the group came %d of 102", got)
	}
	if b.Patterns() != 0 || b.wild.mu.nodes != 0 {
		t.Errorf("%d names and %d nodes are left", b.Patterns(), b.wild.mu.nodes)
	}
}

// TestChurn subscribes and unsubscribes wildcards while another goroutine publishes: stable subscriptions lose nothing,
// a view that is in use is never changed, and nothing is left behind.
func TestChurn(t *testing.T) {
	b := open(t, Options{})
	stable := map[string]*collector{}
	var subs []*Subscription
	for _, name := range []string{"x/1", "x/+", "#", "x/#"} {
		c, sub := subscribe(b, Filter, name)
		stable[name], subs = c, append(subs, sub)
	}
	const messages = 20000
	var done, started sync.WaitGroup
	stop := make(chan struct{})
	for g := range 4 {
		done.Add(1)
		started.Add(1)
		go func() {
			defer done.Done()
			for round := 0; ; round++ {
				var mine []*Subscription
				for i, name := range []string{"x/+", "x/1", fmt.Sprintf("x/%d/#", g), "+/+", fmt.Sprintf("y/%d/+", round), "x/*"} {
					kind := Filter
					if i == 5 {
						kind = Glob
					}
					_, sub := subscribe(b, kind, name)
					mine = append(mine, sub)
				}
				for _, sub := range mine {
					if !b.Unsubscribe(sub) {
						t.Error("a subscription was not found")
					}
				}
				if round == 0 {
					started.Done()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	started.Wait()
	batch := b.NewBatch(1)
	for i := range messages {
		batch.Publish([]byte("x/1"), []byte(fmt.Sprint(i)), false)
		if i%16 == 15 {
			batch.Flush()
		}
	}
	batch.Flush()
	close(stop)
	done.Wait()
	for name, c := range stable {
		got := c.take()
		if len(got) != messages {
			t.Errorf("%q got %d of %d", name, len(got), messages)
			continue
		}
		for i, m := range got {
			if m != fmt.Sprintf("x/1=%d", i) {
				t.Fatalf("%q: message %d is %q", name, i, m)
			}
		}
	}
	for _, sub := range subs {
		b.Unsubscribe(sub)
	}
	stats := b.Stats()
	if b.wild.mu.nodes != 0 || stats.Patterns != 0 || stats.Channels != 0 || stats.Subscriptions != 0 {
		t.Errorf("%d nodes are left, %+v", b.wild.mu.nodes, stats)
	}
}

func TestResultCacheIsBounded(t *testing.T) {
	b := open(t, Options{})
	c, sub := subscribe(b, Filter, "t/+")
	batch := b.NewBatch(1)
	for i := range 40000 {
		if batch.Publish([]byte(fmt.Sprintf("t/%d", i)), nil, false) != 1 {
			t.Fatal("not matched")
		}
	}
	batch.Publish([]byte("t/"+strings.Repeat("x", cachedNameMax)), nil, false)
	batch.Flush()
	cached := 0
	for i := range b.channels.shards {
		for name := range b.channels.shards[i].mu.results {
			cached++
			if len(name) > cachedNameMax {
				t.Error("a long name is cached")
			}
		}
	}
	if cached > shardCount*cachedPerShard {
		t.Errorf("%d results are cached", cached)
	}
	if got := len(c.take()); got != 40001 {
		t.Errorf("got %d", got)
	}
	b.Unsubscribe(sub)
	if batch.Publish([]byte("t/1"), nil, false) != 0 {
		t.Error("a cached result outlived its subscription")
	}
}

func TestShardSpace(t *testing.T) {
	b := open(t, Options{})
	shard, _ := subscribe(b, Shard, "a")
	channel, _ := subscribe(b, Channel, "a")
	subscribe(b, Glob, "*")
	batch := b.NewBatch(1)
	if n := batch.PublishShard([]byte("a"), []byte("1")); n != 1 {
		t.Errorf("%d receivers", n)
	}
	if n := batch.Publish([]byte("a"), []byte("2"), false); n != 2 {
		t.Errorf("%d receivers", n)
	}
	batch.Flush()
	if got := shard.take(); !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("shard got %q", got)
	}
	if got := channel.take(); !slices.Equal(got, []string{"a=2"}) {
		t.Errorf("channel got %q", got)
	}
}

func TestPublishAllocatesNothing(t *testing.T) {
	b := open(t, Options{})
	b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Filter, Name: "a/#"}, nil)
	b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Channel, Name: "a/1"}, nil)
	batch := b.NewBatch(1)
	topics := [][]byte{[]byte("a/1"), []byte("a/2"), []byte("b")}
	payload := []byte("payload")
	if n := testing.AllocsPerRun(1000, func() {
		for _, topic := range topics {
			batch.Publish(topic, payload, false)
			batch.Publish(topic, payload, false)
		}
		batch.Flush()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type discard struct{}

func (discard) Deliver(*Run, *Subscription) bool { return true }

// BenchmarkPublish shows that filters and patterns that do not match cost a publish nothing.
func BenchmarkPublish(bench *testing.B) {
	for _, unrelated := range []int{0, 100000} {
		bench.Run(fmt.Sprintf("unrelated=%d", unrelated), func(bench *testing.B) {
			b := open(bench, Options{})
			for i := range unrelated {
				b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Filter, Name: fmt.Sprintf("dev/%d/+", i)}, nil)
				b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Glob, Name: fmt.Sprintf("user:%d:*", i)}, nil)
			}
			b.Subscribe(&Subscription{Subscriber: discard{}, Kind: Filter, Name: "a/#"}, nil)
			batch := b.NewBatch(1)
			topics := make([][]byte, 64)
			for i := range topics {
				topics[i] = []byte(fmt.Sprintf("a/%d", i))
			}
			payload := make([]byte, 128)
			bench.ReportAllocs()
			for i := 0; bench.Loop(); i++ {
				batch.Publish(topics[i%64], payload, false)
				if i%64 == 63 {
					batch.Flush()
				}
			}
		})
	}
}
