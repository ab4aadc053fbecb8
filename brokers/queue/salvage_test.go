package queue

import (
	"fmt"
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
	found, err := s.Finish(snapshotLost)
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
		"all runs":  func(_ int, record []byte) bool { return record[1] != opRun },
		"some runs": func(i int, record []byte) bool { return record[1] != opRun || i%3 == 0 },
		"queue and all": func(_ int, record []byte) bool {
			return record[1] != opRun && record[1] != opCreate && record[1] != opMark
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
