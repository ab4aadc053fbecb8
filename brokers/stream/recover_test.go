package stream

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// TestAnyRecordMayBeLost takes each record out of a log, as a repair does with a damaged one, and some together.
func TestAnyRecordMayBeLost(t *testing.T) {
	for _, chained := range []bool{false, true} {
		t.Run(fmt.Sprint("chain ", chained), func(t *testing.T) { loseRecords(t, chained) })
	}
}

func loseRecords(t *testing.T, chained bool) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, func(c *Config) { c.Chain = chained })
	makeGroup(t, b, DefaultGroupConfig())
	life := func() {
		add(t, b, "a", "b", "c", "d", "e", "f")
		take(t, b, 5)
		if _, _, err := b.Nack(streamName, groupName, NackFatal, exactly(Range{1, 2}, Range{8, 8}), 0, "no"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Ack(streamName, groupName, exactly(Range{3, 3}, Range{9, 9}), 0); err != nil {
			t.Fatal(err)
		}
	}
	life()
	seal(t, b)
	sealed := j.Records()
	life()
	if _, _, err := b.Trim(streamName, nil, &Position{Offset: 3}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	for n, records := range [][][]byte{sealed, j.Records()} {
		least := []int{7, 5}[n] // the six in the segment file, less those trimmed later, and the next one
		for lost := range records {
			startWithout(t, records, least, func(i int) bool { return i == lost })
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		for range 100 {
			share := 2 + random.IntN(5)
			startWithout(t, records, least, func(int) bool { return random.IntN(share) == 0 })
		}
	}
}

// repaired is the log that a repair makes of the records that are left.
func repaired(t *testing.T, directory string, kept [][]byte) *brokertest.Journal {
	t.Helper()
	salvage := NewSalvage(directory, segment.Log{})
	for _, record := range kept {
		if err := salvage.Keep(record); err != nil {
			t.Fatal(err)
		}
	}
	found, err := salvage.Finish(true, true)
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
	for _, record := range found.Last {
		j.Append(record, true)
	}
	for _, path := range found.Aside {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	return j.Reopen(true)
}

// startWithout opens a broker on a log without some of its records, in a copy of the directory, and uses it.
func startWithout(t *testing.T, records [][]byte, least int, lost func(i int) bool) {
	t.Helper()
	var kinds []byte
	var kept [][]byte
	for i, record := range records {
		if lost(i) {
			kinds = append(kinds, record[0])
			continue
		}
		kept = append(kept, record)
	}
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS(directoryOf(t))); err != nil {
		t.Fatal(err)
	}
	j := repaired(t, directory, kept)
	b, err := Open(Options{Journal: j, Directory: directory, Clock: newClock(), BlockBytes: 16})
	if err != nil {
		t.Fatalf("without records of the kinds %d: %v", kinds, err)
	}
	defer b.Close()
	name := streamName
	if b.find(name) == nil {
		name = []byte("recovered-1")
	}
	result, receipt, err := b.Append(name, [][]byte{[]byte("next")}, Expect{}, nil, false)
	if err == nil {
		err = receipt.Wait()
	}
	if err != nil {
		t.Fatalf("without records of the kinds %d: %v: nothing is left of the stream", kinds, err)
	}
	last := result.Last
	page, err := b.Fetch(name, Position{Kind: First}, all, nil)
	if n := len(page.Entries); err != nil || n == 0 || page.Entries[n-1].Offset != last || string(page.Entries[n-1].Payload) != "next" {
		t.Fatalf("without records of the kinds %d: %v %v", kinds, page, err)
	}
	if len(page.Entries) < least {
		t.Fatalf("without records of the kinds %d: %d entries are left, %d are in segment files", kinds, len(page.Entries)-1, least-1)
	}
	for i := range page.Entries[1:] {
		before, e := &page.Entries[i], &page.Entries[i+1]
		if e.Offset <= before.Offset || e.Ms < before.Ms || e.Ms == before.Ms && e.Seq <= before.Seq {
			t.Fatalf("without records of the kinds %d: %v follows %v", kinds, e, before)
		}
	}
	if err := b.Compact(); err != nil {
		t.Fatalf("without records of the kinds %d: %v", kinds, err)
	}
}
