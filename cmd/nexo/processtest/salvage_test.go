package processtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// snapshotOf waits until the manifest of a log names a snapshot, ends the server, and returns its path.
func snapshotOf(t *testing.T, s *server, dir, log string) string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(namedSnapshots(dir, log)) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("no snapshot appears\n%s", s.log)
		}
		time.Sleep(10 * time.Millisecond) // the pace of the poll
	}
	s.kill()
	found := namedSnapshots(dir, log)
	if len(found) == 0 {
		t.Fatalf("the snapshot has gone\n%s", s.log)
	}
	return found[len(found)-1]
}

// namedSnapshots is the snapshot that the manifest names, if its file is there.
func namedSnapshots(dir, log string) (named []string) {
	manifest, err := os.ReadFile(filepath.Join(dir, log, "MANIFEST"))
	if err != nil {
		return nil
	}
	number := regexp.MustCompile(`(?m)^snapshot (\d+)$`).FindSubmatch(manifest)
	if number == nil {
		return nil
	}
	path := filepath.Join(dir, log, "snap-"+string(number[1]))
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return []string{path}
}

func flip(t *testing.T, path string, at func(size int) int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[at(len(raw))] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// repairAsTold runs the command that a refusal names, which changes nothing, and then the same with --apply.
func repairAsTold(t *testing.T, dir, refused string) (dry string) {
	t.Helper()
	command := regexp.MustCompile(`nexo (repair [^"\n]+)`).FindStringSubmatch(refused)
	if command == nil || command[1] != "repair "+dir {
		t.Fatalf("the refusal names no command:\n%s", refused)
	}
	dry = tool(t, 0, "repair", dir)
	if !strings.Contains(dry, "--apply") {
		t.Fatal(dry)
	}
	refusal(t, dir) // still
	tool(t, 0, "repair", "--apply", dir)
	tool(t, 0, "check", dir)
	return dry
}

// TestOneBadByteOfAQueueSnapshot damages one frame of the snapshot: a repair loses the jobs in it, and those alone, and says
// so before; when the frame had the queue's name, too, the others are in a queue with a new name.
func TestOneBadByteOfAQueueSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		at    func(size int) int
		queue string
	}{
		"in the middle": {func(size int) int { return size / 2 }, "mail"},
		"at the start":  {func(int) int { return 200 }, "recovered-1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := start(t, dir, "--compact-size", "64kb")
			s.await(t)
			const count = 537
			for n := range count {
				mustDo(t, s, "QPUSH", "mail", fmt.Sprintf("job %d %s", n, strings.Repeat("x", 2000)))
			}
			for n := range 800 { // what dies makes a compaction worth its while
				mustDo(t, s, "QPUSH", "done", fmt.Sprintf("done %d %s", n, strings.Repeat("y", 2000)))
			}
			mustDo(t, s, "QPURGE", "done")
			flip(t, snapshotOf(t, s, dir, "queue"), c.at)
			dry := repairAsTold(t, dir, refusal(t, dir))
			var kept int
			line := regexp.MustCompile(`kept: queue '` + c.queue + `' with (\d+) jobs`).FindStringSubmatch(dry)
			if line == nil || !strings.Contains(dry, "of the snapshot snap-") {
				t.Fatal(dry)
			}
			fmt.Sscan(line[1], &kept)
			s = start(t, dir)
			s.await(t)
			if found := popAll(t, s, c.queue); len(found) != kept || kept < count-64 || kept == count {
				t.Fatalf("%d of %d jobs are there, %d were to be kept\n%s", len(found), count, kept, dry)
			}
		})
	}
}

// entriesOf are the payloads of a stream.
func entriesOf(t *testing.T, s *server, stream string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for next := any(int64(1)); ; {
		page := mustDo(t, s, "XFETCH", stream, fmt.Sprint(next), "COUNT", "1000", "MAXBYTES", "16777216").([]any)
		entries := page[3].([]any)
		if len(entries) == 0 {
			return found
		}
		for _, item := range entries {
			found[item.([]any)[2].(string)] = true
		}
		next = page[0]
	}
}

// TestOneBadByteOfAStreamSnapshot damages the one frame that has the name of every stream: the entries in segment files and
// in the log behind it are kept.
func TestOneBadByteOfAStreamSnapshot(t *testing.T) {
	dir, _ := sealed(t)
	snapshots, err := filepath.Glob(filepath.Join(dir, "stream", "snap-*[0-9]"))
	if err != nil || len(snapshots) == 0 {
		t.Fatal(snapshots, err)
	}
	flip(t, snapshots[len(snapshots)-1], func(int) int { return 60 })
	dry := repairAsTold(t, dir, refusal(t, dir))
	if !strings.Contains(dry, "kept: stream 'recovered-1'") {
		t.Fatal(dry)
	}
	s := start(t, dir)
	s.await(t)
	if found := entriesOf(t, s, "recovered-1"); len(found) != 200 {
		t.Fatalf("%d of 200 entries\n%s", len(found), dry)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "stream", "quarantine", "repair-*", "segments", "segment-*"))
	if err != nil || len(kept) == 0 {
		t.Fatal("the segment files are not in quarantine", err)
	}
}

// content is every file of a directory with its bytes, but for who holds it.
func content(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		all = append(all, path...)
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		raw, err := os.ReadFile(path)
		all = append(all, raw...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestALostLog removes each broker's log, or puts an older one in its place: the start is refused with the command that
// repairs it, and every byte of the data directory is left as it was; the repair says what is lost. What is in segment files is kept.
func TestALostLog(t *testing.T) {
	for _, older := range []bool{false, true} {
		for name, broker := range writers {
			t.Run(fmt.Sprintf("%s older=%v", name, older), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				old := filepath.Join(t.TempDir(), "old")
				s := start(t, dir, append([]string{"--compact-size", "64kb"}, broker.flags...)...)
				s.await(t)
				for n := range 30 {
					mustDo(t, s, broker.write(n)...)
				}
				s.kill()
				if err := os.CopyFS(old, os.DirFS(filepath.Join(dir, name))); err != nil {
					t.Fatal(err)
				}
				s = start(t, dir, append([]string{"--compact-size", "64kb"}, broker.flags...)...)
				s.await(t)
				mustDo(t, s, broker.write(30)...)
				for n := range 100 { // the streams are sealed
					mustDo(t, s, "XAPPEND", "s", entryOf(n))
				}
				if name == "stream" {
					snapshotOf(t, s, dir, "stream")
				}
				if err := s.cmd.Process.Signal(os.Interrupt); err == nil {
					<-s.done // a farewell writes the place of every log into the list
				}
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				if older {
					if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(old)); err != nil {
						t.Fatal(err)
					}
				}
				before := content(t, dir)
				said := refusal(t, dir, broker.flags...)
				if !strings.Contains(said, filepath.Join(dir, name)) {
					t.Fatal(said)
				}
				if !bytes.Equal(content(t, dir), before) {
					t.Fatal("the refused start has changed files")
				}
				dry := tool(t, 0, "repair", dir)
				if !strings.Contains(dry, "lost: frames") {
					t.Fatal(dry)
				}
				tool(t, 0, "repair", "--apply", dir)
				tool(t, 0, "check", dir)
				s = start(t, dir, broker.flags...)
				s.await(t)
				if name == "stream" {
					stream := "recovered-1"
					if older {
						stream = "s"
					}
					if n := len(entriesOf(t, s, stream)); n < 60 {
						t.Fatalf("%d entries are left of those in segment files\n%s", n, dry)
					}
					return
				}
				if !older {
					mustDo(t, s, broker.write(0)...) // nothing else is there
				}
				found := broker.read(t, s)
				if older && len(found) < 30 || found[marked(30)] {
					t.Fatalf("%d records, want those of the older log", len(found))
				}
			})
		}
	}
}
