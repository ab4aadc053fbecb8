package ui

import (
	"time"
)

// pointsMax is fifteen minutes of seconds.
const pointsMax = 900

// Point is one second of the server. Rates are per second, latencies microseconds.
type Point struct {
	At       int64       `json:"at"`
	Store    StorePoint  `json:"store"`
	PubSub   PubSubPoint `json:"pubsub"`
	Queue    QueuePoint  `json:"queue"`
	Stream   StreamPoint `json:"stream"`
	Clients  int64       `json:"clients"`
	Memory   int64       `json:"memory"`
	Disk     int64       `json:"disk"`
	Ops      float64     `json:"ops"`
	FsyncP99 int64       `json:"fsyncP99"`
}

// StorePoint is the store's part of a Point.
type StorePoint struct {
	Ops    float64 `json:"ops"`
	Hits   float64 `json:"hits"`
	Misses float64 `json:"misses"`
	Keys   int     `json:"keys"`
	P50    int64   `json:"p50"`
	P99    int64   `json:"p99"`
}

// PubSubPoint is the bus' part.
type PubSubPoint struct {
	In       float64 `json:"in"`
	Out      float64 `json:"out"`
	Subs     int64   `json:"subs"`
	Retained int64   `json:"retained"`
}

// QueuePoint is the sum of all queues.
type QueuePoint struct {
	Pushed   float64 `json:"pushed"`
	Popped   float64 `json:"popped"`
	Acked    float64 `json:"acked"`
	Failed   float64 `json:"failed"`
	Ready    int     `json:"ready"`
	Inflight int     `json:"inflight"`
	Dead     int     `json:"dead"`
	Queues   int     `json:"queues"`
}

// StreamPoint is the sum of all streams.
type StreamPoint struct {
	Appended float64 `json:"appended"`
	Read     float64 `json:"read"`
	Acked    float64 `json:"acked"`
	Streams  int     `json:"streams"`
	Lag      uint64  `json:"lag"`
}

// sample is what was collected at one moment, with the rates since the one before. It is never changed once made.
type sample struct {
	at      time.Time
	totals  Totals
	queues  []Queue
	streams []Stream
	point   Point

	queueAt, streamAt map[string]int // name to index
}

// staleAfter is how old the sample before may be for a rate to mean "now".
const staleAfter = 5 * time.Second

// collect asks the source once for everything that the state topics show.
func collect(source Source, now time.Time, before *sample) *sample {
	s := &sample{at: now, totals: source.Totals(), queues: source.Queues(), streams: source.Streams()}
	s.queueAt, s.streamAt = make(map[string]int, len(s.queues)), make(map[string]int, len(s.streams))
	seconds := 0.0
	if before != nil && now.Sub(before.at) < staleAfter {
		seconds = now.Sub(before.at).Seconds()
	}
	// A counter smaller than before belongs to something made anew.
	rate := func(now, then uint64) float64 {
		if seconds <= 0 || now < then {
			return 0
		}
		return float64(now-then) / seconds
	}
	p := Point{At: now.UnixMilli(), Clients: s.totals.Connected, Memory: s.totals.Memory, Disk: s.totals.Disk}
	for i := range s.queues {
		q := &s.queues[i]
		s.queueAt[q.Name] = i
		if old := before.queue(q.Name); old != nil {
			q.Rates = Rates{Push: rate(q.Counts.Pushed, old.Counts.Pushed), Pop: rate(q.Counts.Popped, old.Counts.Popped),
				Ack: rate(q.Counts.Acked, old.Counts.Acked), Fail: rate(q.Counts.Failed, old.Counts.Failed)}
		} else {
			q.Rates = Rates{Push: rate(q.Counts.Pushed, 0), Pop: rate(q.Counts.Popped, 0), Ack: rate(q.Counts.Acked, 0), Fail: rate(q.Counts.Failed, 0)}
		}
		p.Queue.Pushed += q.Push
		p.Queue.Popped += q.Pop
		p.Queue.Acked += q.Ack
		p.Queue.Failed += q.Fail
		p.Queue.Ready += q.Ready
		p.Queue.Inflight += q.Inflight
		p.Queue.Dead += q.Dead
	}
	for i := range s.streams {
		t := &s.streams[i]
		s.streamAt[t.Name] = i
		var then uint64
		if old := before.stream(t.Name); old != nil {
			then = old.Appended
		}
		t.AppendRate = rate(t.Appended, then)
		p.Stream.Appended += t.AppendRate
		p.Stream.Lag += t.Lag
	}
	p.Queue.Queues, p.Stream.Streams = len(s.queues), len(s.streams)
	p.Store.Keys, p.PubSub.Subs, p.PubSub.Retained = s.totals.Keys, s.totals.Subscriptions, s.totals.Retained
	if before != nil {
		a, b := s.totals, before.totals
		p.Ops = rate(a.Commands, b.Commands)
		p.Store.Ops, p.Store.Hits, p.Store.Misses = rate(a.StoreCommands, b.StoreCommands), rate(a.Hits, b.Hits), rate(a.Misses, b.Misses)
		p.Store.P50, p.Store.P99 = quantile(a.StoreLatency, b.StoreLatency, 0.5), quantile(a.StoreLatency, b.StoreLatency, 0.99)
		p.FsyncP99 = quantile(a.FsyncLatency, b.FsyncLatency, 0.99)
		p.PubSub.In, p.PubSub.Out = rate(a.Published, b.Published), rate(a.Delivered, b.Delivered)
		p.Stream.Read, p.Stream.Acked = rate(a.StreamRead, b.StreamRead), rate(a.StreamAcked, b.StreamAcked)
	}
	s.point = p
	return s
}

func (s *sample) queue(name string) *Queue {
	if s == nil {
		return nil
	}
	if i, found := s.queueAt[name]; found {
		return &s.queues[i]
	}
	return nil
}

func (s *sample) stream(name string) *Stream {
	if s == nil {
		return nil
	}
	if i, found := s.streamAt[name]; found {
		return &s.streams[i]
	}
	return nil
}

// quantile is the upper bound of the bucket that holds the given part of the samples between two readings; 0 when there are none.
func quantile(now, then Latency, part float64) int64 {
	var total uint64
	since := make([]uint64, len(now.Counts))
	for i := range now.Counts {
		since[i] = now.Counts[i]
		if i < len(then.Counts) {
			since[i] -= min(then.Counts[i], since[i])
		}
		total += since[i]
	}
	if total == 0 {
		return 0
	}
	wanted := uint64(part * float64(total))
	for i, n := range since {
		if n > wanted {
			return now.Bound(i)
		}
		wanted -= n
	}
	return now.Bound(len(since) - 1)
}
