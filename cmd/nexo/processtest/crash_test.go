package processtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// roundsPerCampaign is how many kills one data directory lives through before everything in it is read back.
const roundsPerCampaign = 10

// crashRounds is the number of kills per durability level.
func crashRounds(t *testing.T) int {
	word := os.Getenv("NEXO_CRASH_ROUNDS")
	if word == "" {
		return 2 * roundsPerCampaign
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 {
		t.Fatalf("NEXO_CRASH_ROUNDS=%q is not a positive number", word)
	}
	return n
}

// TestKill9 kills the server under load at random moments and checks that acknowledged is a subset of recovered, and
// recovered a subset of attempted.
func TestKill9(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if word := os.Getenv("NEXO_CRASH_SEED"); word != "" {
		seed, _ = strconv.ParseUint(word, 10, 64)
	}
	for _, level := range []string{"always", "interval"} {
		t.Run(level, func(t *testing.T) {
			t.Logf("seed %d (NEXO_CRASH_SEED repeats the schedule of kills)", seed)
			random := rand.New(rand.NewPCG(seed, 7))
			for rounds := crashRounds(t); rounds > 0 && !t.Failed(); rounds -= roundsPerCampaign {
				campaign(t, random, level, min(rounds, roundsPerCampaign))
			}
		})
	}
}

// campaign runs rounds of load and kill over one data directory, then reads everything back.
func campaign(t *testing.T, random *rand.Rand, level string, rounds int) {
	dir := t.TempDir()
	o := newOracle()
	flags := []string{"--fsync", level, "--log-level", "warn"}
	if random.IntN(2) == 0 {
		flags = append(flags, "--compact-size", "1mb", "--queue-memory", "1mb") // kills into compactions and merges, with jobs on disk
	}
	s := start(t, dir, flags...)
	s.await(t)
	mustDo(t, s, "QCREATE", "jobs", "LEASE", "200", "MAXATTEMPTS", "1000000", "BACKOFF", "NONE")
	mustDo(t, s, "XCREATE", "log")
	mustDo(t, s, "XGCREATE", "log", "group", "ACKWAIT", "200", "MAXDELIVER", "1000000")
	for round := 0; round < rounds; round++ {
		if round > 0 {
			s = start(t, dir, flags...)
			if random.IntN(5) == 0 {
				// Into the recovery, or whatever follows it at once.
				time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
				s.kill()
				continue
			}
			s.await(t)
		}
		var clients sync.WaitGroup
		for n := 0; n < 32; n++ {
			clients.Go(func() { produceJobs(s, o, fmt.Sprintf("p%d", n)) })
			clients.Go(func() { produceEntries(s, o, fmt.Sprintf("e%d", n)) })
			clients.Go(func() { consumeJobs(s, o) })
		}
		for n := 0; n < 16; n++ {
			clients.Go(func() { readEntries(s, o) })
			clients.Go(func() { consumeGroup(s, o, fmt.Sprintf("c%d", n)) })
		}
		time.Sleep(time.Duration(5+random.IntN(496)) * time.Millisecond) // the random moment of the kill
		s.kill()
		clients.Wait()
	}
	restarted := time.Now()
	s = start(t, dir, flags...)
	s.await(t)
	t.Logf("%s: %d payloads attempted, %d pushes and %d appends acknowledged, restart %v", level, total(o.attempted),
		len(o.pushed), len(o.appended), time.Since(restarted).Round(time.Millisecond))
	o.checkStream(readWhole(t, s, o))
	o.checkQueue(drain(t, s, o))
	for _, problem := range o.problems {
		t.Error(problem)
	}
	if len(o.pushed) == 0 || len(o.appended) == 0 {
		t.Errorf("nothing was acknowledged: the load did not run\n%s", s.log)
	}
	s.kill()
}

func total(counts map[string]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func mustDo(t *testing.T, s *server, words ...any) any {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reply, err := c.do(words...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return reply
}

// produceJobs pushes one payload after the other until the connection dies with the server.
func produceJobs(s *server, o *oracle, producer string) {
	c, err := dial(s.addr)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		number := o.next(producer)
		reply, err := c.do("QPUSH", "jobs", payloadOf(producer, number), "NOMKQ")
		if !o.alive("QPUSH", err) {
			return
		}
		id, _ := strconv.ParseUint(reply.(string), 10, 64)
		o.pushAcked(producer, number, id)
	}
}

func produceEntries(s *server, o *oracle, producer string) {
	c, err := dial(s.addr)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		number := o.next(producer)
		reply, err := c.do("XAPPEND", "log", payloadOf(producer, number), "NOMK")
		if !o.alive("XAPPEND", err) {
			return
		}
		o.appendAcked(producer, number, uint64(reply.(int64)))
	}
}

// alive tells whether the connection goes on; an error reply is a problem, a broken connection is the kill.
func (o *oracle) alive(command string, err error) bool {
	var reply replyError
	if errors.As(err, &reply) {
		o.mu.Lock()
		o.problemLocked("%s answered %s", command, reply)
		o.mu.Unlock()
	}
	return err == nil
}

func consumeJobs(s *server, o *oracle) {
	c, err := dial(s.addr)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		reply, err := c.do("QPOP", "jobs", "COUNT", 4, "BLOCK", 100)
		if !o.alive("QPOP", err) {
			return
		}
		jobs, _ := reply.([]any)
		for i, item := range jobs {
			job := item.([]any)
			handle := job[0].(string)
			id := o.jobSeen(handle, job[1].(string))
			if i == 3 {
				continue // left to its lease: it must come back under another handle
			}
			o.ackAttempted(id)
			count, err := c.do("QACK", "jobs", handle)
			if !o.alive("QACK", err) {
				return
			}
			if count == int64(1) {
				o.acked(id, handle)
			}
		}
	}
}

func readEntries(s *server, o *oracle) {
	c, err := dial(s.addr)
	if err != nil {
		return
	}
	defer c.Close()
	var position any = "first"
	for {
		reply, err := c.do("XFETCH", "log", position, "COUNT", 50, "BLOCK", 100)
		if !o.alive("XFETCH", err) {
			return
		}
		page := reply.([]any)
		position = page[0]
		for _, item := range page[3].([]any) {
			entry := item.([]any)
			o.entrySeen(uint64(entry[0].(int64)), entry[2].(string))
		}
	}
}

func consumeGroup(s *server, o *oracle, consumer string) {
	c, err := dial(s.addr)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		reply, err := c.do("XCONSUME", "log", "group", consumer, "COUNT", 20, "BLOCK", 100)
		if !o.alive("XCONSUME", err) {
			return
		}
		entries, _ := reply.([]any)[2].([]any)
		if len(entries) == 0 {
			continue
		}
		acks := []any{"XACK", "log", "group"}
		for _, item := range entries {
			entry := item.([]any)
			o.entrySeen(uint64(entry[0].(int64)), entry[3].(string))
			acks = append(acks, fmt.Sprintf("#%d", entry[0]))
		}
		if _, err := c.do(acks...); !o.alive("XACK", err) {
			return
		}
	}
}

// readWhole reads the stream from its first entry and returns the heads of the payloads in order.
func readWhole(t *testing.T, s *server, o *oracle) (heads []string) {
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next := int64(1)
	for {
		reply, err := c.do("XFETCH", "log", next, "COUNT", 1000)
		if err != nil {
			t.Fatal(err)
		}
		page := reply.([]any)
		entries := page[3].([]any)
		for _, item := range entries {
			entry := item.([]any)
			offset := entry[0].(int64)
			if offset != int64(len(heads)+1) {
				t.Fatalf("offset %d follows %d", offset, len(heads))
			}
			producer, number, err := keyOf(entry[2].(string))
			if err != nil {
				t.Fatalf("offset %d: %v", offset, err)
			}
			heads = append(heads, headOf(producer, number))
		}
		if len(entries) == 0 {
			return heads
		}
		next = page[0].(int64)
	}
}

// drain pops and acknowledges every job that is left, waiting for leases to end.
func drain(t *testing.T, s *server, o *oracle) map[uint64]bool {
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	remaining := map[uint64]bool{}
	for {
		reply, err := c.do("QPOP", "jobs", "COUNT", 500, "BLOCK", 400, "LEASE", "60s")
		if err != nil {
			t.Fatal(err)
		}
		jobs, _ := reply.([]any)
		if len(jobs) == 0 {
			break
		}
		acks := []any{"QACK", "jobs"}
		for _, item := range jobs {
			job := item.([]any)
			remaining[o.jobSeen(job[0].(string), job[1].(string))] = true
			acks = append(acks, job[0])
		}
		count, err := c.do(acks...)
		if err != nil || count != int64(len(jobs)) {
			t.Fatalf("acknowledged %v of %d jobs: %v", count, len(jobs), err)
		}
	}
	for _, state := range []string{"READY", "DELAYED", "INFLIGHT", "DEAD"} {
		if n, err := c.do("QLEN", "jobs", state); n != int64(0) {
			t.Errorf("after the drain %v jobs are %s (%v)", n, state, err)
		}
	}
	return remaining
}
