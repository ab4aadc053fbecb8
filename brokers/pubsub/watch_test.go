package pubsub

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// watched keeps what a watch is shown.
type watched struct {
	mu  sync.Mutex
	got []string
}

func (w *watched) see(topic, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, string(topic)+"="+string(payload))
}

func (w *watched) replay(c *Cursor) {
	for {
		topic, payload, ok := c.Next()
		if !ok {
			return
		}
		w.see(topic, payload)
	}
}

func TestWatchCountsNowhere(t *testing.T) {
	b := open(t, Options{})
	batch := b.NewBatch(1)
	if _, _, err := batch.Retain([]byte("a/kept"), []byte("0"), 0, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := batch.Retain([]byte("c/kept"), []byte("0"), 0, false); err != nil {
		t.Fatal(err)
	}
	other := &collector{}
	b.Subscribe(&Subscription{Subscriber: other, Kind: Filter, Name: "b/#"}, nil)
	before := b.Stats()
	var w watched
	stop, err := b.Watch("a/#", w.replay, w.see)
	if err != nil {
		t.Fatal(err)
	}
	var all watched
	stopAll, err := b.Watch("#", all.replay, all.see)
	if err != nil {
		t.Fatal(err)
	}
	for i, topic := range []string{"a", "a/b", "b/c", "a/b", "$SYS/x", "a\x00b"} {
		want := 0
		if topic == "b/c" {
			want = 1
		}
		if got := batch.Publish([]byte(topic), fmt.Append(nil, i+1), false); got != want {
			t.Errorf("%s reaches %d, want %d", topic, got, want)
		}
	}
	batch.PublishShard([]byte("a/shard"), []byte("x"))
	if n, _, err := batch.Retain([]byte("a/kept"), []byte("7"), 0, false); n != 0 || err != nil {
		t.Errorf("retaining reaches %d, %v", n, err)
	}
	batch.Flush()
	after := b.Stats()
	if after.Published-before.Published != 8 || after.Delivered-before.Delivered != 1 {
		t.Errorf("%+v, before %+v", after, before)
	}
	before.Published, before.Delivered = after.Published, after.Delivered
	if after != before {
		t.Errorf("a watch is counted: %+v, before %+v", after, before)
	}
	if topics, _, err := b.TopicsPage("#", "", 100); err != nil || len(topics) != 2 || topics[0].Subscribers != 0 {
		t.Errorf("topics %+v, %v", topics, err)
	}
	if want := []string{"a/kept=0", "a=1", "a/b=2", "a/b=4", "a/kept=7"}; !slices.Equal(w.got, want) {
		t.Errorf("a/# saw %q, want %q", w.got, want)
	}
	if want := []string{"a/kept=0", "c/kept=0", "a=1", "a/b=2", "b/c=3", "a/b=4", "a/kept=7"}; !slices.Equal(all.got, want) {
		t.Errorf("# saw %q, want %q", all.got, want)
	}
	stop()
	stop()
	batch.Publish([]byte("a/b"), []byte("8"), false)
	if len(w.got) != 5 || len(all.got) != 8 {
		t.Errorf("after the end: %q and %q", w.got, all.got)
	}
	stopAll()
	if b.watches.Load() != nil {
		t.Error("a watch is left")
	}
	if _, err := b.Watch("a/#/b", nil, nil); err == nil {
		t.Error("a wrong filter was taken")
	}
}

// Watches that come and go see every retained value from one on, each once.
func TestWatchMissesNoRetainedMessage(t *testing.T) {
	b := open(t, Options{})
	const last = 2000
	published := make(chan struct{})
	go func() {
		defer close(published)
		batch := b.NewBatch(1)
		for i := range last {
			if _, _, err := batch.Retain([]byte("n"), fmt.Append(nil, i+1), 0, false); err != nil {
				t.Error(err)
			}
		}
	}()
	var list []*watched
	var stops []func()
	for running := true; running; {
		select {
		case <-published:
			running = false
		default:
			w := &watched{}
			stop, err := b.Watch("#", w.replay, w.see)
			if err != nil {
				t.Fatal(err)
			}
			if list, stops = append(list, w), append(stops, stop); len(list) == 50 {
				<-published
				running = false
			}
		}
	}
	for i, w := range list {
		stops[i]()
		if len(w.got) == 0 {
			continue // it began when all was over, or before anything was
		}
		var first int
		_, _ = fmt.Sscanf(w.got[0], "n=%d", &first)
		for k, got := range w.got {
			if want := fmt.Sprintf("n=%d", first+k); got != want {
				t.Fatalf("watch %d: message %d is %s, want %s", i, k, got, want)
			}
		}
		if first+len(w.got)-1 != last {
			t.Errorf("watch %d ended with %s", i, w.got[len(w.got)-1])
		}
	}
}
