package aof

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// neighbours opens two logs of one data directory, as the server does, and leaves ten records in each.
func neighbours(t *testing.T, dir string) {
	t.Helper()
	lock, err := LockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	var logs []*Log
	for _, name := range []string{"queue", "stream"} {
		l := mustOpen(t, Options{Dir: dir, Name: name, Lock: lock})
		appendSynced(t, l, 0, 10)
		logs = append(logs, l)
	}
	for _, l := range logs {
		mustClose(t, l)
	}
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// replaceWith puts a directory in the place of another.
func replaceWith(t *testing.T, path, other string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(path, os.DirFS(other)); err != nil {
		t.Fatal(err)
	}
}

// compacted replaces the log's past by a snapshot of its ten records.
func compacted(t *testing.T, l *Log) {
	t.Helper()
	finish, err := l.Cut()
	if err != nil {
		t.Fatal(err)
	}
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
}

// A log that is missing, older than the list, or another one is refused with the command that repairs it, and nothing is
// made or changed in its place; the neighbour opens. The repair makes it a log again, with what is there.
func TestALogThatIsNotTheListedOne(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, dir string)
		said string
		left int
	}{
		"the directory is missing": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "stream")); err != nil {
				t.Fatal(err)
			}
		}, errLost.Error(), 0},
		"the files are missing": {func(t *testing.T, dir string) {
			replaceWith(t, filepath.Join(dir, "stream"), t.TempDir())
		}, errLost.Error(), 0},
		"MANIFEST is missing": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "stream", manifestName)); err != nil {
				t.Fatal(err)
			}
		}, errMissingFile.Error(), 10},
		"an older generation": {func(t *testing.T, dir string) {
			old := copied(t, dir)
			l := mustOpen(t, Options{Dir: dir, Name: "stream"})
			compacted(t, l)
			mustClose(t, l)
			replaceWith(t, filepath.Join(dir, "stream"), filepath.Join(old, "stream"))
		}, errOlder.Error(), 10},
		"an older end": {func(t *testing.T, dir string) {
			old := copied(t, dir)
			l := mustOpen(t, Options{Dir: dir, Name: "stream"})
			appendSynced(t, l, 10, 20)
			mustClose(t, l)
			replaceWith(t, filepath.Join(dir, "stream"), filepath.Join(old, "stream"))
		}, errMissingFrames.Error(), 10},
		"the log of another directory": {func(t *testing.T, dir string) {
			other := t.TempDir()
			neighbours(t, other)
			replaceWith(t, filepath.Join(dir, "stream"), filepath.Join(other, "stream"))
		}, errNotListed.Error(), 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			neighbours(t, dir)
			c.harm(t, dir)
			before := filesOf(t, dir)
			_, err := Open(Options{Dir: dir, Name: "stream"})
			var corruption *CorruptionError
			if !errors.As(err, &corruption) || corruption.Reason != c.said || corruption.Repair != "nexo repair "+dir {
				t.Fatal(err)
			}
			if after := filesOf(t, dir); after != before {
				t.Fatalf("the refusal changed\n%s\nto\n%s", before, after)
			}
			mustClose(t, mustOpen(t, Options{Dir: dir, Name: "queue"}))
			report, err := Check(dir)
			if err != nil || len(report.Logs) != 2 || report.Logs[0].Damage != nil || report.Logs[1].Damage == nil {
				t.Fatal(report, err)
			}
			dry, err := Repair(dir, RepairOptions{DryRun: true})
			if err != nil || len(dry.Logs[1].Lost) == 0 && c.left == 0 {
				t.Fatal(dry, err)
			}
			if _, err := Repair(dir, RepairOptions{AcceptLoss: true}); err != nil {
				t.Fatal(err)
			}
			l := mustOpen(t, Options{Dir: dir, Name: "stream"})
			wantRecords(t, records(t, l), 0, c.left)
			mustClose(t, l)
			if report, err := Check(dir); err != nil || report.Damaged() {
				t.Fatal(report, err)
			}
		})
	}
}

// filesOf names every file with its size.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && !entry.IsDir() {
			text.WriteString(path + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// A log that was killed, with an older copy of the same life and generation in its place, is missed up to its last fsync; so is
// one of which nothing but the claim is left.
func TestAnOlderCopyOfTheSameLife(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, dir, old string)
		said string
		left int
	}{
		"an older copy": {func(t *testing.T, dir, old string) {
			replaceWith(t, filepath.Join(dir, "log"), filepath.Join(old, "log"))
		}, errMissingFrames.Error(), 5},
		"nothing, not even the list": {func(t *testing.T, dir, _ string) {
			removed(t, filepath.Join(dir, listName))
			if err := os.RemoveAll(filepath.Join(dir, "log")); err != nil {
				t.Fatal(err)
			}
		}, errMissingFile.Error(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			appendSynced(t, l, 0, 5)
			old := copied(t, dir)
			appendSynced(t, l, 5, 8)
			abandon(l)
			c.harm(t, dir, old)
			var corruption *CorruptionError
			if _, err := Inspect(Options{Dir: dir, Name: "log"}); !errors.As(err, &corruption) || corruption.Reason != c.said {
				t.Fatal(err)
			}
			report, err := Repair(dir, RepairOptions{AcceptLoss: true})
			if err != nil || len(report.Logs) != 1 || len(report.Logs[0].Lost) != 1 || report.Logs[0].Records != uint64(c.left) {
				t.Fatal(report, err)
			}
			l = open(t, dir)
			wantRecords(t, records(t, l), 0, c.left)
			mustClose(t, l)
		})
	}
}

// The watermark of an earlier version, in the log's directory, counts until there is one beside it.
func TestTheWatermarkMovesOut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 8)
	inner := innerWatermarkPath(dir, "log")
	if err := os.Rename(watermarkPath(dir, "log"), inner); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(segment(dir))
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, dir, good[:len(good)-1]); got != "refused" {
		t.Fatalf("a shorter log: %s", got)
	}
	mustClose(t, open(t, dir))
	if _, err := os.Stat(inner); !isMissing(err) {
		t.Fatal("the watermark is still in the log's directory", err)
	}
	if mark, path, err := readWatermark(dir, "log"); err != nil || path != watermarkPath(dir, "log") || mark.index != 9 {
		t.Fatal(mark, path, err)
	}
}

// An earlier version that has written to the log since leaves both: the one that claims more counts. One that is damaged, as by a loss of
// power in the middle of the move, says nothing against the other.
func TestTwoWatermarks(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"older beside": func(t *testing.T, path string) {
			mark, err := readMark(path)
			if err != nil {
				t.Fatal(err)
			}
			mark.index = 2
			bytes := mark.encode()
			written(t, path, bytes[:])
		},
		"empty beside": func(t *testing.T, path string) { written(t, path, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, 8)
			mark, err := os.ReadFile(watermarkPath(dir, "log"))
			if err != nil {
				t.Fatal(err)
			}
			written(t, innerWatermarkPath(dir, "log"), mark)
			spoil(t, watermarkPath(dir, "log"))
			good, err := os.ReadFile(segment(dir))
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(t, dir, good[:len(good)-1]); got != "refused" {
				t.Fatalf("a shorter log: %s", got)
			}
			if got := outcome(t, dir, good); got != "whole" {
				t.Fatalf("the whole log: %s", got)
			}
		})
	}
}

func written(t *testing.T, path string, bytes []byte) {
	t.Helper()
	if err := os.WriteFile(path, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A data directory of before the list opens, and gets one.
func TestADirectoryWithoutTheListGetsIt(t *testing.T) {
	dir := t.TempDir()
	neighbours(t, dir)
	path := filepath.Join(dir, listName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	neighboursAgain(t, dir)
	list, err := readList(dir)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
}

func neighboursAgain(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"queue", "stream"} {
		l := mustOpen(t, Options{Dir: dir, Name: name})
		wantRecords(t, records(t, l), 0, 10)
		mustClose(t, l)
	}
}

// Every bit of the list, and every shorter one, is noticed; a repair puts it aside and writes it anew.
func TestADamagedList(t *testing.T) {
	dir := t.TempDir()
	neighbours(t, dir)
	path := filepath.Join(dir, listName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(good) {
		damaged := append([]byte(nil), good...)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeList(damaged); err == nil {
			t.Fatalf("bit %d was not noticed", bit)
		}
		if _, err := decodeList(good[:bit/8]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", bit/8, len(good))
		}
	}
	if err := os.WriteFile(path, good[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	var corruption *CorruptionError
	if _, err := Open(Options{Dir: dir, Name: "stream"}); !errors.As(err, &corruption) || corruption.File != path {
		t.Fatal(err)
	}
	if report, err := Repair(dir, RepairOptions{AcceptLoss: true}); err != nil || report.Logs[0].Damage != nil {
		t.Fatal(report, err)
	}
	neighboursAgain(t, dir)
	if aside, err := filepath.Glob(path + ".damaged-*"); err != nil || len(aside) != 1 {
		t.Fatal(aside, err)
	}
}

// A crash at any step of a compaction leaves a list that every state of the log agrees with.
func TestTheListIsNeverAhead(t *testing.T) {
	dir := t.TempDir()
	with := productionSeams()
	var copies []string
	with.step = func(string) { copies = append(copies, copied(t, dir)) }
	l, err := openLog(Options{Dir: dir, Name: "stream"}, with)
	if err != nil {
		t.Fatal(err)
	}
	appendSynced(t, l, 0, 10)
	compacted(t, l)
	mustClose(t, l)
	if len(copies) < 6 {
		t.Fatalf("%d steps", len(copies))
	}
	for _, tried := range copies {
		l := mustOpen(t, Options{Dir: tried, Name: "stream"})
		if got := records(t, l); len(got) != 10 && len(got) != 0 { // the first copies are of a new log
			t.Fatalf("%d records", len(got))
		}
		mustClose(t, l)
	}
}

// Inspect changes nothing, whatever a start would make, cut or remove.
func TestInspectChangesNothing(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"nothing":   func(*testing.T, string) {},
		"clean":     neighbours,
		"unlisted":  func(t *testing.T, dir string) { neighbours(t, dir); removed(t, filepath.Join(dir, listName)) },
		"leftovers": func(t *testing.T, dir string) { neighbours(t, dir); leaveFiles(t, filepath.Join(dir, "stream")) },
		"torn": func(t *testing.T, dir string) {
			l := mustOpen(t, Options{Dir: dir, Name: "stream"})
			appendSynced(t, l, 0, 10)
			abandonInPlace(t, l)
			tail := filepath.Join(dir, "stream", "wal-1", segmentName(1))
			bytes, err := os.ReadFile(tail)
			if err == nil {
				err = os.WriteFile(tail, append(bytes, "a beginning"...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir)
			before := filesOf(t, dir)
			l, err := Inspect(Options{Dir: dir, Name: "stream"})
			if err != nil {
				t.Fatal(err)
			}
			if after := filesOf(t, dir); after != before {
				t.Fatalf("reading changed\n%s\nto\n%s", before, after)
			}
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			if got := records(t, l); name != "nothing" {
				wantRecords(t, got, 0, 10)
			}
			appendSynced(t, l, 10, 11)
			mustClose(t, l)
		})
	}
}

func removed(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// leaveFiles leaves in a log what an interrupted compaction does.
func leaveFiles(t *testing.T, directory string) {
	t.Helper()
	for _, name := range []string{"snap-2.tmp", manifestName + ".tmp", "snap-9"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
