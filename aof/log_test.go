package aof

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(Options{Dir: dir, Name: "log", SyncInterval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// replayed opens the log, replays it, closes it, and returns the records.
func replayed(t testing.TB, dir string) []string {
	t.Helper()
	l := open(t, dir)
	defer l.Close()
	return records(t, l)
}

func records(t testing.TB, l *Log) (list []string) {
	t.Helper()
	if err := l.Replay(func(body []byte) error {
		list = append(list, string(body))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func body(n int) string { return fmt.Sprintf("record %03d %s", n, bytes.Repeat([]byte("x"), n%40)) }

// write appends n records, each fsynced by itself, and leaves the log without a farewell, as a kill does.
func write(t testing.TB, dir string, n int) {
	t.Helper()
	l := open(t, dir)
	start := len(records(t, l))
	for i := 0; i < n; i++ {
		if err := l.WaitSynced(l.Append([]byte(body(start+i)), true)); err != nil {
			t.Fatal(err)
		}
	}
	abandon(l)
}

// abandon stops a log's goroutine without its CLOSE frame on disk: the directory is copied before the Close.
func abandon(l *Log) {
	kept := l.directory + ".kept"
	beside := map[string][]byte{filepath.Join(l.options.Dir, listName): nil, watermarkPath(l.options.Dir, l.options.Name): nil}
	for path := range beside {
		bytes, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		beside[path] = bytes
	}
	if err := os.CopyFS(kept, os.DirFS(l.directory)); err != nil {
		panic(err)
	}
	_ = l.Close()
	for path, bytes := range beside {
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			panic(err)
		}
	}
	if err := os.RemoveAll(l.directory); err != nil {
		panic(err)
	}
	if err := os.Rename(kept, l.directory); err != nil {
		panic(err)
	}
	// A start makes it again; without it the many copies that the tests take are small.
	for _, name := range []string{ballastName, reserveName} {
		if err := os.Remove(filepath.Join(l.directory, name)); err != nil {
			panic(err)
		}
	}
}

// expectPrefix fails unless the records are body(0), body(1), and so on.
func expectPrefix(t testing.TB, list []string) {
	t.Helper()
	for i, record := range list {
		if record != body(i) {
			t.Fatalf("record %d is %q, want %q", i, record, body(i))
		}
	}
}

func segment(dir string) string {
	return filepath.Join(dir, "log", "wal-1", segmentName(1))
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for life := 1; life <= 3; life++ {
		write(t, dir, 10)
		list := replayed(t, dir) // and a clean close
		if len(list) != 10*life {
			t.Fatalf("life %d: %d records", life, len(list))
		}
		expectPrefix(t, list)
	}
}

func TestGroupCommit(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	records(t, l)
	var highest uint64
	l.Notify(func(written, synced uint64) {
		if synced > written || synced < highest {
			t.Errorf("written %d, synced %d after %d", written, synced, highest)
		}
		highest = synced
	})
	var writers sync.WaitGroup
	for w := 0; w < 20; w++ {
		writers.Go(func() {
			for n := 0; n < 50; n++ {
				if err := l.WaitSynced(l.Append(fmt.Appendf(nil, "%d %d", w, n), true)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	abandon(l)
	next := map[int]int{}
	for _, record := range replayed(t, dir) {
		var w, n int
		fmt.Sscan(record, &w, &n)
		if n != next[w] {
			t.Fatalf("writer %d: record %d follows %d", w, n, next[w]-1)
		}
		next[w]++
	}
	if len(next) != 20 || next[7] != 50 {
		t.Fatalf("recovered %v", next)
	}
}

// TestFlippedBits flips every bit of a log: each is refused, or cuts the tail when nothing says that it was durable. No
// damaged record is ever fed.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 8)
	good, err := os.ReadFile(segment(dir))
	if err != nil {
		t.Fatal(err)
	}
	refused, cut := 0, 0
	for at := range good {
		for bit := 0; bit < 8; bit++ {
			damaged := bytes.Clone(good)
			damaged[at] ^= 1 << bit
			switch outcome(t, dir, damaged) {
			case "refused":
				refused++
			case "cut":
				cut++
			}
		}
	}
	t.Logf("%d flips: %d refused, %d cut", 8*len(good), refused, cut)
	if refused+cut != 8*len(good) || refused == 0 {
		t.Errorf("%d of %d flips were not noticed", 8*len(good)-refused-cut, 8*len(good))
	}
}

// outcome opens a copy of the log whose only segment is replaced by bytes.
func outcome(t *testing.T, dir string, segmentBytes []byte) string {
	t.Helper()
	tried := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(tried, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tried)
	if err := os.WriteFile(segment(tried), segmentBytes, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Dir: tried, Name: "log"})
	if err != nil {
		var corruption *CorruptionError
		if !errors.As(err, &corruption) || corruption.File == "" || corruption.Repair == "" {
			t.Fatalf("refused without saying where and what to do: %v", err)
		}
		return "refused"
	}
	list := records(t, l)
	l.Close()
	expectPrefix(t, list)
	if len(list) < 8 {
		return "cut"
	}
	return "whole"
}

// TestTruncations cuts a log at every byte. What the watermark knows as durable is missed; a log whose watermark lags is
// cut back to its last whole frame.
func TestTruncations(t *testing.T) {
	for _, watermarked := range []bool{true, false} {
		t.Run(fmt.Sprintf("watermark %v", watermarked), func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, 8)
			if !watermarked {
				if err := os.Remove(watermarkPath(dir, "log")); err != nil {
					t.Fatal(err)
				}
			}
			good, err := os.ReadFile(segment(dir))
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int{}
			for size := range good {
				counts[outcome(t, dir, good[:size])]++
			}
			t.Logf("%d cuts: %v", len(good), counts)
			if counts["whole"] != 0 || watermarked && counts["cut"] != 0 || !watermarked && counts["refused"] != 0 {
				t.Errorf("outcomes %v", counts)
			}
		})
	}
}

// TestGarbageTails appends zeros, ones and old data of many lengths: everything acknowledged is there and nothing else.
func TestGarbageTails(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 8)
	good, err := os.ReadFile(segment(dir))
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size <= 600; size += 7 {
		for _, tail := range [][]byte{make([]byte, size), bytes.Repeat([]byte{0xff}, size), good[:min(size, len(good))]} {
			if got := outcome(t, dir, append(bytes.Clone(good), tail...)); got != "whole" {
				t.Fatalf("%d bytes %x... behind the log: %s", size, tail[:1], got)
			}
		}
	}
}

// TestMissingFiles takes away what a log needs: it is never opened as an empty one.
func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 8)
	for _, name := range []string{manifestName, "wal-1", filepath.Join("wal-1", segmentName(1))} {
		t.Run(name, func(t *testing.T) {
			tried := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(tried, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(tried, "log", name)); err != nil {
				t.Fatal(err)
			}
			_, err := Open(Options{Dir: tried, Name: "log"})
			var corruption *CorruptionError
			if !errors.As(err, &corruption) {
				t.Fatalf("without %s: %v", name, err)
			}
		})
	}
}

// TestRepair damages each record in turn: the repair keeps all others, in order, and the old files.
func TestRepair(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 8)
	good, err := os.ReadFile(segment(dir))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 8; n++ {
		tried := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(tried, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		damaged := bytes.Clone(good)
		damaged[bytes.Index(good, []byte(body(n)))] ^= 1
		if err := os.WriteFile(segment(tried), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		dry, err := Repair(tried, RepairOptions{DryRun: true})
		if err != nil || dry.Repaired || dry.Logs[0].Records != 7 || len(dry.Logs[0].Lost) != 1 {
			t.Fatalf("dry run: %v %v", dry, err)
		}
		if _, err := Repair(tried, RepairOptions{}); !errors.Is(err, ErrLossNotAccepted) {
			t.Fatalf("loss without consent: %v", err)
		}
		done, err := Repair(tried, RepairOptions{AcceptLoss: true})
		if err != nil || !done.Repaired {
			t.Fatalf("repair: %v", err)
		}
		kept, err := os.ReadFile(filepath.Join(done.Logs[0].Quarantine, "wal-1", segmentName(1)))
		if err != nil || !bytes.Equal(kept, damaged) {
			t.Fatalf("the old segment is not in quarantine: %v", err)
		}
		write(t, tried, 1) // it goes on
		list := replayed(t, tried)
		if len(list) != 8 {
			t.Fatalf("%d records after the repair", len(list))
		}
		for i, record := range list[:7] {
			want := body(i)
			if i >= n {
				want = body(i + 1)
			}
			if record != want {
				t.Fatalf("record %d damaged: %d is %q", n, i, record)
			}
		}
	}
}

// TestCompaction replaces a log by a snapshot while it is written to.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	records(t, l)
	for n := 0; n < 100; n++ {
		l.Append([]byte(body(n)), false)
	}
	finish, err := l.Cut()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Cut(); err == nil {
		t.Fatal("a second compaction began")
	}
	for n := 100; n < 120; n++ {
		l.Append([]byte(body(n)), true)
	}
	if err := finish(func(emit func([]byte) error) error {
		for n := 0; n < 100; n++ {
			if err := emit([]byte(body(n))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSynced(l.Append([]byte(body(120)), true)); err != nil {
		t.Fatal(err)
	}
	abandon(l)
	list := replayed(t, dir)
	if len(list) != 121 {
		t.Fatalf("%d records", len(list))
	}
	expectPrefix(t, list)
}

// TestFailedCompaction keeps the old log the truth.
func TestFailedCompaction(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	records(t, l)
	for n := 0; n < 50; n++ {
		l.Append([]byte(body(n)), true)
	}
	finish, err := l.Cut()
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("the dump failed")
	if err := finish(func(func([]byte) error) error { return failure }); !errors.Is(err, failure) {
		t.Fatalf("finish: %v", err)
	}
	if err := l.WaitSynced(l.Append([]byte(body(50)), true)); err != nil {
		t.Fatal(err)
	}
	abandon(l)
	list := replayed(t, dir)
	if len(list) != 51 {
		t.Fatalf("%d records", len(list))
	}
	expectPrefix(t, list)
}

// TestCrashInCompaction copies the directory at every step of a compaction: each copy opens with every record.
func TestCrashInCompaction(t *testing.T) {
	dir := t.TempDir()
	copies := t.TempDir()
	var mu sync.Mutex
	steps := map[string]bool{}
	var l *Log
	snap := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if steps[name] {
			return
		}
		steps[name] = true
		if err := os.CopyFS(filepath.Join(copies, fmt.Sprintf("%02d", len(steps))), os.DirFS(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	l, err := openLog(Options{Dir: dir, Name: "log"}, productionSeams())
	if err != nil {
		t.Fatal(err)
	}
	records(t, l)
	for n := 0; n < 40; n++ {
		l.Append([]byte(body(n)), true)
	}
	if err := l.WaitSynced(40); err != nil {
		t.Fatal(err)
	}
	l.seams.step = snap
	finish, err := l.Cut()
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(func(emit func([]byte) error) error {
		for n := 0; n < 40; n++ {
			if err := emit([]byte(body(n))); err != nil {
				return err
			}
		}
		snap("dump: written")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if len(steps) < 3 {
		t.Fatalf("only the steps %v were seen", steps)
	}
	states, err := os.ReadDir(copies)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		list := replayed(t, filepath.Join(copies, state.Name()))
		if len(list) != 40 {
			t.Errorf("state %s of %v: %d records", state.Name(), steps, len(list))
		}
		expectPrefix(t, list)
	}
	t.Logf("%d states", len(states))
}

// TestLock gives a directory to one process only.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	lock, err := LockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if _, err := LockDirectory(dir); !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Fatalf("a second lock: %v", err)
	}
	lock.Unlock()
	if lock, err = LockDirectory(dir); err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add(bytes.Repeat([]byte{0}, 64), uint32(0))
	f.Fuzz(func(t *testing.T, data []byte, seed uint32) {
		frame, length, err := decodeEntry(data, seed)
		if err == nil && (length > len(data) || frame.index == 0) {
			t.Fatalf("accepted %d of %d bytes, index %d", length, len(data), frame.index)
		}
		resync(data, seed, 1)
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(manifest{generations: []uint64{1}}.encode())
	f.Add(manifest{snapshot: 4, generations: []uint64{4, 5}}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := decodeManifest(data); err == nil && !bytes.Equal(m.encode(), data) {
			t.Fatal("accepted what encode does not write")
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "seed")
	if _, err := writeSnapshot(path, logID{1}, 2, func(emit func([]byte) error) error { return emit([]byte("record")) }); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "snap")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := readSnapshot(path, logID{1}, 2, func([]byte) error { return nil })
		if err == nil && !bytes.Equal(data, seed) && len(data) < len(seed) {
			t.Fatal("a shorter snapshot was accepted")
		}
	})
}
