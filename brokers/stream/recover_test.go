package stream

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/nexobroker/nexo/brokers/brokertest"
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
	for _, records := range [][][]byte{sealed, j.Records()} {
		for lost := range records {
			startWithout(t, records, func(i int) bool { return i == lost })
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		for range 100 {
			share := 2 + random.IntN(5)
			startWithout(t, records, func(int) bool { return random.IntN(share) == 0 })
		}
	}
}

// startWithout opens a broker on a log without some of its records, in a copy of the directory, and uses it.
func startWithout(t *testing.T, records [][]byte, lost func(i int) bool) {
	t.Helper()
	j := brokertest.NewJournal()
	var kinds []byte
	for i, record := range records {
		if lost(i) {
			kinds = append(kinds, record[0])
			continue
		}
		j.Append(record, true)
	}
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS(directoryOf(t))); err != nil {
		t.Fatal(err)
	}
	b, err := Open(Options{Journal: j.Reopen(true), Directory: directory, Clock: newClock(), BlockBytes: 16})
	if err != nil {
		t.Fatalf("without records of the kinds %d: %v", kinds, err)
	}
	defer b.Close()
	if b.find(streamName) == nil {
		return
	}
	last := add(t, b, "next")
	page, err := b.Fetch(streamName, Position{Kind: First}, all, nil)
	if n := len(page.Entries); err != nil || n == 0 || page.Entries[n-1].Offset != last || string(page.Entries[n-1].Payload) != "next" {
		t.Fatalf("without records of the kinds %d: %v %v", kinds, page, err)
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
