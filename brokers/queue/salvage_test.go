package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// salvagedFrom is the journal that a repair makes of what is kept of another.
func salvagedFrom(
	t *testing.T, directory string, records [][]byte, snapshotLost bool, keep func(record []byte) bool,
) (*handJournal, Salvaged) {
	t.Helper()
	s := NewSalvage(directory)
	var kept [][]byte
	for _, record := range records {
		if keep(record) {
			kept = append(kept, record)
			if err := s.Keep(record); err != nil {
				t.Fatal(err)
			}
		}
	}
	found, err := s.Finish(snapshotLost, snapshotLost)
	if err != nil {
		t.Fatal(err)
	}
	j := brokertest.NewJournal()
	for _, record := range found.First {
		j.Append(record, true)
	}
	for _, record := range kept {
		if !found.Skip(record) {
			j.Append(record, true)
		}
	}
	return newHandJournal(j), found
}

// TestSalvageListsFilesAgain loses records that list what is on disk, and what was done since then is done again.
func TestSalvageListsFilesAgain(t *testing.T) {
	const jobs = 600
	for name, keep := range map[string]func(i int, record []byte) bool{
		"nothing":   func(int, []byte) bool { return true },
		"all runs":  func(_ int, record []byte) bool { return record[1] != opRun && record[1] != opTimedRun },
		"some runs": func(i int, record []byte) bool { return record[1] != opRun && record[1] != opTimedRun || i%3 == 0 },
		"queue and all": func(_ int, record []byte) bool {
			return record[1] != opRun && record[1] != opTimedRun && record[1] != opCreate && record[1] != opMark
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, j, clock := onDisk(t, jobs)
			backlog(t, b, j, jobs, 40, PushOptions{Priority: 200}) // in the log, and in files that no snapshot lists
			got := take(t, b, "q", 140)
			must[int](t)(b.Ack([]byte("q"), Handles(got), nil))
			j.syncAll()
			b.spill.close()
			i := 0
			lost := name != "nothing"
			j, found := salvagedFrom(t, b.options.SpillDirectory, j.Records(), lost, func(record []byte) bool { i++; return keep(i, record) })
			if files, _ := filepath.Glob(filepath.Join(b.options.SpillDirectory, "jobs-*")); len(found.Files) != len(files) {
				t.Fatalf("%d files of %d are to be kept", len(found.Files), len(files))
			}
			b, j = startedAgain(t, b, j, clock)
			if now := info(t, b, "q"); now.Ready != jobs+40-140 {
				t.Fatalf("%+v, kept %v", now, found.Kept)
			}
			if want := fmt.Sprintf("queue '%s' with %d jobs", "q", jobs+40-140); !strings.HasPrefix(found.Kept[0], want) {
				t.Fatalf("%q, want %q", found.Kept, want)
			}
			if bodies := deliveries(t, b, j); !slices.Equal(bodies, inTurn(jobs, 100)) {
				t.Fatalf("%d deliveries: %v", len(bodies), bodies)
			}
		})
	}
}

// TestRepairOfAFileOfJobs damages one file that the snapshot lists in each way: the repair says so, and gives up its jobs alone.
func TestRepairOfAFileOfJobs(t *testing.T) {
	all := func([]byte) bool { return true }
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"short":   func(path string) error { return os.Truncate(path, 10) },
		"flipped": flipBit,
	} {
		t.Run(name, func(t *testing.T) {
			const jobs = 600
			b, j, clock := onDisk(t, jobs)
			b.spill.close()
			directory, files := b.options.SpillDirectory, runFiles(t, b)
			if _, found := salvagedFrom(t, directory, j.Records(), false, all); found.Damage != nil || len(found.Aside) > 0 {
				t.Fatalf("before the damage: %+v", found)
			}
			path := files[len(files)/2]
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			again, found := salvagedFrom(t, directory, j.Records(), false, all)
			kept := strings.Join(found.Kept, "\n")
			if found.Damage == nil || !strings.Contains(found.Damage.Error(), path) || !strings.Contains(kept, filepath.Base(path)) {
				t.Fatalf("%+v", found)
			}
			if aside := name != "missing"; aside != slices.Equal(found.Aside, []string{path}) {
				t.Fatalf("aside: %v", found.Aside)
			}
			b, again = startedAgain(t, b, again, clock)
			if got := deliveries(t, b, again); len(got) == jobs || len(got) < jobs-20 {
				t.Fatalf("%d deliveries", len(got))
			}
		})
	}
}

// TestRepairOfALostLog has nothing but the files of jobs.
func TestRepairOfALostLog(t *testing.T) {
	b, _, clock := onDisk(t, 600)
	b.spill.close()
	on := int(b.coldJobs.Load())
	j, _ := salvagedFrom(t, b.options.SpillDirectory, nil, true, nil)
	b, j = startedAgain(t, b, j, clock)
	if got := deliveries(t, b, j); len(got) != on {
		t.Fatalf("%d deliveries of %d jobs on disk", len(got), on)
	}
}

// TestWhatIsGivenUpIsOneFile gives up a file and uses up the backlog: no later file may get its number, for it would be given up too.
func TestWhatIsGivenUpIsOneFile(t *testing.T) {
	b, j, clock := onDisk(t, 600)
	b.spill.close()
	lost := filepath.Join(b.options.SpillDirectory, runPrefix+"9")
	if err := errors.Join(os.Remove(lost), os.WriteFile(lost+lostSuffix, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	b, j = startedAgain(t, b, j, clock)
	deliveries(t, b, j)
	compacted(t, b, j)
	for range 3 {
		b, j = startedAgain(t, b, j, clock)
	}
	backlog(t, b, j, 0, 600, PushOptions{})
	stored(t, b)
	if _, err := os.Stat(lost); err == nil {
		t.Fatal("the number of a file that was given up has been given again")
	}
}
