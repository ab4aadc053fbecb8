package brokers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

const mebibyte = 1 << 20

// fullJournal is short of space with so much log and snapshot, and room for so much more.
func fullJournal(log, snapshot, room int64, short bool) *brokertest.Journal {
	j := brokertest.NewJournal()
	j.Append(make([]byte, log), true)
	j.SetSpace(short, room, snapshot)
	return j
}

func TestReliefOnlyWhereItFreesRoomAndFits(t *testing.T) {
	for name, c := range map[string]struct {
		log, snapshot, room, live int64
		short, want               bool
	}{
		"a roomy disk":                    {log: 10 * mebibyte, room: 1 << 40, live: 0, want: false},
		"full, all of the log is dead":    {log: 10 * mebibyte, room: mebibyte, live: 0, short: true, want: true},
		"full, the snapshot is dead":      {log: 10, snapshot: 10 * mebibyte, room: mebibyte, live: 0, short: true, want: true},
		"full, all of the log lives":      {log: 10 * mebibyte, room: 100 * mebibyte, live: 10 * mebibyte, short: true, want: false},
		"full, what lives does not fit":   {log: 10 * mebibyte, room: mebibyte, live: 5 * mebibyte, short: true, want: false},
		"full, too little would be freed": {log: 60 << 10, room: mebibyte, live: 0, short: true, want: false},
		"nearly full, half is dead":       {log: 10 * mebibyte, room: 8 * mebibyte, live: 5 * mebibyte, want: true},
		"nearly full, a third is dead":    {log: 9 * mebibyte, room: 8 * mebibyte, live: 6*mebibyte + mebibyte/2, want: false},
	} {
		var r brokers.Relief
		j := fullJournal(c.log, c.snapshot, c.room, c.short)
		if got := r.Due(j, func() int64 { return c.live }); got != c.want {
			t.Errorf("%s: due %v", name, got)
		}
	}
}

// The disk is not asked with each batch, a failure is not tried again at once, and what a snapshot holds is measured by
// what the broker said of it.
func TestReliefIsPatient(t *testing.T) {
	var r brokers.Relief
	j := fullJournal(mebibyte, 0, mebibyte, true)
	none := func() int64 { return 0 }
	if !r.Due(j, none) || r.Due(j, none) {
		t.Fatal("looked twice at once, or not at all")
	}
	eventually := func(live func() int64) (after time.Duration) {
		begun := time.Now()
		for !r.Due(j, live) {
			if time.Since(begun) > 20*time.Second {
				t.Fatal("never due again")
			}
			time.Sleep(5 * time.Millisecond)
		}
		return time.Since(begun)
	}
	r.Ended(0, errors.New("no space left"))
	if after := eventually(none); after < 500*time.Millisecond {
		t.Fatalf("tried again %v after a failure", after)
	}
	r.Ended(3*mebibyte, nil)
	// The snapshot's file is not told, but it holds what three mebibytes were before: two of them are dead now.
	eventually(func() int64 { return mebibyte / 4 })
	r.Ended(mebibyte/4, nil)
	j.SetSpace(true, mebibyte, 50*mebibyte)
	time.Sleep(600 * time.Millisecond) // two looks
	if r.Due(j, func() int64 { return mebibyte + mebibyte/4 }) {
		t.Fatal("due again although nothing has died")
	}
}
