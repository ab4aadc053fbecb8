package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

const manyConnections = 50

// load is what redis-benchmark does to a server.
type load struct {
	connections, pipeline, threads, requests int
	words                                    []string
	clean                                    []string // is sent once before; nil is nothing
}

// throughput is what a load gave: commands per second, and the server's processor time of one in microseconds.
type throughput struct{ perSecond, processor float64 }

func perSecond(t throughput) float64 { return t.perSecond }
func processor(t throughput) float64 { return t.processor }

// run cleans up, and then runs the load.
func (l load) run(s *server) (throughput, error) {
	if l.clean != nil {
		if err := s.send(l.clean...); err != nil {
			return throughput{}, err
		}
	}
	var reached float64
	used, err := s.during(func() (err error) {
		if l.threads > 1 {
			reached, err = s.countedRate(l)
		} else {
			reached, err = l.redisBenchmark(s)
		}
		return err
	})
	return throughput{reached, float64(used.Microseconds()) / float64(l.requests)}, err
}

// redisBenchmark returns the requests per second that redis-benchmark reports.
func (l load) redisBenchmark(s *server) (float64, error) {
	arguments := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-c", strconv.Itoa(l.connections),
		"-P", strconv.Itoa(l.pipeline), "-n", strconv.Itoa(l.requests), "-r", "100000", "--csv"}
	if l.threads > 1 {
		arguments = append(arguments, "--threads", strconv.Itoa(l.threads))
	}
	within, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	output, err := exec.CommandContext(within, "redis-benchmark", append(arguments, l.words...)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark %s against %s: %w\n%s", l.words[0], s.name, err, output)
	}
	// The table begins at its header line; anything before it is a warning.
	_, table, found := bytes.Cut(output, []byte(`"test","rps"`))
	if !found {
		return 0, fmt.Errorf("redis-benchmark %s against %s printed no table:\n%s", l.words[0], s.name, output)
	}
	_, table, _ = bytes.Cut(table, []byte("\n"))
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) < 2 {
		return 0, fmt.Errorf("redis-benchmark %s against %s printed %q: %w", l.words[0], s.name, table, err)
	}
	return strconv.ParseFloat(rows[0][1], 64)
}

// countedRate reads the rate from the server's own count of commands. With threads, redis-benchmark looks only every 250 ms
// whether it is done, so what it reports moves in steps of a tenth and more.
func (s *server) countedRate(l load) (float64, error) {
	c, err := dial(s)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	start, err := c.commandsProcessed()
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.redisBenchmark(s)
		ended <- err
	}()
	var first, last struct {
		at    time.Time
		count int64
	}
	for looks := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case err := <-ended:
			looks.Stop()
			if err == nil && last.count <= first.count {
				err = fmt.Errorf("%d commands were over before their rate could be read", l.requests)
			}
			return float64(last.count-first.count) / last.at.Sub(first.at).Seconds(), err
		case <-looks.C:
		}
		processed, err := c.commandsProcessed()
		if err != nil {
			<-ended
			return 0, err
		}
		// From the first tenth to the last: not while connections come and go.
		done := processed - start
		if first.at.IsZero() && done >= int64(l.requests)/10 {
			first.at, first.count = time.Now(), done
		}
		if done <= int64(l.requests)*9/10 {
			last.at, last.count = time.Now(), done
		}
	}
}

func (c *client) commandsProcessed() (int64, error) {
	reply, err := c.do("INFO", "stats")
	if err != nil {
		return 0, err
	}
	text, _ := reply.(string)
	_, rest, found := strings.Cut(text, "total_commands_processed:")
	if !found {
		return 0, fmt.Errorf("INFO stats has no total_commands_processed: %q", text)
	}
	digits, _, _ := strings.Cut(rest, "\r\n")
	return strconv.ParseInt(digits, 10, 64)
}

// bars are what a comparison is held to.
type bars struct{ perSecond, processor bar }

// compare measures a load against its counterpart and adds a row for the rate and one for the processor time.
func (b *bench) compare(peer *server, ours, theirs load, wanted bars) error {
	ours.requests = max(ours.requests/b.divide, 1000)
	theirs.requests = ours.requests
	r, err := runRace(b, ours.run, theirs.run, peer)
	if err != nil {
		return err
	}
	work := ours.words[0]
	if theirs.words[0] != work {
		work += " vs " + theirs.words[0]
	}
	work += fmt.Sprintf(", %d connections, pipeline %d", ours.connections, ours.pipeline)
	if ours.connections == 1 {
		work = strings.Replace(work, "connections", "connection", 1)
	}
	b.report.add(r.row(work, perSecond, rate, wanted.perSecond))
	b.report.add(r.row("- server CPU of each", processor, microseconds, wanted.processor))
	return nil
}

// counts of requests by pipeline depth: about a second or two each
var requestsAt = map[int]int{1: 100_000, 16: 800_000, 64: 1_600_000}

var (
	setWords = []string{"SET", "key:__rand_int__", strings.Repeat("x", 64)}
	getWords = []string{"GET", "key:__rand_int__"}
)

// wantedOfKeys are the bars of SET and GET with 50 connections, by pipeline depth.
var wantedOfKeys = map[int]bars{
	1:  {atLeast(0.95), atMost(1.05)},
	16: {perSecond: atLeast(1.25)},
	64: {perSecond: atLeast(1.9)},
}

func (b *bench) set() error { return b.keys(setWords) }

func (b *bench) get() error {
	if err := b.fill(); err != nil {
		return err
	}
	return b.keys(getWords)
}

// fill makes the keys: a GET that finds nothing would be measured otherwise.
func (b *bench) fill() error {
	for _, s := range append(b.nexos(), b.redis) {
		if _, err := (load{connections: manyConnections, pipeline: 64, requests: 800_000, words: setWords}).run(s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) keys(words []string) error {
	for _, pipeline := range []int{1, 16, 64} {
		l := load{connections: manyConnections, pipeline: pipeline, requests: requestsAt[pipeline], words: words}
		if err := b.compare(b.redis, l, l, wantedOfKeys[pipeline]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) connections() error {
	if err := b.fill(); err != nil {
		return err
	}
	for _, words := range [][]string{setWords, getWords} {
		for _, count := range []struct{ connections, requests int }{{1, 20_000}, {manyConnections, 100_000}, {1000, 100_000}} {
			l := load{connections: count.connections, pipeline: 1, requests: count.requests, words: words}
			wanted := bars{}
			if count.connections == manyConnections {
				wanted = wantedOfKeys[1]
			}
			if err := b.compare(b.redis, l, l, wanted); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) threads() error {
	if err := b.fill(); err != nil {
		return err
	}
	for _, words := range [][]string{setWords, getWords} {
		for _, pipeline := range []int{1, 16} {
			l := load{connections: manyConnections, pipeline: pipeline, threads: 2, requests: requestsAt[pipeline], words: words}
			if err := b.compare(b.redis, l, l, bars{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// durable compares an append that is answered after its fsync with one of redis-server's.
func (b *bench) durable(wanted map[int]bar, ours, theirs load) error {
	for _, pipeline := range []int{1, 16, 64} {
		for _, l := range []*load{&ours, &theirs} {
			l.connections, l.pipeline, l.requests = manyConnections, pipeline, requestsAt[pipeline]/2
		}
		if err := b.compare(b.redisAOF, ours, theirs, bars{perSecond: wanted[pipeline]}); err != nil {
			return err
		}
	}
	return nil
}

var payload128 = strings.Repeat("x", 128)

func (b *bench) stream() error {
	return b.durable(map[int]bar{1: atLeast(0.75), 16: atLeast(1.5), 64: atLeast(2)},
		load{clean: []string{"XDROP", "bench"}, words: []string{"XAPPEND", "bench", payload128}},
		load{clean: []string{"DEL", "bench"}, words: []string{"XADD", "bench", "*", "data", payload128}})
}

func (b *bench) queue() error {
	if err := b.durable(map[int]bar{1: atLeast(0.75), 16: atLeast(1.4), 64: atLeast(2)},
		load{clean: []string{"QDROP", "bench"}, words: []string{"QPUSH", "bench", payload128}},
		load{clean: []string{"DEL", "bench"}, words: []string{"LPUSH", "bench", payload128}}); err != nil {
		return err
	}
	var cycles []func() (float64, error)
	for _, s := range b.nexos() {
		cycles = append(cycles, func() (float64, error) { return jobCycles(s, 400_000/b.divide, payload128) })
	}
	results, err := alternate(b.rounds, cycles...)
	if err != nil {
		return err
	}
	line := row{work: fmt.Sprintf("QPOP COUNT 64 + QACK cycles, %d connections, jobs", manyConnections), nexo: rate(median(results[0])),
		judged: results[0], bar: atLeast(200_000).named(">= 200k/s")}
	if len(results) > 1 {
		line.other, line.gains = rate(median(results[1])), quotients(results[0], results[1])
	}
	b.report.add(line)
	return nil
}

// jobCycles fills a queue and has all connections pop and acknowledge it empty.
func jobCycles(s *server, jobs int, payload string) (perSecond float64, err error) {
	const consumers, batch = manyConnections, 1000
	filler, err := dial(s)
	if err != nil {
		return 0, err
	}
	defer filler.Close()
	if _, err := filler.do("QDROP", "cycles"); err != nil {
		return 0, err
	}
	push := []string{"QMPUSH", "cycles", strconv.Itoa(batch)}
	for range batch {
		push = append(push, payload)
	}
	jobs = jobs / batch * batch
	for range jobs / batch {
		if _, err := filler.do(push...); err != nil {
			return 0, err
		}
	}
	clients, err := dialAll(s, consumers)
	if err != nil {
		return 0, err
	}
	defer closeAll(clients)
	done := make([]int64, consumers)
	began := time.Now()
	err = each(clients, func(i int, c *client) error {
		for {
			n, err := c.cycle("cycles")
			if err != nil || n == 0 {
				return err
			}
			done[i] += n
		}
	})
	elapsed := time.Since(began)
	total := int64(0)
	for _, n := range done {
		total += n
	}
	if err == nil && total != int64(jobs) {
		err = fmt.Errorf("%d jobs were acknowledged of %d pushed", total, jobs)
	}
	return float64(total) / elapsed.Seconds(), err
}

// cycle pops up to 64 jobs, acknowledges them and returns how many were.
func (c *client) cycle(queue string) (int64, error) {
	reply, err := c.do("QPOP", queue, "COUNT", "64")
	if err != nil || reply == nil {
		return 0, err
	}
	ack := []string{"QACK", queue}
	for _, job := range reply.([]any) {
		ack = append(ack, job.([]any)[0].(string))
	}
	acked, err := c.do(ack...)
	if err != nil {
		return 0, err
	}
	return acked.(int64), nil
}

// each runs work for all clients at once and returns the errors.
func each(clients []*client, work func(int, *client) error) error {
	errs := make([]error, len(clients))
	var running sync.WaitGroup
	for i, c := range clients {
		running.Go(func() { errs[i] = work(i, c) })
	}
	running.Wait()
	return errors.Join(errs...)
}
