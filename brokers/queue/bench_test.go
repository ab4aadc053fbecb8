package queue

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// instantJournal makes everything durable at once and keeps nothing: what is measured is the broker alone.
type instantJournal struct {
	seq    atomic.Uint64
	bytes  atomic.Int64
	notify func(written, synced uint64)
}

func (j *instantJournal) Replay(func([]byte) error) error        { return nil }
func (j *instantJournal) Notify(fn func(written, synced uint64)) { j.notify = fn }
func (j *instantJournal) Ready() error                           { return nil }
func (j *instantJournal) Append(body []byte, _ bool) uint64 {
	j.bytes.Add(int64(len(body)))
	return j.seq.Add(1)
}
func (j *instantJournal) WaitWritten(uint64) error { return nil }
func (j *instantJournal) WaitSynced(uint64) error  { return nil }
func (j *instantJournal) Watch(func())             {}
func (j *instantJournal) Reached(uint64, bool, time.Duration) (bool, error) {
	return true, nil
}
func (j *instantJournal) Space() (bool, int64, int64) { return false, 1 << 40, 0 }
func (j *instantJournal) LogBytes() int64             { return 0 }
func (j *instantJournal) Cut() (brokers.Finish, error) {
	return func(dump brokers.Dump) error { return dump(func([]byte) error { return nil }) }, nil
}

// sync is a group commit of everything appended.
func (j *instantJournal) sync() {
	seq := j.seq.Load()
	j.notify(seq, seq)
}

func benchBroker(tb testing.TB) (*Broker, *instantJournal) {
	j := &instantJournal{}
	b, err := Open(Options{Journal: j, Durability: brokers.Always})
	if err != nil {
		tb.Fatal(err)
	}
	j.sync()
	return b, j
}

func BenchmarkPush(b *testing.B) {
	broker, j := benchBroker(b)
	name, payloads := []byte("q"), [][]byte{bytes.Repeat([]byte("x"), 128)}
	var out []Pushed
	var o PushOptions
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		out, _, _ = broker.Push(name, payloads, &o, out[:0])
		if i%64 == 63 {
			j.sync()
		}
	}
}

func BenchmarkPopAck64(b *testing.B) {
	broker, j := benchBroker(b)
	name, payloads := []byte("q"), [][]byte{bytes.Repeat([]byte("x"), 128)}
	for range 1000 - 1 {
		payloads = append(payloads, payloads[0])
	}
	var jobs []Delivery
	handles := make([]Handle, 0, 64)
	b.ReportAllocs()
	for i := 0; i < b.N; {
		b.StopTimer()
		if _, _, err := broker.Push(name, payloads, &PushOptions{}, nil); err != nil {
			b.Fatal(err)
		}
		j.sync()
		b.StartTimer()
		for {
			jobs, _, _ = broker.Pop(name, &PopOptions{Count: 64}, jobs[:0])
			if len(jobs) == 0 {
				break
			}
			handles = handles[:0]
			for k := range jobs {
				handles = append(handles, Handle{jobs[k].ID, jobs[k].Number})
			}
			n, _, _ := broker.Ack(name, handles, nil)
			i += n
		}
	}
}

// TestMemoryPerJob measures what a ready job of 128 bytes takes; a leak or a fat field shows here.
func TestMemoryPerJob(t *testing.T) {
	broker, j := benchBroker(t)
	payloads := make([][]byte, 1000)
	for i := range payloads {
		payloads[i] = bytes.Repeat([]byte("x"), 128)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const jobs = 200_000
	for range jobs / len(payloads) {
		if _, _, err := broker.Push([]byte("q"), payloads, &PushOptions{}, nil); err != nil {
			t.Fatal(err)
		}
		j.sync()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perJob := int64(after.HeapAlloc-before.HeapAlloc) / jobs
	t.Logf("%d bytes per job of 128 bytes", perJob)
	if limit := int64(128 + jobOverheadBytes + 40); perJob > limit {
		t.Fatalf("a job of 128 bytes takes %d bytes, more than %d", perJob, limit)
	}
	runtime.KeepAlive(broker)
}
