// Package brokertest holds the fakes that the brokers are tested with: a journal in memory whose writes, fsyncs and
// failures the test decides, and a clock that only moves when told to.
package brokertest

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// Journal is a brokers.Journal in memory. With Auto (the default of NewJournal) each record is written and fsynced as it
// is appended; without it the test calls Advance. Reopen gives the journal a restarted process would find.
type Journal struct {
	Auto bool

	mu struct {
		sync.Mutex
		snapshot [][]byte
		records  [][]byte
		base     uint64 // sequence of the record before records[0]
		next     uint64
		written  uint64
		synced   uint64
		// told is how far Notify has been told, which is what the Waits go by.
		toldWritten, toldSynced uint64
		err                     error // sticky: every Wait fails with it
		ready                   error
		short                   bool
		room, snapshotBytes     int64
		cutting                 bool
		bytes                   int64
	}
	changed *sync.Cond
	notify  func(written, synced uint64)
	watch   []func()
}

// NewJournal returns an empty journal that makes everything durable at once.
func NewJournal() *Journal {
	j := &Journal{Auto: true}
	j.mu.room = math.MaxInt64
	j.changed = sync.NewCond(&j.mu.Mutex)
	return j
}

// Reopen returns the journal that a restart finds: everything fsynced when keepUnsynced is false, everything appended
// otherwise.
func (j *Journal) Reopen(keepUnsynced bool) *Journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := NewJournal()
	next.mu.snapshot = j.mu.snapshot
	n := len(j.mu.records)
	if !keepUnsynced {
		n = int(j.mu.synced - j.mu.base)
	}
	next.mu.records = append([][]byte(nil), j.mu.records[:n]...)
	return next
}

// Records returns the records a replay would see, for tests that look at the log itself.
func (j *Journal) Records() [][]byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append(append([][]byte(nil), j.mu.snapshot...), j.mu.records...)
}

func (j *Journal) Replay(fn func(body []byte) error) error {
	for _, body := range j.Records() {
		if err := fn(body); err != nil {
			return err
		}
	}
	j.mu.Lock()
	// Sequences start anew with each life of a process; records kept from before it have none.
	j.mu.snapshot = append(j.mu.snapshot, j.mu.records...)
	j.mu.records = nil
	j.mu.Unlock()
	return nil
}

func (j *Journal) Notify(fn func(written, synced uint64)) { j.notify = fn }

// SetReady makes Ready answer err, as on a full disk; nil ends it.
func (j *Journal) SetReady(err error) {
	j.mu.Lock()
	j.mu.ready = err
	j.mu.Unlock()
}

// SetSpace sets what Space answers. A new journal has room for everything.
func (j *Journal) SetSpace(short bool, room, snapshot int64) {
	j.mu.Lock()
	j.mu.short, j.mu.room, j.mu.snapshotBytes = short, room, snapshot
	j.mu.Unlock()
}

func (j *Journal) Space() (short bool, room, snapshot int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.short, j.mu.room, j.mu.snapshotBytes
}

func (j *Journal) Ready() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.err != nil {
		return j.mu.err
	}
	return j.mu.ready
}

func (j *Journal) Append(body []byte, sync bool) uint64 {
	j.mu.Lock()
	j.mu.next++
	seq := j.mu.next
	j.mu.records = append(j.mu.records, append([]byte(nil), body...))
	j.mu.bytes += int64(len(body))
	auto := j.Auto
	j.mu.Unlock()
	if auto {
		// In a goroutine: the caller holds the broker's lock and Notify may want it.
		go j.Advance(seq, seq)
	}
	return seq
}

// SetAuto changes Auto while the journal is in use; what was appended before becomes durable when it is set.
func (j *Journal) SetAuto(auto bool) {
	j.mu.Lock()
	j.Auto = auto
	j.mu.Unlock()
	if auto {
		j.AdvanceAll()
	}
}

// AdvanceAll makes everything that was appended durable.
func (j *Journal) AdvanceAll() {
	j.mu.Lock()
	next := j.mu.next
	j.mu.Unlock()
	j.Advance(next, next)
}

// Advance makes records up to written readable by the kernel and up to synced durable, and tells the broker.
func (j *Journal) Advance(written, synced uint64) {
	j.mu.Lock()
	if j.mu.err != nil {
		j.mu.Unlock()
		return
	}
	j.mu.written = max(j.mu.written, written)
	j.mu.synced = max(j.mu.synced, synced)
	written, synced = j.mu.written, j.mu.synced
	j.mu.Unlock()
	if j.notify != nil {
		j.notify(written, synced)
	}
	j.mu.Lock()
	j.mu.toldWritten = max(j.mu.toldWritten, written)
	j.mu.toldSynced = max(j.mu.toldSynced, synced)
	j.mu.Unlock()
	j.tell()
}

// tell wakes the Waits and the watchers.
func (j *Journal) tell() {
	j.changed.Broadcast()
	j.mu.Lock()
	watchers := j.watch
	j.mu.Unlock()
	for _, wake := range watchers {
		wake()
	}
}

// Fail makes the journal dead: every Wait and Ready answers err.
func (j *Journal) Fail(err error) {
	j.mu.Lock()
	j.mu.err = err
	j.mu.Unlock()
	j.tell()
}

// Reached and Watch are the Waits for those who do not wait.
func (j *Journal) Reached(seq uint64, synced bool, _ time.Duration) (done bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	told := j.mu.toldWritten
	if synced {
		told = j.mu.toldSynced
	}
	if told >= seq {
		return true, nil
	}
	return j.mu.err != nil, j.mu.err
}

func (j *Journal) Watch(wake func()) {
	j.mu.Lock()
	j.watch = append(slices.Clone(j.watch), wake)
	j.mu.Unlock()
}

func (j *Journal) WaitWritten(seq uint64) error {
	return j.wait(func() bool { return j.mu.toldWritten >= seq })
}

func (j *Journal) WaitSynced(seq uint64) error {
	return j.wait(func() bool { return j.mu.toldSynced >= seq })
}

func (j *Journal) wait(done func() bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for !done() {
		if j.mu.err != nil {
			return j.mu.err
		}
		j.changed.Wait()
	}
	return nil
}

func (j *Journal) LogBytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.bytes
}

// ErrCompacting is returned by Cut while another compaction runs.
var ErrCompacting = errors.New("a compaction is already running")

func (j *Journal) Cut() (brokers.Finish, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.cutting {
		return nil, ErrCompacting
	}
	j.mu.cutting = true
	cut := j.mu.next
	return func(dump brokers.Dump) error {
		var snapshot [][]byte
		err := dump(func(body []byte) error {
			snapshot = append(snapshot, append([]byte(nil), body...))
			return nil
		})
		j.mu.Lock()
		defer j.mu.Unlock()
		j.mu.cutting = false
		if err != nil {
			return err
		}
		j.mu.snapshot = snapshot
		j.mu.records = j.mu.records[cut-j.mu.base:]
		j.mu.base = cut
		j.mu.bytes = 0
		return nil
	}, nil
}
