package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/wal"
)

// faultyWAL fails on command the way the real one does: half of what it was given is on disk when a write fails, and
// after any failure it must not be written to again.
type faultyWAL struct {
	segmentLog
	path   string
	faults *faults
	dead   bool
}

// faults decides which calls fail.
type faults struct {
	mu           sync.Mutex
	write        error  // of WriteBatch, while set
	writeOp      string // what WriteBatch was doing: "sync" when it failed to close a segment
	sync         error  // of the next Sync, once
	open         error  // of Open, while set
	writes       int
	misuse       bool // a wal was written to or fsynced after it had failed
	halfWritten  bool
	syncFailures int
}

func (f *faults) set(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (w *faultyWAL) WriteBatch(batch *wal.Batch) error {
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	if w.dead {
		w.faults.misuse = true
	}
	if w.faults.write == nil {
		return w.segmentLog.WriteBatch(batch)
	}
	w.dead = true
	w.faults.writes++
	segments, err := listSegments(w.path)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(segments[len(segments)-1].path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString("\x60half a frame that did not fit"); err != nil {
		return err
	}
	w.faults.halfWritten = true
	// A segment that the failed batch had already begun must go too.
	next := filepath.Join(w.path, segmentName(segments[len(segments)-1].first+1_000_000))
	if err := os.WriteFile(next, []byte("begun"), 0o600); err != nil {
		return err
	}
	return &os.PathError{Op: w.faults.writeOp, Path: w.path, Err: w.faults.write}
}

func (w *faultyWAL) Sync() error {
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	if w.dead {
		w.faults.misuse = true
	}
	if err := w.faults.sync; err != nil {
		w.faults.sync, w.dead = nil, true
		w.faults.syncFailures++
		return &os.PathError{Op: "sync", Path: w.path, Err: err}
	}
	return w.segmentLog.Sync()
}

func openFaulty(t *testing.T, options Options) (*Log, *faults) {
	t.Helper()
	f := &faults{writeOp: "write"}
	with := productionSeams()
	production := with.open
	with.open = func(path string, options *wal.Options) (segmentLog, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open != nil {
			return nil, f.open
		}
		log, err := production(path, options)
		if err != nil {
			return nil, err
		}
		return &faultyWAL{segmentLog: log, path: path, faults: f}, nil
	}
	l, err := openLog(options, with)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, f
}

// eventually waits for what another goroutine brings about by itself.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e interface{ Code() string }
	if !errors.As(err, &e) || e.Code() != code || !strings.HasPrefix(err.Error(), code+" ") {
		t.Fatalf("%v, want an error of code %s", err, code)
	}
}

// What does not fit stays queued, in order, and is written when there is room: nothing is lost, doubled or swapped.
func TestWritesAreDoneAgainWhenSpaceReturns(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE} {
		t.Run(cause.Error(), func(t *testing.T) {
			dir := t.TempDir()
			options := testOptions(dir)
			options.SegmentBytes = 2000
			l, f := openFaulty(t, options)
			appendSynced(t, l, 0, 20)
			f.set(func(f *faults) { f.write = cause })
			for n := 20; n < 60; n++ {
				l.Append([]byte(record(n)), n%2 == 0)
			}
			eventually(t, "refusal", func() bool { return l.Ready() != nil })
			code := CodeDiskFull
			if cause == syscall.EMFILE {
				code = CodeIO
			}
			wantCode(t, l.Ready(), code)
			if l.synced.Load() != 20 {
				t.Fatalf("synced %d of 20", l.synced.Load())
			}
			// The wal cannot be opened again at first either.
			f.set(func(f *faults) { f.open = syscall.EMFILE })
			eventually(t, "attempts", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.writes >= 1 })
			f.set(func(f *faults) { f.write, f.open = nil, nil })
			if err := l.WaitSynced(60); err != nil {
				t.Fatal(err)
			}
			appendSynced(t, l, 60, 80)
			eventually(t, "new data is taken again", func() bool { return l.Ready() == nil })
			if f.misuse || !f.halfWritten {
				t.Fatalf("misuse %v, half written %v", f.misuse, f.halfWritten)
			}
			mustClose(t, l)
			wantRecords(t, records(t, mustOpen(t, options)), 0, 80)
		})
	}
}

// A tail that is over the size of segments, because that was made smaller since, is closed before the first write: the
// rewind must know, or it would remove the new segment and what was acked in it.
func TestRewindAfterSmallerSegments(t *testing.T) {
	options := testOptions(t.TempDir())
	l := mustOpen(t, options)
	appendSynced(t, l, 0, 50)
	mustClose(t, l)
	options.SegmentBytes = 1500
	l, f := openFaulty(t, options)
	wantRecords(t, records(t, l), 0, 50)
	appendSynced(t, l, 50, 55)
	f.set(func(f *faults) { f.write = syscall.ENOSPC })
	l.Append([]byte(record(55)), true)
	eventually(t, "a failed write", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.writes > 0 })
	f.set(func(f *faults) { f.write = nil })
	if err := l.WaitSynced(6); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	wantRecords(t, records(t, mustOpen(t, options)), 0, 56)
}

// A Wait does not last for ever on a full disk, and says that it knows nothing; the record is written all the same.
func TestWaitGivesUpOnAFullDisk(t *testing.T) {
	options := testOptions(t.TempDir())
	l, f := openFaulty(t, options)
	f.set(func(f *faults) { f.write = syscall.ENOSPC })
	begun := time.Now()
	err := l.WaitSynced(l.Append([]byte(record(0)), true))
	wantCode(t, err, CodeIO)
	if !strings.Contains(err.Error(), "outcome is unknown") || time.Since(begun) < waitLimit {
		t.Fatalf("after %v: %v", time.Since(begun), err)
	}
	f.set(func(f *faults) { f.write = nil })
	if err := l.WaitSynced(1); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	wantRecords(t, records(t, mustOpen(t, options)), 0, 1)
}

// Close of a log that cannot write ends, says so, and loses nothing that was acked.
func TestCloseOnAFullDisk(t *testing.T) {
	options := testOptions(t.TempDir())
	l, f := openFaulty(t, options)
	appendSynced(t, l, 0, 5)
	f.set(func(f *faults) { f.write = syscall.ENOSPC })
	seq := l.Append([]byte(record(5)), true)
	err := l.Close()
	wantCode(t, err, CodeIO)
	wantCode(t, l.WaitSynced(seq), CodeIO)
	wantRecords(t, records(t, mustOpen(t, options)), 0, 5)
}

// A failed fsync or an I/O error ends the log for good: nothing is retried, nothing acked later.
func TestFailuresThatAreFinal(t *testing.T) {
	for name, inject := range map[string]func(*faults){
		"fsync EIO":    func(f *faults) { f.sync = syscall.EIO },
		"fsync ENOSPC": func(f *faults) { f.sync = syscall.ENOSPC },
		"write EIO":    func(f *faults) { f.write = syscall.EIO },
		// The wal fsyncs a segment by itself before it begins the next: the same rule, whatever the errno.
		"roll fsync ENOSPC": func(f *faults) { f.write, f.writeOp = syscall.ENOSPC, "sync" },
	} {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t.TempDir())
			l, f := openFaulty(t, options)
			appendSynced(t, l, 0, 5)
			f.set(inject)
			for range 3 {
				wantCode(t, l.WaitSynced(l.Append([]byte(record(5)), true)), CodeIO)
				wantCode(t, l.Ready(), CodeIO)
			}
			if err := l.WaitSynced(5); err != nil {
				t.Fatalf("what was durable before: %v", err)
			}
			if _, err := l.Cut(); err == nil {
				t.Fatal("a failed log began a compaction")
			}
			if f.misuse || f.syncFailures > 1 || f.writes > 1 {
				t.Fatalf("misuse %v, %d failed fsyncs, %d failed writes", f.misuse, f.syncFailures, f.writes)
			}
			wantCode(t, l.Close(), CodeIO)
		})
	}
}

// Ready refuses before the disk is full, does not flutter, and the answer names the figures.
func TestFreeSpaceLimit(t *testing.T) {
	var mu sync.Mutex
	free := int64(1000 << 20)
	setFree := func(bytes int64) { mu.Lock(); free = bytes; mu.Unlock() }
	with := productionSeams()
	with.space = func(string) (int64, int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, 16 << 20, nil // the ballast is a sixteenth
	}
	options := testOptions(t.TempDir())
	options.MinFreeBytes = 100 << 20
	l, err := openLog(options, with)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Ready(); err != nil {
		t.Fatal(err)
	}
	setFree(99 << 20)
	eventually(t, "refusal", func() bool { return l.Ready() != nil })
	wantCode(t, l.Ready(), CodeDiskFull)
	appendSynced(t, l, 0, 3) // acks and deletes go on
	setFree(105 << 20)
	time.Sleep(3 * spaceCheckInterval / 2) // longer than a check: between the limit and 110% nothing changes
	wantCode(t, l.Ready(), CodeDiskFull)
	setFree(110 << 20)
	eventually(t, "new data is taken again", func() bool { return l.Ready() == nil })
}

// TestFullFileSystem fills a real file system over and over: whatever was acked is there, in order, after each restart.
func TestFullFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, 0) })
	options := testOptions(mount)
	options.SegmentBytes = 64 << 10
	options.SyncInterval = time.Hour
	l := mustOpen(t, options)
	body := func(n int) []byte { return fmt.Appendf(nil, "%08d%s", n, strings.Repeat("y", 2000)) }
	var next int
	var live []string // what a snapshot would hold
	hog := filepath.Join(mount, "hog")
	for cycle := range 4 {
		// Somebody else takes all but a little, then the log fills the rest. Ready is not asked: the worst client.
		takeAllBut(t, hog, mount, int64(100+150*cycle)<<10)
		for l.Ready() == nil {
			seq := l.Append(body(next), true)
			live = append(live, string(body(next)))
			next++
			if l.queuedBytes.Load() > 256<<10 {
				break
			}
			if next%16 == 0 {
				_ = l.WaitSynced(seq) // the answer is unknown on a full disk; the end of the cycle counts
			}
		}
		for range 300 {
			l.Append(body(next), true)
			live = append(live, string(body(next)))
			next++
		}
		eventually(t, "disk full", func() bool { return l.Ready() != nil })
		wantCode(t, l.Ready(), CodeDiskFull)
		if err := os.Remove(hog); err != nil {
			t.Fatal(err)
		}
		if err := l.WaitSynced(uint64(next)); err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		eventually(t, "room again", func() bool { return l.Ready() == nil })
		finish, err := l.Cut()
		if err != nil {
			t.Fatal(err)
		}
		keep := live[max(0, len(live)-50):]
		if err := finish(func(emit func([]byte) error) error {
			for _, record := range keep {
				if err := emit([]byte(record)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		live = append([]string(nil), keep...)
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(mount)); err != nil {
			t.Fatal(err)
		}
		again := options
		again.Dir = copied
		got := records(t, mustOpen(t, again))
		if len(got) != len(live) {
			t.Fatalf("cycle %d: %d records, want %d", cycle, len(got), len(live))
		}
		for i := range got {
			if got[i] != live[i] {
				t.Fatalf("cycle %d: record %d differs", cycle, i)
			}
		}
	}
	mustClose(t, l)
}

// takeAllBut fills a file system until only so many bytes are free.
func takeAllBut(t *testing.T, hog, mount string, rest int64) {
	t.Helper()
	free, _, err := fileSystemSpace(mount)
	if err != nil {
		t.Fatal(err)
	}
	if free > rest {
		if err := os.WriteFile(hog, make([]byte, free-rest), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(hog, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
