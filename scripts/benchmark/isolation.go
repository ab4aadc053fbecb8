package main

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	floodClients  = 16
	floodPipeline = 16
	replayers     = 2
	// The stream that is replayed is larger than the log that nexo compacts by itself (64 MiB), so the pages come from the
	// files and from memory in turn.
	replayEntries = 800_000
)

// besideFlood is a p99 in milliseconds and the rate that the flood beside it reached.
type besideFlood struct{ p99, flood float64 }

func p99(f besideFlood) float64       { return f.p99 }
func floodRate(f besideFlood) float64 { return f.flood }

// flood measures how long a publish takes while the queue is flooded, against the same publish while the same clients
// send PING: what remains is what the brokers do to each other, not what a busy machine does to both. PING is sent in
// two ways: as fast as the replies come, and at the rate that the flood reached, which is the stricter peer.
func (b *bench) flood() error {
	push := pipelineOf(floodPipeline, "QPUSH", "flood", payload128)
	ping := pipelineOf(floodPipeline, "PING", payload128)
	publishing := func(batch []byte, pace func(*server) float64) func(*server) (besideFlood, error) {
		return func(s *server) (besideFlood, error) {
			if err := s.send("QDROP", "flood"); err != nil {
				return besideFlood{}, err
			}
			return b.beside(s, floodClients, floodWith(batch, floodPipeline, pace(s)/floodClients), "publish")
		}
	}
	unpaced := func(*server) float64 { return 0 }
	r, err := runRace(b, publishing(push, unpaced), publishing(ping, unpaced), nil)
	if err != nil {
		return err
	}
	b.report.add(r.row(fmt.Sprintf("publish to receive p99 while %d clients x %d send durable QPUSH (%s) vs PING (%s)", floodClients,
		floodPipeline, medianRate(r.nexo), medianRate(r.peer)), p99, milliseconds, below(2)))
	paces := map[*server]float64{b.nexo: median(pick(r.nexo, floodRate))}
	if b.otherNexo != nil {
		paces[b.otherNexo] = median(pick(r.other, floodRate))
	}
	paced := func(s *server) float64 { return paces[s] }
	r, err = runRace(b, publishing(push, unpaced), publishing(ping, paced), nil)
	if err != nil {
		return err
	}
	b.report.add(r.row(fmt.Sprintf("the same, PING paced to the rate of the pushes (%s)", medianRate(r.peer)), p99, milliseconds, bar{}))
	return nil
}

func medianRate(results []besideFlood) string { return rate(median(pick(results, floodRate))) }

// besideReplay measures single commands while two clients replay a stream as fast as they can: reads and publishes against the
// same while those clients send PING, durable appends against the same on a server that does nothing else.
func (b *bench) besideReplay() error {
	for _, s := range b.nexos() {
		if err := s.fillStream(max(replayEntries/b.divide, 10_000)); err != nil {
			return err
		}
		if err := s.send("SET", "isolation", payload128[:64]); err != nil {
			return err
		}
	}
	ping := pipelineOf(floodPipeline, "PING", payload128)
	for _, work := range []struct {
		probe, name string
		alone       bool
		wanted      bar
	}{
		{"get", "GET", false, belowInMost(2)},
		{"publish", "publish to receive", false, bar{}},
		{"append", "XAPPEND", true, below(3)},
		{"push", "QPUSH", true, below(3)},
	} {
		during := func(s *server) (besideFlood, error) { return b.beside(s, replayers, replayStream, work.probe) }
		peer := func(s *server) (besideFlood, error) {
			return b.beside(s, replayers, floodWith(ping, floodPipeline, 0), work.probe)
		}
		if work.alone {
			peer = func(s *server) (besideFlood, error) {
				p99, err := b.probe(s, work.probe)
				return besideFlood{p99: p99}, err
			}
		}
		r, err := runRace(b, during, peer, nil)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s p99 while %d clients replay (%s entries) vs ", work.name, replayers, medianRate(r.nexo))
		if work.alone {
			name += "alone"
		} else {
			name += fmt.Sprintf("send PING (%s)", medianRate(r.peer))
		}
		b.report.add(r.row(name, p99, milliseconds, work.wanted))
	}
	return nil
}

// fillStream makes the stream that is replayed, and waits until the server has put it away.
func (s *server) fillStream(entries int) error {
	const batch = 1000
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.do("XDROP", "replay"); err != nil {
		return err
	}
	words := []string{"XMAPPEND", "replay", strconv.Itoa(batch)}
	for range batch {
		words = append(words, payload128)
	}
	for range entries / batch {
		if _, err := c.do(words...); err != nil {
			return err
		}
	}
	return s.settle()
}

// replayStream reads the stream from its first entry to its last, again and again.
func replayStream(c *client, stop *atomic.Bool, done *atomic.Int64) error {
	position := "first"
	for !stop.Load() {
		if _, err := c.Write(encode(nil, "XFETCH", "replay", position, "COUNT", "1000")); err != nil {
			return err
		}
		// The page's head is read, its entries are skipped: taking them apart would cost the processor time that the
		// probe beside it needs.
		var head [5]int // 4 elements, next, high, skipped, entries
		for i := range head {
			kind, body, err := c.line()
			if err == nil && kind == '-' {
				err = fmt.Errorf("XFETCH answered -%s", body)
			}
			if err == nil {
				head[i], err = strconv.Atoi(body)
			}
			if err != nil {
				return err
			}
		}
		next, high, entries := head[1], head[2], head[4]
		if err := c.skip(entries); err != nil {
			return err
		}
		done.Add(int64(entries))
		position = strconv.Itoa(next)
		if entries == 0 || next > high {
			position = "first"
		}
	}
	return nil
}

// flooding is what a client does until it is told to stop; it counts what is done.
type flooding func(c *client, stop *atomic.Bool, done *atomic.Int64) error

// floodWith sends a batch again and again, each after the replies to the one before, at most perSecond commands a second
// when that is not 0.
func floodWith(batch []byte, size int, perSecond float64) flooding {
	return func(c *client, stop *atomic.Bool, done *atomic.Int64) error {
		began, sent := time.Now(), 0
		for !stop.Load() {
			if perSecond > 0 {
				due := began.Add(time.Duration(float64(sent) / perSecond * float64(time.Second)))
				time.Sleep(time.Until(due))
			}
			if _, err := c.Write(batch); err != nil {
				return err
			}
			if err := c.skip(size); err != nil {
				return err
			}
			sent += size
			done.Add(int64(size))
		}
		return nil
	}
}

// beside probes while n clients run the flood, from when it has begun.
func (b *bench) beside(s *server, n int, f flooding, what string) (besideFlood, error) {
	clients, err := dialAll(s, n)
	if err != nil {
		return besideFlood{}, err
	}
	defer closeAll(clients)
	var stop atomic.Bool
	var done atomic.Int64
	ended := make(chan error, 1)
	go func() { ended <- each(clients, func(_ int, c *client) error { return f(c, &stop, &done) }) }()
	for deadline := time.Now().Add(limit); done.Load() < int64(n*floodPipeline); time.Sleep(time.Millisecond) {
		select {
		case err := <-ended:
			return besideFlood{}, fmt.Errorf("the flood ended before it was to stop: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			return besideFlood{}, fmt.Errorf("the flood did not begin within %v", limit)
		}
	}
	began, before := time.Now(), done.Load()
	p99, err := b.probe(s, what)
	during := done.Load() - before
	result := besideFlood{p99: p99, flood: float64(during) / time.Since(began).Seconds()}
	if err == nil && during == 0 {
		err = errors.New("the flood stood still while it was measured beside")
	}
	stop.Store(true)
	return result, errors.Join(err, <-ended)
}

// pipelineOf encodes a command n times.
func pipelineOf(n int, words ...string) []byte {
	var batch []byte
	for range n {
		batch = encode(batch, words...)
	}
	return batch
}
