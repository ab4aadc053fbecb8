package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

const connections = 50

// commandRate runs redis-benchmark with one command and returns the requests per second.
func commandRate(s *server, pipeline, requests int, words ...string) (float64, error) {
	arguments := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-c", strconv.Itoa(connections),
		"-P", strconv.Itoa(pipeline), "-n", strconv.Itoa(requests), "-r", "100000", "--csv"}
	output, err := exec.Command("redis-benchmark", append(arguments, words...)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark %s against %s: %w\n%s", words[0], s.name, err, output)
	}
	// The table begins at its header line; anything before it is a warning.
	_, table, found := bytes.Cut(output, []byte(`"test","rps"`))
	if !found {
		return 0, fmt.Errorf("redis-benchmark %s against %s printed no table:\n%s", words[0], s.name, output)
	}
	_, table, _ = bytes.Cut(table, []byte("\n"))
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) < 2 {
		return 0, fmt.Errorf("redis-benchmark %s against %s printed %q: %w", words[0], s.name, table, err)
	}
	return strconv.ParseFloat(rows[0][1], 64)
}

// compare measures a command against its counterpart at one pipeline depth and adds a row. Before each run the cleanup
// command of the server is sent, when there is one.
func (b *bench) compare(peer *server, pipeline, requests int, wanted string, nexoClean, nexoWords, peerClean, peerWords []string) error {
	requests /= b.scale
	measure := func(s *server, clean, words []string) func() (float64, error) {
		return func() (float64, error) {
			if clean != nil {
				c, err := dial(s)
				if err != nil {
					return 0, err
				}
				defer c.Close()
				if _, err := c.do(clean...); err != nil {
					return 0, err
				}
			}
			return commandRate(s, pipeline, requests, words...)
		}
	}
	nexo, other, ratio, err := paired(b.rounds, measure(b.nexo, nexoClean, nexoWords), measure(peer, peerClean, peerWords))
	if err != nil {
		return err
	}
	work := fmt.Sprintf("%s vs %s, %d connections, pipeline %d", nexoWords[0], peerWords[0], connections, pipeline)
	b.report.add(work, rate(nexo), rate(other), fmt.Sprintf("%.2f", ratio), wanted)
	return nil
}

// counts of requests by pipeline depth: about a second or two each
var requestsAt = map[int]int{1: 100_000, 16: 800_000, 64: 1_600_000}

func (b *bench) set() error { return b.keys("SET", "key:__rand_int__", strings.Repeat("x", 64)) }

func (b *bench) get() error {
	for _, s := range []*server{b.nexo, b.redis} { // fill: a GET that finds nothing would be measured otherwise
		if _, err := commandRate(s, 64, 800_000, "SET", "key:__rand_int__", strings.Repeat("x", 64)); err != nil {
			return err
		}
	}
	return b.keys("GET", "key:__rand_int__")
}

func (b *bench) keys(words ...string) error {
	for _, pipeline := range []int{1, 16, 64} {
		wanted := ">= 1.0"
		if pipeline == 1 {
			wanted = ">= 0.9"
		}
		if err := b.compare(b.redis, pipeline, requestsAt[pipeline], wanted, nil, words, nil, words); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) queue() error {
	payload := strings.Repeat("x", 128)
	for _, pipeline := range []int{1, 16} {
		wanted := "-"
		if pipeline == 16 {
			wanted = ">= 1.0"
		}
		err := b.compare(b.redisAOF, pipeline, requestsAt[pipeline]/2, wanted,
			[]string{"QDROP", "bench"}, []string{"QPUSH", "bench", payload},
			[]string{"DEL", "bench"}, []string{"LPUSH", "bench", payload})
		if err != nil {
			return err
		}
	}
	var rates []float64
	for range b.rounds {
		perSecond, err := b.jobCycles(400_000/b.scale, payload)
		if err != nil {
			return err
		}
		rates = append(rates, perSecond)
	}
	b.report.add(fmt.Sprintf("QPOP COUNT 64 + QACK cycles, %d connections, jobs", connections), rate(median(rates)), "-", "-", ">= 200k/s")
	return nil
}

// jobCycles fills a queue and has all connections pop and acknowledge it empty.
func (b *bench) jobCycles(jobs int, payload string) (perSecond float64, err error) {
	const consumers, batch = connections, 1000
	filler, err := dial(b.nexo)
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
	clients, err := dialAll(b.nexo, consumers)
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

func (b *bench) stream() error {
	payload := strings.Repeat("x", 128)
	for _, pipeline := range []int{1, 16, 64} {
		wanted := "-"
		if pipeline == 16 {
			wanted = ">= 1.3"
		}
		err := b.compare(b.redisAOF, pipeline, requestsAt[pipeline]/2, wanted,
			[]string{"XDROP", "bench"}, []string{"XAPPEND", "bench", payload},
			[]string{"DEL", "bench"}, []string{"XADD", "bench", "*", "data", payload})
		if err != nil {
			return err
		}
	}
	return nil
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
