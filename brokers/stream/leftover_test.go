package stream

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestALeftoverOfDroppedStreamsIsRemoved starts after a first compaction that has failed behind its file, and streams that were
// dropped since: no snapshot lists files yet, and the journal tells of every stream there was.
func TestALeftoverOfDroppedStreamsIsRemoved(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	add(t, b, "a", "b")
	b.journal = failingCut{j}
	if err := b.Compact(); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if files := segmentFiles(t); len(files) != 1 {
		t.Fatalf("the failed compaction left %v", files)
	}
	b.Drop([][]byte{streamName})
	b = openBroker(t, j.Reopen(true), newClock())
	want(t, "streams", fmt.Sprint(b.Exists([][]byte{streamName})), "0")
	want(t, "files", filesOf(t), "")
	create(t, b, nil)
	add(t, b, "c")
	want(t, "entries", fetchAll(t, b), "c")
}

var errCut = errors.New("no room for the snapshot")

// failingCut writes what a compaction writes beside the snapshot, and then fails.
type failingCut struct{ *brokertest.Journal }

func (j failingCut) Cut() (brokers.Finish, error) {
	finish, err := j.Journal.Cut()
	return func(dump brokers.Dump) error {
		return finish(func(emit brokers.Emit) error { return errors.Join(dump(emit), errCut) })
	}, err
}
