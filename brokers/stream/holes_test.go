package stream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// threeFiles has the entries 1 to 9 in three segment files, and the tenth in the journal.
func threeFiles(t *testing.T) *brokertest.Journal {
	t.Helper()
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	for n := range 3 {
		add(t, b, fmt.Sprint(3*n+1), fmt.Sprint(3*n+2), fmt.Sprint(3*n+3))
		seal(t, b)
	}
	add(t, b, "10")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return j
}

// replaceFile writes a segment file of a log with these entries of stream 1 in the place of another.
func replaceFile(t *testing.T, id uint64, log segment.Log, offsets ...uint64) {
	t.Helper()
	w, err := segment.Create(directoryOf(t), id, log, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range offsets {
		if err := w.Add(1, segment.Entry{Offset: offset, Ms: 1_700_000_000_000, Payload: fmt.Append(nil, offset)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

// A file of the same log and number without entries that it should have is damage, wherever they are missing; the repair of
// the log gives them up, by name, and the stream goes on for good without them.
func TestAHoleBetweenFilesIsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		id      uint64
		offsets []uint64
		said    string
	}{
		"in the front":    {1, []uint64{2, 3}, "the entries 1 to 1 of stream"},
		"between blocks":  {2, []uint64{4, 6}, "the entries 5 to 5 of stream"},
		"between files":   {2, []uint64{4, 5}, "the entries 6 to 6 of stream"},
		"at the end":      {3, []uint64{7, 8}, "the entries 9 to 9 of stream"},
		"nothing is left": {2, nil, "the entries 4 to 6 of stream"},
	} {
		t.Run(name, func(t *testing.T) {
			j := threeFiles(t)
			replaceFile(t, c.id, segment.Log{}, c.offsets...)
			before := filesOf(t)
			var damage *segment.Damage
			_, err := Open(Options{Journal: j.Reopen(true), Directory: directoryOf(t), Clock: newClock()})
			if !errors.As(err, &damage) || !strings.Contains(damage.Problem, c.said) {
				t.Fatal(err)
			}
			want(t, "the files after a refusal", filesOf(t), before)
			salvage := NewSalvage(directoryOf(t), segment.Log{})
			for _, record := range j.Records() {
				if err := salvage.Keep(record); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := salvage.Finish(false, false); err != nil || found.Damage == nil || !strings.Contains(found.Damage.Error(), c.said) {
				t.Fatal(found, err)
			}
			staysOpen(t, repaired(t, directoryOf(t), j.Records()), 7+len(c.offsets))
		})
	}
}

// staysOpen seals and merges again and again, and opens the broker each time: what is known to be lost stays known.
func staysOpen(t *testing.T, j *brokertest.Journal, entries int) {
	t.Helper()
	for round := range 3 {
		b := openBroker(t, j, newClock())
		want(t, fmt.Sprint("entries in round ", round), len(strings.Fields(fetchAll(t, b))), entries+round)
		add(t, b, fmt.Sprint("more", round))
		seal(t, b)
		if err := b.merge(b.mergeable()); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		j = j.Reopen(true)
	}
}

// mergeable is every file, the oldest first.
func (b *Broker) mergeable() (list []*sealed) {
	b.world.RLock()
	defer b.world.RUnlock()
	for _, file := range b.files {
		list = append(list, file)
	}
	return list
}

// What a repair of the files has given up is known to be lost, also when the file that tells of it is merged away; and so
// is what a repair of the log has.
func TestWhatIsGivenUpStaysKnown(t *testing.T) {
	t.Run("a missing file", func(t *testing.T) {
		j := threeFiles(t)
		if err := os.Remove(filepath.Join(directoryOf(t), segment.Name(2))); err != nil {
			t.Fatal(err)
		}
		if err := segment.PutEmpty(directoryOf(t), 2, segment.Log{}); err != nil {
			t.Fatal(err)
		}
		staysOpen(t, j.Reopen(true), 7)
	})
	t.Run("a record of the log", func(t *testing.T) {
		j := brokertest.NewJournal()
		b := openBroker(t, j, newClock())
		create(t, b, nil)
		add(t, b, "1", "2", "3", "4")
		b.Close()
		records := j.Records()
		staysOpen(t, repaired(t, directoryOf(t), append(records[:2:2], records[3:]...)), 3)
	})
}

// A file of another data directory under the number of one of ours is not served.
func TestAFileOfAnotherDirectoryIsRefused(t *testing.T) {
	j := threeFiles(t)
	replaceFile(t, 2, segment.Log{7}, 4, 5, 6)
	var damage *segment.Damage
	_, err := Open(Options{Journal: j.Reopen(true), Directory: directoryOf(t), Clock: newClock()})
	if !errors.As(err, &damage) || damage.Problem != "it belongs to another data directory" {
		t.Fatal(err)
	}
}
