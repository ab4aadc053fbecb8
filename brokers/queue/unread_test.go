package queue

import (
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// TestOneUnreadableRunKeepsNoOtherJobs has one file of many damaged: what names jobs, or all of a state, does the rest, says that something
// could not be read, and comes to the jobs of that file once it can be read.
func TestOneUnreadableRunKeepsNoOtherJobs(t *testing.T) {
	const jobs = 300
	name := []byte("q")
	delayed := func(t *testing.T) (*Broker, *handJournal, []uint64) {
		b, j, _, ids, _ := delayedOnDisk(t, jobs, PushOptions{})
		return b, j, ids
	}
	dead := func(t *testing.T) (*Broker, *handJournal, []uint64) {
		b, j, _, ids := deadOnDisk(t, jobs, nil)
		create(t, b, "other", nil)
		return b, j, ids
	}
	ready := func(t *testing.T) (*Broker, *handJournal, []uint64) {
		b, j, _ := spilling(t, nil)
		create(t, b, "q", nil)
		ids := backlog(t, b, j, 0, jobs, PushOptions{})
		stored(t, b)
		return b, j, ids
	}
	for what, c := range map[string]struct {
		begin func(t *testing.T) (*Broker, *handJournal, []uint64)
		state States
		do    func(b *Broker, ids []uint64) (int, brokers.Receipt, error)
	}{
		"purge of delayed": {delayed, Delayed, func(b *Broker, _ []uint64) (int, brokers.Receipt, error) { return b.Purge(name, Ready|Delayed) }},
		"purge of ready":   {ready, Ready, func(b *Broker, _ []uint64) (int, brokers.Receipt, error) { return b.Purge(name, Ready|Delayed) }},
		"purge of dead":    {dead, Dead, func(b *Broker, _ []uint64) (int, brokers.Receipt, error) { return b.PurgeDead(name) }},
		"replay of all":    {dead, Dead, func(b *Broker, _ []uint64) (int, brokers.Receipt, error) { return b.ReplayAllDead(name, nil) }},
		"replay to another": {dead, Dead, func(b *Broker, _ []uint64) (int, brokers.Receipt, error) {
			return b.ReplayAllDead(name, []byte("other"))
		}},
		"replay of named": {dead, Dead, func(b *Broker, ids []uint64) (int, brokers.Receipt, error) { return b.ReplayDead(name, ids, 0) }},
		"delete of named": {delayed, Delayed, func(b *Broker, ids []uint64) (int, brokers.Receipt, error) { return b.Delete(name, ids) }},
	} {
		t.Run(what, func(t *testing.T) {
			b, j, ids := c.begin(t)
			damaged, count := damageRun(t, b)
			n, _, err := c.do(b, ids)
			j.syncAll()
			if left, _ := b.Len(name, c.state); !isCode(err, "IOERR") || n != jobs-count || left != count {
				t.Fatalf("%d of %d jobs, %d of a run of %d left: %v", n, jobs, left, count, err)
			}
			checkInvariants(t, b, "q")
			if err := flipBit(damaged); err != nil {
				t.Fatal(err)
			}
			if n := must[int](t)(c.do(b, ids)); n != count {
				t.Fatalf("%d jobs once they can be read, want %d", n, count)
			}
			if left, _ := b.Len(name, c.state); left != 0 {
				t.Fatalf("%d left", left)
			}
		})
	}
}

// TestOneUnreadableRunKeepsNoAcknowledgement is the same of handles.
func TestOneUnreadableRunKeepsNoAcknowledgement(t *testing.T) {
	const jobs = 300
	b, j, _ := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, jobs, PushOptions{})
	var got []Delivery
	for len(got) < jobs {
		got = append(got, must[[]Delivery](t)(b.Pop([]byte("q"), &PopOptions{Count: jobs, Lease: int64(time.Hour / time.Millisecond)}, nil))...)
	}
	j.syncAll()
	stored(t, b)
	damaged, count := damageRun(t, b)
	each := make([]bool, jobs)
	if n, _, err := b.Ack([]byte("q"), Handles(got), each); n != jobs-count || !isCode(err, "IOERR") {
		t.Fatalf("%d acknowledged, %d are in the run: %v", n, count, err)
	}
	if err := flipBit(damaged); err != nil {
		t.Fatal(err)
	}
	if n := must[int](t)(b.Ack([]byte("q"), Handles(got), nil)); n != count {
		t.Fatalf("%d acknowledged once they can be read, want %d", n, count)
	}
	checkInvariants(t, b, "q")
}

// damageRun damages the file of a run of queue q that is neither the first nor the last, and tells how many jobs it has.
func damageRun(t *testing.T, b *Broker) (path string, jobs int) {
	t.Helper()
	settleFetches(b)
	q := b.directory.byName["q"]
	q.mu.Lock()
	runs := q.runsLocked()
	q.mu.Unlock()
	if len(runs) < 3 {
		t.Fatalf("%d runs", len(runs))
	}
	r := runs[len(runs)/2]
	path = b.spill.path(r.number)
	if err := flipBit(path); err != nil {
		t.Fatal(err)
	}
	return path, r.count
}
