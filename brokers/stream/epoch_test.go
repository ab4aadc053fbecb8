package stream

import (
	"fmt"
	"testing"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// durable tells whether a receipt has nothing left to wait for.
func durable(j *brokertest.Journal, r brokers.Receipt, synced uint64) bool {
	return r.Journal == nil || r.Durability == brokers.Always && r.Seq <= synced
}

// An epoch that a crash takes back was told to nobody, at any level of the stream: with it an old consumer could acknowledge
// what a new one was given.
func TestAnEpochIsOnDiskBeforeItIsTold(t *testing.T) {
	for _, level := range []brokers.Durability{brokers.Never, brokers.Interval, brokers.Always} {
		t.Run(level.String(), func(t *testing.T) {
			j := brokertest.NewJournal()
			b := openBroker(t, j, newClock())
			create(t, b, func(c *Config) { c.Sync = level })
			makeGroup(t, b, DefaultGroupConfig())
			add(t, b, "a")
			j.SetAuto(false)
			until(t, "all is on disk", func() bool { return b.synced.Load() == 3 })

			epoch, _, r, err := b.Seek(streamName, groupName, Position{Kind: First}) // record 4
			want(t, "seek", fmt.Sprint(epoch, err), "2 <nil>")
			got, err := b.Consume(streamName, groupName, []byte("c"), ConsumeOptions{Count: 9, MaxBytes: 99}, nil)
			want(t, "consumed", fmt.Sprint(got.Epoch, len(got.Entries), err), "2 1 <nil>")
			_, fence, err := b.Ack(streamName, groupName, exactly(Range{1, 1}), 1)
			code(t, err, "FENCED")
			st, err := b.GroupStats(streamName, groupName)
			want(t, "stats", fmt.Sprint(st.Epoch, err), "2 <nil>")
			j.Advance(4, 3) // written, not fsynced
			for what, receipt := range map[string]brokers.Receipt{"seek": r, "consume": got.Receipt, "fence": fence, "stats": st.EpochReceipt} {
				if durable(j, receipt, 3) || !durable(j, receipt, 4) {
					t.Errorf("%s may tell the epoch at %+v", what, receipt)
				}
			}

			// The crash comes before the record is on disk: the number is given again, and this is the first to be told of it.
			crashed := j.Reopen(false)
			again := openBroker(t, crashed, newClock())
			epoch, _, _, err = again.Seek(streamName, groupName, Position{Kind: First})
			want(t, "seek after the crash", fmt.Sprint(epoch, err), "2 <nil>")

			// And here after it: what was told is never told again.
			j.Advance(4, 4)
			got, _ = b.Consume(streamName, groupName, []byte("c"), ConsumeOptions{Count: 9, MaxBytes: 99}, nil)
			want(t, "nothing to wait for", got.Receipt == brokers.Receipt{}, true)
			crashed = j.Reopen(false)
			again = openBroker(t, crashed, newClock())
			_, _, _, err = again.Seek(streamName, groupName, Position{Kind: First})
			want(t, "seek", fmt.Sprint(err), "<nil>")
			take(t, again, 9)
			_, _, err = again.Ack(streamName, groupName, exactly(Range{1, 1}), 2)
			code(t, err, "FENCED")
		})
	}
}

// A group of the same name is another group: who knew the old one has no say in it.
func TestEpochsOfDroppedGroupsAreNotGivenAgain(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	epochOf := func() uint64 {
		st, err := b.GroupStats(streamName, groupName)
		if err != nil {
			t.Fatal(err)
		}
		return st.Epoch
	}
	restart := func() {
		b.Close()
		j = j.Reopen(true)
		b = openBroker(t, j, newClock())
	}
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	want(t, "the first", epochOf(), 1)
	b.Seek(streamName, groupName, Position{Kind: First})
	b.DropGroup(streamName, groupName)
	makeGroup(t, b, DefaultGroupConfig())
	want(t, "after a drop", epochOf(), 3)
	b.DropGroup(streamName, groupName)
	restart()
	makeGroup(t, b, DefaultGroupConfig())
	want(t, "after a drop and a restart", epochOf(), 4)
	b.Drop([][]byte{streamName})
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	want(t, "after a drop of the stream", epochOf(), 5)
	b.Drop([][]byte{streamName})
	restart()
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	restart()
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	want(t, "after a drop, a snapshot and a restart", epochOf(), 6)
}

func TestSeekMakesAGroupThatIsMissing(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	_, _, _, err := b.Seek(streamName, groupName, Position{Kind: First})
	code(t, err, "NOSTREAM")
	create(t, b, nil)
	add(t, b, "a", "b")
	_, _, _, err = b.Seek(streamName, []byte("\n"), Position{Kind: First})
	code(t, err, "BADNAME")
	epoch, next, _, err := b.Seek(streamName, groupName, Position{Kind: Next})
	want(t, "seek", fmt.Sprint(epoch, next, err), "1 3 <nil>")
	b.Close()
	b = openBroker(t, j.Reopen(true), newClock())
	add(t, b, "c")
	want(t, "from there", take(t, b, 9), "[3x1]")
	st, err := b.GroupStats(streamName, groupName)
	want(t, "its options", fmt.Sprint(st.Config, err), fmt.Sprint(DefaultGroupConfig(), error(nil)))
}

// parkedOffsets tells what is parked.
func parkedOffsets(t testing.TB, b *Broker) string {
	t.Helper()
	list, _, err := b.ParkedEntries(streamName, groupName, Position{Kind: First}, 1<<30, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	offsets := []uint64{}
	for _, p := range list {
		offsets = append(offsets, p.Offset)
	}
	return fmt.Sprint(offsets)
}

// What is parked waits for somebody to look at it. A seek is no look: it stays, and it leaves when it is delivered again.
func TestSeekKeepsWhatIsParked(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	restart := func(snapshot bool) {
		t.Helper()
		before := parkedOffsets(t, b)
		if snapshot {
			seal(t, b)
		}
		b.Close()
		j = j.Reopen(true)
		b = openBroker(t, j, clock)
		want(t, "parked after a restart", parkedOffsets(t, b), before)
	}
	seek := func(p Position) {
		t.Helper()
		if _, _, _, err := b.Seek(streamName, groupName, p); err != nil {
			t.Fatal(err)
		}
	}
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	add(t, b, "a", "b", "c", "d", "e")
	take(t, b, 5)
	b.Nack(streamName, groupName, NackFatal, exactly(Range{1, 1}, Range{3, 5}), 0, "bad")
	seek(Position{Kind: Next})
	want(t, "forward", parkedOffsets(t, b), "[1 3 4 5]")
	restart(false)
	b.Unpark(streamName, groupName, exactly(Range{1, 1}), false)
	want(t, "unparked", take(t, b, 9), "[1x1]")
	b.Ack(streamName, groupName, exactly(Range{1, 1}), 0)

	seek(Position{Offset: 2})
	want(t, "back", parkedOffsets(t, b), "[3 4 5]")
	restart(true)
	// One that the group will come to anyhow is delivered once.
	if n, _, err := b.Unpark(streamName, groupName, exactly(Range{5, 5}), false); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	restart(false)
	want(t, "in turn", take(t, b, 2), "[2x1 3x1]")
	want(t, "delivered, and so not parked", parkedOffsets(t, b), "[4]")
	restart(false)
	got, err := b.Consume(streamName, groupName, []byte("c"), ConsumeOptions{Count: 1, MaxBytes: 99, NoAck: true}, nil)
	want(t, "without acknowledgement", fmt.Sprint(len(got.Entries), err), "1 <nil>")
	want(t, "delivered as well", parkedOffsets(t, b), "[]")
	restart(false)
	want(t, "the last", take(t, b, 9), "[5x1]")
	st, err := b.GroupStats(streamName, groupName)
	want(t, "pending", fmt.Sprint(st.Pending, st.Parked, err), "3 0 <nil>")
}

// Logs of before have seeks that forgot what was parked, and deliveries with a time of the wall.
func TestRecordsOfBefore(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	makeGroup(t, b, DefaultGroupConfig())
	add(t, b, "a", "b")
	take(t, b, 2)
	b.Nack(streamName, groupName, NackFatal, exactly(Range{1, 1}), 0, "bad")
	g := b.find(streamName).groups[string(groupName)]
	j.Append(numbers(g.encode(opSeek, nil), 2, 1), true)
	due := newClock().Now().UnixMilli() + 500
	body := numbers(g.encode(opDelivered, nil), 3, 2)
	body = numbers(appendBytes(numbers(body, 1), "c"), 1, uint64(due))
	j.Append(numbers(appendBytes(numbers(body, 2), "c"), 1, 0), true)
	b.Close()
	clock := newClock()
	b = openBroker(t, j.Reopen(true), clock)
	want(t, "forgotten", parkedOffsets(t, b), "[]")
	st, err := b.GroupStats(streamName, groupName)
	want(t, "group", fmt.Sprint(st.Epoch, st.Next, st.Pending, st.OldestPendingMs-due, err), "2 3 2 0 <nil>")
	clock.Advance(500_000_000)
	want(t, "due", take(t, b, 9), "[1x2]")
}
