package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	floodClients  = 16
	floodPipeline = 16
	probeInterval = time.Millisecond
)

// isolation measures how long one broker's work takes while another one is flooded, against the same work while the same
// clients send PING: what remains is what the brokers do to each other, not what a busy machine does to both. PING is
// sent in two ways: as fast as the replies come, and at the rate that the flood reached, which is the stricter peer.
func (b *bench) isolation() error {
	payload := strings.Repeat("x", 128)
	push := pipelineOf(floodPipeline, "QPUSH", "flood", payload)
	ping := pipelineOf(floodPipeline, "PING", payload)
	publishing := func(flood []byte, perSecond *float64, pace float64) func() (float64, error) {
		return func() (float64, error) {
			if err := b.command("QDROP", "flood"); err != nil {
				return 0, err
			}
			return b.beside(floodClients, floodWith(flood, floodPipeline, pace/floodClients), perSecond, b.publishLatencies)
		}
	}
	var pushRate, pingRate float64
	quiet, err := b.publishLatencies()
	if err != nil {
		return err
	}
	b.report.add("publish to receive p99, no other load", milliseconds(percentile(quiet, 99)), "-", "-", "-")
	during, beside, ratio, err := paired(b.rounds, publishing(push, &pushRate, 0), publishing(ping, &pingRate, 0))
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("publish to receive p99 while %d clients x %d send durable QPUSH (%s) vs PING (%s)",
		floodClients, floodPipeline, rate(pushRate), rate(pingRate)), milliseconds(during), milliseconds(beside),
		fmt.Sprintf("%.2f", ratio), "< 2.0")
	during, beside, ratio, err = paired(b.rounds, publishing(push, &pushRate, 0), publishing(ping, &pingRate, pushRate))
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("the same, PING paced to the rate of the pushes (%s)", rate(pingRate)), milliseconds(during),
		milliseconds(beside), fmt.Sprintf("%.2f", ratio), "-")
	return b.replayIsolation(ping)
}

// replayIsolation measures GET while two clients replay a stream at full speed.
func (b *bench) replayIsolation(ping []byte) error {
	const replayers, batch = 2, 1000
	entries := 200_000 / b.scale
	filler, err := dial(b.nexo)
	if err != nil {
		return err
	}
	defer filler.Close()
	if _, err := filler.do("XDROP", "replay"); err != nil {
		return err
	}
	appendBatch := []string{"XMAPPEND", "replay", strconv.Itoa(batch)}
	for range batch {
		appendBatch = append(appendBatch, strings.Repeat("x", 128))
	}
	for range entries / batch {
		if _, err := filler.do(appendBatch...); err != nil {
			return err
		}
	}
	if _, err := filler.do("SET", "isolation", strings.Repeat("x", 64)); err != nil {
		return err
	}
	replay := func(c *client, stop *atomic.Bool, done *atomic.Int64) error {
		position := "first"
		for !stop.Load() {
			if _, err := c.Write(encode(nil, "XFETCH", "replay", position, "COUNT", "1000")); err != nil {
				return err
			}
			// The page's head is read, its entries are skipped: taking them apart would cost this process the time that the
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
	var replayRate, pingRate float64
	during, beside, ratio, err := paired(b.rounds,
		func() (float64, error) { return b.beside(replayers, replay, &replayRate, b.getLatencies) },
		func() (float64, error) {
			return b.beside(replayers, floodWith(ping, floodPipeline, 0), &pingRate, b.getLatencies)
		})
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("GET p99 while %d clients replay a stream (%s entries) vs send PING (%s)", replayers,
		rate(replayRate), rate(pingRate)), milliseconds(during), milliseconds(beside), fmt.Sprintf("%.2f", ratio), "< 2.0")
	return nil
}

func (b *bench) command(words ...string) error {
	c, err := dial(b.nexo)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.do(words...)
	return err
}

type flood func(c *client, stop *atomic.Bool, done *atomic.Int64) error

// floodWith sends a batch again and again, each after the replies to the one before, at most perSecond commands a second
// when that is not 0.
func floodWith(batch []byte, size int, perSecond float64) flood {
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

// beside measures latencies while n clients run the flood, and returns the p99 in milliseconds. perSecond becomes the
// rate that the flood reached.
func (b *bench) beside(n int, f flood, perSecond *float64, measure func() ([]time.Duration, error)) (float64, error) {
	clients, err := dialAll(b.nexo, n)
	if err != nil {
		return 0, err
	}
	defer closeAll(clients)
	var stop atomic.Bool
	var done atomic.Int64
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- each(clients, func(_ int, c *client) error { return f(c, &stop, &done) }) }()
	for deadline := began.Add(limit); done.Load() < int64(n*floodPipeline); time.Sleep(time.Millisecond) {
		select { // the flood must run before the measurement begins
		case err := <-ended:
			return 0, fmt.Errorf("the flood ended before it was to stop: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("the flood did not begin within %v", limit)
		}
	}
	latencies, err := measure()
	*perSecond = float64(done.Load()) / time.Since(began).Seconds()
	stop.Store(true)
	if floodErr := <-ended; err == nil {
		err = floodErr
	}
	return percentile(latencies, 99), err
}

func (b *bench) samples() int { return 3000 / b.scale }

// publishLatencies measures the time from a publish to its reception by one subscriber.
func (b *bench) publishLatencies() ([]time.Duration, error) {
	clients, err := dialAll(b.nexo, 2)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	publisher, subscriber := clients[0], clients[1]
	if _, err := subscriber.do("SUBSCRIBE", "bench/latency"); err != nil {
		return nil, err
	}
	message := encode(nil, "NPUB", "bench/latency", "x")
	return b.probe(func() (time.Duration, error) {
		began := time.Now()
		if _, err := publisher.Write(message); err != nil {
			return 0, err
		}
		if err := subscriber.skip(1); err != nil {
			return 0, err
		}
		return time.Since(began), publisher.skip(1)
	})
}

func (b *bench) getLatencies() ([]time.Duration, error) {
	c, err := dial(b.nexo)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	get := encode(nil, "GET", "isolation")
	return b.probe(func() (time.Duration, error) {
		began := time.Now()
		if _, err := c.Write(get); err != nil {
			return 0, err
		}
		err := c.skip(1)
		return time.Since(began), err
	})
}

// probe takes the samples one after the other, with a pause between them.
func (b *bench) probe(once func() (time.Duration, error)) ([]time.Duration, error) {
	var latencies []time.Duration
	for range b.samples() {
		latency, err := once()
		if err != nil {
			return nil, err
		}
		latencies = append(latencies, latency)
		time.Sleep(probeInterval)
	}
	return latencies, nil
}

// percentile returns the value, in milliseconds, that p percent of the latencies do not exceed.
func percentile(latencies []time.Duration, p int) float64 {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	index := min(len(latencies)*p/100, len(latencies)-1)
	return float64(latencies[index]) / float64(time.Millisecond)
}

func milliseconds(value float64) string { return fmt.Sprintf("%.2f ms", value) }

// pipelineOf encodes a command n times.
func pipelineOf(n int, words ...string) []byte {
	var batch []byte
	for range n {
		batch = encode(batch, words...)
	}
	return batch
}
