package aof

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testOptions(dir string) Options {
	return Options{Dir: dir, Name: "queue", SyncInterval: 20 * time.Millisecond}
}

func mustOpen(t testing.TB, options Options) *Log {
	t.Helper()
	l, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func record(n int) string { return fmt.Sprintf("record-%04d-%s", n, strings.Repeat("x", n%40)) }

func appendSynced(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := l.WaitSynced(l.Append([]byte(record(n)), true)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantRecords(t testing.TB, got []string, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("%d records, want %d", len(got), to-from)
	}
	for i, body := range got {
		if body != record(from+i) {
			t.Fatalf("record %d is %q, want %q", i, body, record(from+i))
		}
	}
}

func TestAppendReopenReplay(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, testOptions(dir))
	wantRecords(t, records(t, l), 0, 0)
	if seq := l.Append([]byte(record(0)), true); seq != 1 {
		t.Fatalf("first sequence is %d", seq)
	}
	appendSynced(t, l, 1, 50)
	if err := l.WaitWritten(l.Append(nil, false)); err != nil {
		t.Fatal(err)
	}
	if err := l.Replay(func([]byte) error { return nil }); !errors.Is(err, ErrReplayed) {
		t.Fatalf("late replay: %v", err)
	}
	fsyncs := uint64(0)
	for _, n := range l.Fsyncs() {
		fsyncs += n
	}
	if fsyncs < 49 || fsyncs > 52 { // one for each that was waited for, and what the timer did
		t.Errorf("%d fsyncs were counted", fsyncs)
	}
	mustClose(t, l)
	mustClose(t, l)
	seq := l.Append([]byte("late"), true)
	if err := l.WaitSynced(seq); !errors.Is(err, ErrClosed) || !strings.HasPrefix(err.Error(), "IOERR ") {
		t.Fatalf("wait after close: %v", err)
	}

	l = mustOpen(t, testOptions(dir))
	got := records(t, l)
	if len(got) != 51 || got[50] != "" {
		t.Fatalf("%d records", len(got))
	}
	wantRecords(t, got[:50], 0, 50)
	if seq := l.Append([]byte("again"), false); seq != 1 {
		t.Fatalf("first sequence of the second life is %d", seq)
	}
	stop := errors.New("stop")
	mustClose(t, l)
	l = mustOpen(t, testOptions(dir))
	if err := l.Replay(func([]byte) error { return stop }); err != stop {
		t.Fatalf("replay answered %v", err)
	}
}

// A lazy record is fsynced within the interval without anybody asking.
func TestIntervalSyncsByItself(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	if err := l.WaitSynced(l.Append([]byte("lazy"), false)); err != nil {
		t.Fatal(err)
	}
}

func TestNotifyComesBeforeTheWaits(t *testing.T) {
	l := mustOpen(t, testOptions(t.TempDir()))
	var written, synced atomic.Uint64
	l.Notify(func(w, s uint64) {
		if w < written.Load() || s < synced.Load() || s > w {
			t.Errorf("notify went back: %d %d after %d %d", w, s, written.Load(), synced.Load())
		}
		written.Store(w)
		synced.Store(s)
	})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range 100 {
				seq := l.Append([]byte(record(n)), (n+worker)%3 == 0)
				if err := l.WaitWritten(seq); err != nil || written.Load() < seq {
					t.Errorf("written %d after wait for %d: %v", written.Load(), seq, err)
				}
				if n%10 != 0 {
					continue
				}
				if err := l.WaitSynced(seq); err != nil || synced.Load() < seq {
					t.Errorf("synced %d after wait for %d: %v", synced.Load(), seq, err)
				}
			}
		}()
	}
	group.Wait()
}

// Small segments make every batch roll several times; big records make frames of their own.
func TestManySegmentsAndBigRecords(t *testing.T) {
	dir := t.TempDir()
	options := testOptions(dir)
	options.SegmentBytes = 1000
	l := mustOpen(t, options)
	var want []string
	for life := range 3 {
		for n := range 300 {
			body := record(n)
			if n%100 == 7 {
				body = strings.Repeat(string(rune('a'+life)), 200<<10)
			}
			want = append(want, body)
			seq := l.Append([]byte(body), n%9 == 0)
			if n%9 == 0 {
				if err := l.WaitSynced(seq); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustClose(t, l)
		options.SegmentBytes = []int{700, 5000, 1000}[life] // a size that changes between lives must not matter
		l = mustOpen(t, options)
		got := records(t, l)
		if len(got) != len(want) {
			t.Fatalf("life %d: %d records, want %d", life, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("life %d: record %d differs", life, i)
			}
		}
	}
	segments, err := listSegments(filepath.Join(dir, "queue", "wal-1"))
	if err != nil || len(segments) < 20 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
}

// The writer's idea of where the log ends must be the file's: a failed write is taken back to it.
func TestTailMirrorsTheFiles(t *testing.T) {
	dir := t.TempDir()
	options := testOptions(dir)
	options.SegmentBytes = 777
	l := mustOpen(t, options)
	appendSynced(t, l, 0, 200)
	mustClose(t, l)
	segments, err := listSegments(l.writer.directory())
	if err != nil {
		t.Fatal(err)
	}
	last := segments[len(segments)-1]
	info, err := os.Stat(last.path)
	if err != nil {
		t.Fatal(err)
	}
	// Close has added its own frame to the segment that the mirror names.
	if last.first != l.writer.tailFirst && last.first != l.writer.tailFirst+1 {
		t.Fatalf("last segment %d, mirror says %d", last.first, l.writer.tailFirst)
	}
	if last.first == l.writer.tailFirst && info.Size() != l.writer.tailBytes+entryBytes(frameHeaderBytes) && info.Size() != l.writer.tailBytes {
		t.Fatalf("tail is %d bytes, mirror says %d", info.Size(), l.writer.tailBytes)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "A", "x y"} {
		if _, err := Open(Options{Dir: t.TempDir(), Name: name}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	var b batch
	body := bytes.Repeat([]byte("x"), 160)
	for n := range 1000 {
		b.add(body, uint64(n), true)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		b.reset()
		for n := range 1000 {
			b.add(body, uint64(n), true)
		}
	}); allocs > 0 {
		t.Fatalf("%v allocations per 1000 records", allocs)
	}
}

func BenchmarkGroupCommit(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), Name: "bench", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	body := bytes.Repeat([]byte("x"), 160)
	const workers, depth = 50, 16
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for left.Add(-depth) > -depth {
				var seq uint64
				for range depth {
					seq = l.Append(body, true)
				}
				if err := l.WaitSynced(seq); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
