package queue

import (
	"errors"
	"strconv"
	"testing"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// closingJournal closes the broker when the first slice of long work is logged.
type closingJournal struct {
	*handJournal
	closes *Broker
}

func (j *closingJournal) Append(body []byte, sync bool) uint64 {
	if j.closes != nil && (body[1] == opChange || body[1] == opMove) {
		j.closes.closed.Store(true)
	}
	return j.handJournal.Append(body, sync)
}

// Work in slices that cannot go on says so; only a queue that was dropped leaves nothing to do.
func TestLongWorkThatIsCutShortIsNoSuccess(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(b *Broker) (int, error)
	}{
		{"purge", func(b *Broker) (int, error) { n, _, err := b.Purge([]byte("q"), Ready|Dead); return n, err }},
		{"purge the dead", func(b *Broker) (int, error) { n, _, err := b.PurgeDead([]byte("q")); return n, err }},
		{"replay the dead", func(b *Broker) (int, error) { n, _, err := b.ReplayAllDead([]byte("q"), nil); return n, err }},
		{"move the dead", func(b *Broker) (int, error) { n, _, err := b.ReplayAllDead([]byte("q"), []byte("to")); return n, err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &closingJournal{handJournal: newHandJournal(brokertest.NewJournal())}
			b, err := Open(Options{Journal: j, Clock: brokertest.NewClock(testStart), Durability: brokers.Always})
			if err != nil {
				t.Fatal(err)
			}
			j.syncAll()
			create(t, b, "q", nil)
			create(t, b, "to", nil)
			for i := range 3 * sliceJobs / MaxBatch {
				bodies := make([]string, MaxBatch)
				for k := range bodies {
					bodies[k] = strconv.Itoa(i)
				}
				pushBodies(t, b, j.handJournal, "q", PushOptions{}, bodies...)
				jobs := take(t, b, "q", MaxBatch)
				if _, _, err := b.Nack([]byte("q"), &NackOptions{Dead: true}, Handles(jobs), nil); err != nil {
					t.Fatal(err)
				}
			}
			j.closes = b
			n, err := c.do(b)
			if !errors.Is(err, errClosed) || n != sliceJobs {
				t.Fatalf("%d of %d jobs, then the broker is closed: %v", n, 3*sliceJobs, err)
			}
		})
	}
}
