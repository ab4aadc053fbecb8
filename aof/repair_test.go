package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// longLog writes many small frames into several segments and leaves a short last one.
func longLog(t *testing.T, dir string) (options Options, segments []segmentFile) {
	t.Helper()
	options = testOptions(dir)
	options.SegmentBytes = 60_000
	l := mustOpen(t, options)
	for n := 0; ; n++ {
		appendSynced(t, l, n, n+1)
		if n > 1800 && l.writer.tailBytes > 0 && l.writer.tailBytes < 300 {
			break
		}
	}
	mustClose(t, l)
	segments, err := listSegments(filepath.Join(dir, options.Name, "wal-1"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	return options, segments
}

// Whichever segment is lost, emptied or cut short: a start refuses and names it, and a repair keeps every other record.
func TestLostSegments(t *testing.T) {
	dir := t.TempDir()
	options, segments := longLog(t, dir)
	all := records(t, mustOpen(t, options))
	for _, name := range []string{ballastName, reserveName} {
		if err := os.Remove(filepath.Join(dir, options.Name, name)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range segments {
		for _, way := range []string{"deleted", "emptied", "short"} {
			t.Run(fmt.Sprintf("%s %d of %d", way, i+1, len(segments)), func(t *testing.T) {
				tried := filepath.Join(t.TempDir(), "copy")
				if err := os.CopyFS(tried, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(tried, options.Name, "wal-1", segmentName(segments[i].first))
				var err error
				switch way {
				case "deleted":
					err = os.Remove(path)
				case "emptied":
					err = os.Truncate(path, 0)
				default:
					info, statErr := os.Stat(path)
					if statErr != nil {
						t.Fatal(statErr)
					}
					err = os.Truncate(path, info.Size()-1)
				}
				if err != nil {
					t.Fatal(err)
				}
				again := options
				again.Dir = tried
				_, err = Open(again)
				var corruption *CorruptionError
				if !errors.As(err, &corruption) || corruption.Repair == "" {
					t.Fatalf("opened without segment %d: %v", i, err)
				}
				if _, err := Repair(tried, RepairOptions{AcceptLoss: true}); err != nil {
					t.Fatal(err)
				}
				wantAllBut(t, records(t, mustOpen(t, again)), all, segments, i, way)
			})
		}
	}
}

// wantAllBut checks that exactly the records of one segment are gone, or only its last one when it was cut short. Each
// record has a frame of its own, so frame n holds record n-1.
func wantAllBut(t *testing.T, got, all []string, segments []segmentFile, lost int, way string) {
	t.Helper()
	first, last := int(segments[lost].first), len(all)
	if lost+1 < len(segments) {
		last = int(segments[lost+1].first) - 1
	}
	if way == "short" {
		first = last
		if lost+1 == len(segments) {
			first, last = len(all)+1, len(all) // the last frame is the CLOSE frame
		}
	}
	want := append(append([]string(nil), all[:first-1]...), all[last:]...)
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("record %d is %q, want %q", i, got[i], want[i])
		}
	}
}

// Without MANIFEST, repair must not bring back what a snapshot has replaced, whichever of a compaction's files are there.
func TestRepairWithoutManifest(t *testing.T) {
	for _, stop := range []string{"snapshot: renamed", "snapshot: manifest written", "snapshot: old files removed"} {
		t.Run(stop, func(t *testing.T) {
			dir := t.TempDir()
			copied := filepath.Join(t.TempDir(), "copy")
			options := testOptions(dir)
			with := productionSeams()
			with.step = func(name string) {
				if name == stop {
					if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
						t.Error(err)
					}
				}
			}
			l, err := openLog(options, with)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			appendSynced(t, l, 0, 10)
			finish, err := l.Cut()
			if err != nil {
				t.Fatal(err)
			}
			appendSynced(t, l, 10, 15)
			if err := finish(func(emit func([]byte) error) error {
				for n := range 10 {
					if err := emit([]byte(record(n))); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(copied, options.Name, manifestName)); err != nil {
				t.Fatal(err)
			}
			options.Dir = copied
			if _, err := Open(options); err == nil {
				t.Fatal("opened without MANIFEST")
			}
			if _, err := Repair(copied, RepairOptions{AcceptLoss: true}); err != nil {
				t.Fatal(err)
			}
			wantRecords(t, records(t, mustOpen(t, options)), 0, 15)
		})
	}
}

// What repair sets aside must stay as it was: the log that goes on must not write into it.
func TestQuarantineIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	options := testOptions(dir)
	l := mustOpen(t, options)
	appendSynced(t, l, 0, 10)
	mustClose(t, l)
	segment := filepath.Join(dir, options.Name, "wal-1", segmentName(1))
	bytes, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	bytes[100] ^= 1
	if err := os.WriteFile(segment, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(watermarkPath(dir, options.Name))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Repair(dir, RepairOptions{AcceptLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, options)
	appendSynced(t, l, 0, 3)
	after, err := os.ReadFile(filepath.Join(report.Logs[0].Quarantine, filepath.Base(watermarkPath(dir, options.Name))))
	if err != nil || string(after) != string(before) {
		t.Fatalf("the watermark in quarantine has changed: %v", err)
	}
}

// Every bit of a snapshot, and every shorter one, is noticed.
func TestDamagedSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap-3")
	id := logID{1, 2, 3}
	if _, err := writeSnapshot(path, id, 3, func(emit func([]byte) error) error {
		for n := range 5 {
			if err := emit([]byte(record(n))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(bytes []byte) error {
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := readSnapshot(path, id, 3, nil)
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for size := range good {
		if read(good[:size]) == nil {
			t.Fatalf("%d of %d bytes were accepted", size, len(good))
		}
	}
	for bit := range 8 * len(good) {
		damaged := append([]byte(nil), good...)
		damaged[bit/8] ^= 1 << (bit % 8)
		if read(damaged) == nil {
			t.Fatalf("bit %d was not noticed", bit)
		}
	}
	if read(append(good, 0)) == nil {
		t.Fatal("a byte behind the end was not noticed")
	}
}

// Whichever block of a snapshot is damaged, in whatever part of it: a repair keeps every other one, and names the lost.
func TestRepairKeepsTheOtherBlocksOfASnapshot(t *testing.T) {
	dir := t.TempDir()
	options := testOptions(dir)
	l := mustOpen(t, options)
	finish, err := l.Cut()
	if err != nil {
		t.Fatal(err)
	}
	const count = 9
	body := func(n int) string { return fmt.Sprintf("%d-%s", n, strings.Repeat("b", 1<<20)) } // a block each, 9 MiB in all
	if err := finish(func(emit func([]byte) error) error {
		for n := range count {
			if err := emit([]byte(body(n))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	appendSynced(t, l, 0, 3)
	mustClose(t, l)
	path := filepath.Join(dir, options.Name, "snap-2")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block := (len(good) - snapshotHeaderBytes) / count
	for name, c := range map[string]struct {
		change func(bytes []byte) []byte
		lost   []int
		said   string
	}{
		"the header":     {func(b []byte) []byte { b[3] ^= 1; return b }, nil, ""},
		"the first":      {func(b []byte) []byte { b[100] ^= 1; return b }, []int{0}, "frames 1 to 1 of the snapshot snap-2"},
		"a length":       {func(b []byte) []byte { b[snapshotHeaderBytes+4*block+5] ^= 1; return b }, []int{4}, "frames 5 to 5 of the snapshot snap-2"},
		"two":            {func(b []byte) []byte { b[2*block] ^= 1; b[6*block] ^= 1; return b }, []int{1, 5}, "frames 6 to 6 of the snapshot snap-2"},
		"the last":       {func(b []byte) []byte { b[len(b)-100] ^= 1; return b }, []int{8}, "frames 9 to 9 of the snapshot snap-2"},
		"the end":        {func(b []byte) []byte { b[len(b)-3] ^= 1; return b }, nil, ""},
		"cut in the mid": {func(b []byte) []byte { return b[:5*block] }, []int{4, 5, 6, 7, 8}, "frames 5 and after of the snapshot snap-2"},
		"a hole":         {func(b []byte) []byte { return append(b[:3*block+10], b[4*block:]...) }, []int{3}, "frames 4 to 4 of the snapshot snap-2"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, c.change(slices.Clone(good)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(options); err == nil {
				t.Fatal("opened")
			}
			tried := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(tried, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			report, err := Repair(tried, RepairOptions{AcceptLoss: true})
			if err != nil {
				t.Fatal(err)
			}
			if said := report.String(); !strings.Contains(said, c.said) || c.said == "" && strings.Contains(said, "lost") {
				t.Fatal(said)
			}
			again := options
			again.Dir = tried
			var want []string
			for n := range count {
				if !slices.Contains(c.lost, n) {
					want = append(want, body(n))
				}
			}
			for n := range 3 {
				want = append(want, record(n))
			}
			if got := records(t, mustOpen(t, again)); !slices.Equal(got, want) {
				t.Fatalf("%d records, want %d", len(got), len(want))
			}
		})
	}
}

// TestALogThatWasBeingMadeIsGood: a crash before the first MANIFEST leaves what a start takes for a new log, so there is nothing to repair.
func TestALogThatWasBeingMadeIsGood(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := makeGeneration(filepath.Join(dir, "log"), 1); err != nil {
		t.Fatal(err)
	}
	salvagers := map[string]func() Salvager{"log": func() Salvager { t.Error("asked"); return nil }}
	for _, options := range []RepairOptions{{DryRun: true}, {AcceptLoss: true}, {AcceptLoss: true, Salvagers: salvagers}} {
		report, err := Repair(dir, options)
		if err != nil || report.Damaged() || report.Repaired || len(report.Logs) != 1 {
			t.Fatal(report, err)
		}
	}
	write(t, dir, 3)
}
