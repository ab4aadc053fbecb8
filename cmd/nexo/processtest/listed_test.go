package processtest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// onDisk is a data directory with 20,000 jobs, most of them in files that a snapshot lists.
func onDisk(t *testing.T) (dir string, flags []string, snapshot string) {
	t.Helper()
	dir, flags = filepath.Join(t.TempDir(), "data"), []string{"--queue-memory", "1mb", "--compact-size", "1mb", "--fsync", "interval"}
	s := start(t, dir, flags...)
	s.await(t)
	for batch := range 40 {
		words := []any{"QMPUSH", "jobs", 500}
		for i := range 500 {
			words = append(words, fmt.Sprintf("job %d %s", batch*500+i, strings.Repeat("x", 400)))
		}
		mustDo(t, s, append(words, "PRIORITY", batch%2)...)
	}
	return dir, flags, snapshotOf(t, s, dir, "queue")
}

func readyJobs(t *testing.T, dir string, flags []string) any {
	t.Helper()
	s := start(t, dir, flags...)
	s.await(t)
	defer s.kill()
	return mustDo(t, s, "QLEN", "jobs")
}

// TestListedFilesOfASnapshotThatIsDamaged loses the part of a snapshot that lists the jobs on disk: the repair finds the files by
// themselves, under the name of their queue.
func TestListedFilesOfASnapshotThatIsDamaged(t *testing.T) {
	dir, flags, snapshot := onDisk(t)
	flip(t, snapshot, func(int) int { return 300 })
	dry := repairAsTold(t, dir, refusal(t, dir))
	told := regexp.MustCompile(`queue 'jobs' with (\d+) jobs, \d+ of them in files that the log has lost`).FindStringSubmatch(dry)
	if told == nil {
		t.Fatal(dry)
	}
	// The frame that is lost has some jobs in memory, too, as many as fit into its 64 KiB.
	if n := readyJobs(t, dir, flags).(int64); fmt.Sprint(n) != told[1] || n < 20000-200 {
		t.Fatalf("%d jobs of 20000 are there after a repair that told of %s", n, told[1])
	}
	kept, _ := filepath.Glob(filepath.Join(dir, "queue", "quarantine", "*", "queue-backlog", "jobs-*"))
	if len(kept) == 0 {
		t.Fatal("the repair has put no file into its quarantine")
	}
}

// TestListedFileThatIsDamaged has a file that everybody waits for who wants the next job: a check tells, and a repair gives up its
// jobs, and those alone.
func TestListedFileThatIsDamaged(t *testing.T) {
	dir, flags, _ := onDisk(t)
	if n := readyJobs(t, dir, flags); n != int64(20000) { // and the files that are not listed go
		t.Fatalf("%v jobs of 20000 are there", n)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "queue-backlog", "jobs-*"))
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	flip(t, files[0], func(size int) int { return size / 2 }) // the oldest: a start makes new ones behind those that are listed
	if said := tool(t, 3, "check", dir); !strings.Contains(said, files[0]) {
		t.Fatal(said)
	}
	said := tool(t, 0, "repair", "--apply", dir)
	tool(t, 0, "check", dir)
	told := regexp.MustCompile(`kept: queue 'jobs' with (\d+) jobs`).FindStringSubmatch(said)
	s := start(t, dir, flags...)
	s.await(t)
	if n := len(popAll(t, s, "jobs")); told == nil || fmt.Sprint(n) != told[1] || n == 20000 || n < 20000-4096 {
		t.Fatalf("%d jobs of 20000 are there without one file\n%s", n, said)
	}
}

// TestListedFileThatIsMissing refuses a start, names the file, and gives its jobs up when told to.
func TestListedFileThatIsMissing(t *testing.T) {
	dir, flags, _ := onDisk(t)
	if n := readyJobs(t, dir, flags); n != int64(20000) {
		t.Fatalf("%v jobs of 20000 are there", n)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "queue-backlog", "jobs-*"))
	var missing string
	var out string
	for _, path := range files { // the first that the snapshot lists
		away := filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.Rename(path, away); err != nil {
			t.Fatal(err)
		}
		s := start(t, dir, flags...)
		select {
		case <-s.done:
			missing, out = path, s.log.String()
		case <-time.After(time.Second):
			s.kill()
		}
		if missing != "" {
			break
		}
	}
	if missing == "" || !strings.Contains(out, missing) || !strings.Contains(out, filepath.Base(missing)+".lost") {
		t.Fatalf("no start was refused for %s:\n%s", missing, out)
	}
	if err := os.WriteFile(missing+".lost", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := readyJobs(t, dir, flags).(int64); n >= 20000 || n < 20000-4096 {
		t.Fatalf("%d jobs of 20000 are there without one file", n)
	}
}
