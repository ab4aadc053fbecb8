package processtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestKill9Backlog kills a server whose queue grows faster than it is worked on: into moving jobs to disk, fetching them, and
// snapshots that list the files. Priorities take turns, so the files overlap.
func TestKill9Backlog(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if word := os.Getenv("NEXO_CRASH_SEED"); word != "" {
		seed, _ = strconv.ParseUint(word, 10, 64)
	}
	for _, level := range []string{"always", "interval"} {
		t.Run(level, func(t *testing.T) {
			t.Logf("seed %d (NEXO_CRASH_SEED repeats the schedule of kills)", seed)
			random := rand.New(rand.NewPCG(seed, 11))
			for rounds := crashRounds(t) / 2; rounds > 0 && !t.Failed(); rounds -= roundsPerCampaign {
				backlogCampaign(t, random, level, min(rounds, roundsPerCampaign))
			}
		})
	}
}

func backlogCampaign(t *testing.T, random *rand.Rand, level string, rounds int) {
	dir := t.TempDir()
	o := newOracle()
	flags := []string{"--fsync", level, "--log-level", "warn", "--compact-size", "1mb", "--queue-memory", "1mb"}
	s := start(t, dir, flags...)
	s.await(t)
	mustDo(t, s, "QCREATE", "jobs", "LEASE", "200", "MAXATTEMPTS", "1000000", "BACKOFF", "NONE")
	kept := 0 // starts that found files which the snapshot lists
	for round := range rounds {
		if round > 0 {
			s = start(t, dir, flags...)
			if random.IntN(5) == 0 {
				time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
				s.kill()
				continue
			}
			s.await(t)
			if files, _ := filepath.Glob(filepath.Join(dir, "queue-backlog", "jobs-*")); len(files) > 0 {
				kept++
			}
		}
		var clients sync.WaitGroup
		producers, consumers := 4, 2
		if round%3 == 2 {
			producers, consumers = 1, 16 // what was put aside comes back
		}
		for n := range producers {
			clients.Go(func() { produceMany(s, o, fmt.Sprintf("p%d", n)) })
		}
		for range consumers {
			clients.Go(func() { consumeJobs(s, o) })
		}
		time.Sleep(time.Duration(20+random.IntN(1000)) * time.Millisecond)
		s.kill()
		clients.Wait()
	}
	s = start(t, dir, flags...)
	s.await(t)
	t.Logf("%s: %d payloads attempted, %d pushes and %d acks acknowledged, %d starts with listed files", level, total(o.attempted),
		len(o.pushed), len(o.ackDone), kept)
	o.checkQueue(drain(t, s, o))
	for _, problem := range o.problems {
		t.Error(problem)
	}
	if len(o.pushed) == 0 {
		t.Errorf("nothing was acknowledged: the load did not run\n%s", s.log)
	}
	s.kill()
}

// produceMany pushes 50 payloads at a time until the connection dies with the server.
func produceMany(s *server, o *oracle, producer string) {
	c, err := dial(s.addr)
	if err != nil {
		return
	}
	defer c.Close()
	for batch := 0; ; batch++ {
		words := []any{"QMPUSH", "jobs", 50}
		var numbers []int
		for range 50 {
			number := o.next(producer)
			numbers = append(numbers, number)
			words = append(words, payloadOf(producer, number))
		}
		reply, err := c.do(append(words, "NOMKQ", "PRIORITY", batch%3)...)
		if !o.alive("QMPUSH", err) {
			return
		}
		for i, word := range reply.([]any) {
			id, _ := strconv.ParseUint(word.(string), 10, 64)
			o.pushAcked(producer, numbers[i], id)
		}
	}
}
