package processtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKill9States kills a server that holds jobs in every state, streams that are trimmed, sealed and merged, groups with parked
// entries, keys and retained messages, at random moments under load. Everything has one owner, which knows after each reply what
// must be there, and after a command that was not answered which two things may be: each start is compared with that, whole.
func TestKill9States(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if word := os.Getenv("NEXO_CRASH_SEED"); word != "" {
		seed, _ = strconv.ParseUint(word, 10, 64)
	}
	for _, level := range []string{"always", "interval"} {
		t.Run(level, func(t *testing.T) {
			t.Logf("seed %d (NEXO_CRASH_SEED repeats the schedule of kills)", seed)
			random := rand.New(rand.NewPCG(seed, 13))
			found := &findings{counts: map[string]int{}}
			all := crashRounds(t)
			for rounds := all; rounds > 0 && !t.Failed(); rounds -= roundsPerCampaign {
				statesCampaign(t, random, found, level, min(rounds, roundsPerCampaign))
			}
			found.report(t, all >= 2*roundsPerCampaign)
		})
	}
}

// findings is what the owners of one level found wrong, and how often they met what the test is for.
type findings struct {
	mu       sync.Mutex
	problems []string
	counts   map[string]int
}

func (f *findings) problem(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.problems) < 20 {
		f.problems = append(f.problems, fmt.Sprintf(format, args...))
	}
}

func (f *findings) count(what string, n int) {
	f.mu.Lock()
	f.counts[what] += n
	f.mu.Unlock()
}

// mustHappen is what a run of some length has met, or it has tested nothing of it.
var mustHappen = []string{
	"starts compared", "kills while loading", "clean stops", "jobs on disk at a start", "files of jobs older than a snapshot",
	"snapshots of queue", "snapshots of stream", "snapshots of store", "snapshots of retained", "segment files", "merges of segment files",
	"jobs due while dead", "leases at a kill", "dead letters at a start", "dead letters replayed", "jobs deleted on disk", "acks",
	"duplicates answered", "parked entries at a start", "entries trimmed", "keys compared", "retained messages compared",
}

func (f *findings) report(t *testing.T, whole bool) {
	for _, problem := range f.problems {
		t.Error(problem)
	}
	f.problems = nil
	var words []string
	for what, n := range f.counts {
		words = append(words, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(words)
	t.Log(strings.Join(words, ", "))
	for _, what := range mustHappen {
		if whole && f.counts[what] == 0 {
			t.Errorf("the test has not met: %s", what)
		}
	}
}

// owner works on what only it changes, one command after the other.
type owner interface {
	// work sends one command; an error ends the life of the connection.
	work(c *client) error
	// died is told of each end of a server: what was not answered may have been done, or not.
	died(at time.Time, clean bool)
	// compare looks at all that it owns after a start, makes what is missing because nobody was told that it was made, and knows
	// afterwards what is there.
	compare(c *client) error
	// finish compares what can only be seen by taking it.
	finish(c *client) error
}

// ask sends a command that must not be refused.
func (f *findings) ask(c *client, words ...any) (any, error) {
	reply, err := c.do(words...)
	var refused replyError
	if errors.As(err, &refused) {
		f.problem("%.200v answered %s", words, refused)
	}
	return reply, err
}

// statesCampaign runs rounds of load, kill and comparison over one data directory.
func statesCampaign(t *testing.T, random *rand.Rand, found *findings, level string, rounds int) {
	dir := t.TempDir()
	flags := []string{"--fsync", level, "--log-level", "warn", "--compact-size", []string{"64kb", "256kb", "1mb"}[random.IntN(3)],
		"--queue-memory", "1mb", "--store-durability", level}
	owners := newOwners(random, found)
	s := start(t, dir, flags...)
	s.await(t)
	compareAll(t, s, owners, found)
	for round := range rounds {
		if round > 0 {
			if random.IntN(3) == 0 {
				time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond) // dead for a while: what waits comes due
			}
			s = start(t, dir, flags...)
			if random.IntN(5) == 0 {
				time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond) // into the recovery, or whatever follows it at once
				s.kill()
				found.count("kills while loading", 1)
				continue
			}
			s.await(t)
			found.count("starts compared", 1)
			compareAll(t, s, owners, found)
		}
		if t.Failed() || len(found.problems) > 0 {
			s.kill()
			return
		}
		var clients sync.WaitGroup
		for _, own := range owners {
			clients.Go(func() {
				_ = eachOwner(s, func(c *client) error { // the end of the connection is the kill
					for {
						if err := own.work(c); err != nil {
							return err
						}
					}
				})
			})
		}
		time.Sleep(time.Duration(20+random.IntN(700)) * time.Millisecond) // the random moment of the kill
		clean := random.IntN(8) == 0
		if clean {
			found.count("clean stops", 1)
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
			<-s.done
		}
		s.kill()
		at := time.Now()
		clients.Wait()
		found.see(dir)
		for _, own := range owners {
			own.died(at, clean)
		}
	}
	s = start(t, dir, flags...)
	s.await(t)
	compareAll(t, s, owners, found)
	for _, own := range owners {
		if err := eachOwner(s, own.finish); err != nil {
			found.problem("at the end: %v", err)
		}
	}
	s.kill()
	if len(found.problems) > 0 {
		t.Errorf("compact-size %s; the server's log:\n%s", flags[5], s.log)
	}
}

// eachOwner gives an owner a connection of its own.
func eachOwner(s *server, do func(c *client) error) error {
	c, err := dial(s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

func compareAll(t *testing.T, s *server, owners []owner, found *findings) {
	t.Helper()
	var clients sync.WaitGroup
	for _, own := range owners {
		clients.Go(func() {
			if err := eachOwner(s, own.compare); err != nil {
				found.problem("comparing after a start: %v", err)
			}
		})
	}
	clients.Wait()
	select {
	case <-s.done:
		t.Fatalf("the server ended: %v\n%s", s.err, s.log)
	default:
	}
}

func newOwners(random *rand.Rand, found *findings) (owners []owner) {
	for n := range 6 {
		owners = append(owners, newQueueOwner(fmt.Sprintf("q%d", n), rand.New(rand.NewPCG(random.Uint64(), uint64(n))), found))
	}
	for n := range 5 {
		owners = append(owners, newStreamOwner(fmt.Sprintf("s%d", n), n, rand.New(rand.NewPCG(random.Uint64(), uint64(n))), found))
	}
	for n := range 3 {
		owners = append(owners, newStoreOwner(n+1, rand.New(rand.NewPCG(random.Uint64(), uint64(n))), found))
	}
	for n := range 2 {
		owners = append(owners, newRetainedOwner(fmt.Sprintf("r%d", n), rand.New(rand.NewPCG(random.Uint64(), uint64(n))), found))
	}
	return owners
}

// see counts what the files of a dead server tell.
func (f *findings) see(dir string) {
	for _, log := range []string{"queue", "stream", "store", "retained"} {
		f.count("snapshots of "+log, len(namedSnapshots(dir, log)))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "queue-backlog", "jobs-*"))
	for _, snapshot := range namedSnapshots(dir, "queue") {
		info, err := os.Stat(snapshot)
		for _, file := range files {
			if other, otherErr := os.Stat(file); err == nil && otherErr == nil && other.ModTime().Before(info.ModTime()) {
				f.count("files of jobs older than a snapshot", 1)
			}
		}
	}
	segments, _ := filepath.Glob(filepath.Join(dir, "segments", "segment-????????????????"))
	f.count("segment files", len(segments))
	last := uint64(0)
	for _, path := range segments {
		id, _ := strconv.ParseUint(regexp.MustCompile(`[0-9a-f]+$`).FindString(path), 16, 64)
		last = max(last, id)
	}
	if last > uint64(len(segments)) {
		f.count("merges of segment files", 1)
	}
}
