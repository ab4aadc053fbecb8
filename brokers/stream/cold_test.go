package stream

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// seal compacts, so that all entries are in segment files.
func seal(t testing.TB, b *Broker) {
	t.Helper()
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
}

func payloads(entries []Entry) string {
	words := make([]string, len(entries))
	for i := range entries {
		words[i] = string(entries[i].Payload)
	}
	return strings.Join(words, " ")
}

func fetchAll(t testing.TB, b *Broker) string {
	t.Helper()
	page, err := b.Fetch(streamName, Position{Kind: First}, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	return payloads(page.Entries)
}

func segmentFiles(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(directoryOf(t), "segment-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSealedEntriesLeaveMemory(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	add(t, b, "a", "b", "c")
	seal(t, b)
	if s := b.find(streamName); len(s.hot) > 0 || len(s.cold) == 0 {
		t.Fatalf("%d hot, %d cold", len(s.hot), len(s.cold))
	}
	add(t, b, "d")
	want(t, "all", fetchAll(t, b), "a b c d")
	page, err := b.Fetch(streamName, Position{Kind: Last}, FetchOptions{Count: 3, MaxBytes: 1 << 20, Reverse: true}, nil)
	want(t, "reverse", fmt.Sprintln(payloads(page.Entries), page.Next, err), fmt.Sprintln("d c b", 1, error(nil)))
	page, err = b.Fetch(streamName, Position{Offset: 1}, FetchOptions{Count: 9, MaxBytes: 2}, nil)
	want(t, "by bytes", fmt.Sprintln(payloads(page.Entries), page.Next, err), fmt.Sprintln("a b", 3, error(nil)))
}

func TestLimitsHoldExactlyForSealedEntries(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.MaxAge = 10 * time.Second })
	for i := range 6 {
		add(t, b, fmt.Sprint(i))
		clock.Advance(time.Second)
	}
	seal(t, b)
	clock.Advance(6500 * time.Millisecond) // 0, 1 and 2 are 10 s old
	want(t, "by age", fetchAll(t, b), "3 4 5")
	configure := func(change func(c *Config)) {
		t.Helper()
		if _, err := b.Configure(streamName, func(c *Config) error { c.MaxAge = 0; change(c); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	configure(func(c *Config) { c.MaxBytes = 2 * (1 + entryOverhead) })
	want(t, "by bytes", fetchAll(t, b), "4 5")
	st, err := b.Stats(streamName)
	want(t, "bytes", fmt.Sprint(st.Bytes, err), fmt.Sprint(2*(1+entryOverhead), error(nil)))
	b.Close()
	b = openBroker(t, j.Reopen(true), clock)
	st, err = b.Stats(streamName)
	want(t, "bytes after a restart", fmt.Sprint(st.First, st.Bytes, err), fmt.Sprint(5, 2*(1+entryOverhead), error(nil)))
	configure(func(c *Config) { c.MaxLen, c.MaxBytes = 1, 0 })
	want(t, "by length", fetchAll(t, b), "5")
}

func TestASealThatFailsChangesNothing(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	add(t, b, "a", "b")
	directory := directoryOf(t)
	aside := directory + "-aside"
	if err := os.Rename(directory, aside); err != nil {
		t.Fatal(err)
	}
	if err := b.Compact(); err == nil {
		t.Fatal("compacted without a directory")
	}
	want(t, "after the failure", fetchAll(t, b), "a b")
	if err := os.Rename(aside, directory); err != nil {
		t.Fatal(err)
	}
	want(t, "restarted", fetchAll(t, openBroker(t, j.Reopen(true), newClock())), "a b")
	seal(t, b)
	want(t, "sealed", fetchAll(t, b), "a b")
}

// failingFinish is a journal whose snapshots fail after they were written.
type failingFinish struct{ *brokertest.Journal }

func (j failingFinish) Cut() (brokers.Finish, error) {
	finish, err := j.Journal.Cut()
	return func(dump brokers.Dump) error {
		return finish(func(emit brokers.Emit) error { return errors.Join(dump(emit), errors.New("no space")) })
	}, err
}

func TestASnapshotThatFailsLeavesNoFileBehind(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, failingFinish{j}, newClock())
	create(t, b, nil)
	add(t, b, "a", "b")
	for range 3 {
		if b.Compact() == nil {
			t.Fatal("compacted")
		}
	}
	if list := segmentFiles(t); len(list) != 1 {
		t.Fatal(list)
	}
	want(t, "after the failures", fetchAll(t, b), "a b")
	b.Close()
	b = openBroker(t, j.Reopen(true), newClock())
	want(t, "restarted", fetchAll(t, b), "a b")
	if list := segmentFiles(t); len(list) != 0 {
		t.Fatal("a file that nobody lists is left:", list)
	}
}

func TestAMergeThatWasNotDurableIsForgotten(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	for _, payload := range []string{"a", "b", "c"} {
		add(t, b, payload)
		seal(t, b)
	}
	before := segmentFiles(t)
	crashed := j.Reopen(true) // the log before the merge
	merged, err := b.writeMerged([]*sealed{b.files[1], b.files[2]})
	if err != nil || merged == nil {
		t.Fatal(err)
	}
	b.Close()
	b = openBroker(t, crashed, newClock())
	want(t, "all", fetchAll(t, b), "a b c")
	want(t, "files", fmt.Sprint(segmentFiles(t)), fmt.Sprint(before))
}

func TestFilesThatAreMissingOrDamagedAreTold(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	add(t, b, "first entry of the stream", "second entry of the stream")
	seal(t, b)
	add(t, b, "third")
	b.Close()
	path := segmentFiles(t)[0]
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*Broker, error) {
		return Open(Options{Journal: j.Reopen(true), Directory: directoryOf(t), Clock: newClock()})
	}
	var damage *segment.Damage
	os.Remove(path)
	if _, err := open(); !errors.As(err, &damage) || damage.Missing != 1 {
		t.Fatal(err)
	}
	os.WriteFile(path, raw[:len(raw)-1], 0o600)
	if _, err := open(); !errors.As(err, &damage) || damage.Missing != 0 {
		t.Fatal(err)
	}
	// A block alone fails those who read it.
	at := strings.Index(string(raw), "second entry")
	raw[at] ^= 1
	os.WriteFile(path, raw, 0o600)
	b, err = open()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	page, err := b.Fetch(streamName, Position{Offset: 1}, all, nil)
	want(t, "up to the damage", fmt.Sprintln(payloads(page.Entries), page.Next, err), fmt.Sprintln("first entry of the stream", 2, error(nil)))
	page, err = b.Fetch(streamName, Position{Offset: 2}, all, nil)
	if !errors.Is(err, &brokers.Error{Code: "IOERR"}) {
		t.Fatal(payloads(page.Entries), err)
	}
	page, err = b.Fetch(streamName, Position{Offset: 3}, all, nil)
	want(t, "the others", fmt.Sprintln(payloads(page.Entries), err), fmt.Sprintln("third", error(nil)))
}

// filesOf names the segment files with their content.
func filesOf(t testing.TB) (text string) {
	for _, path := range segmentFiles(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintln(path, crc32.ChecksumIEEE(raw))
	}
	return text
}

// refuseToOpen opens a broker on a journal that does not know what is in the files: it must say so and touch none.
func refuseToOpen(t testing.TB, j *brokertest.Journal) {
	t.Helper()
	before := filesOf(t)
	var damage *segment.Damage
	if _, err := Open(Options{Journal: j, Directory: directoryOf(t), Clock: newClock()}); !errors.As(err, &damage) || damage.Problem != olderJournal {
		t.Fatal(err)
	}
	want(t, "the files after a refusal", filesOf(t), before)
}

func TestALostJournalTouchesNoFile(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	add(t, b, "a")
	seal(t, b)
	b.Close()
	refuseToOpen(t, brokertest.NewJournal())
	j := repaired(t, directoryOf(t), nil)
	b = openBroker(t, j, newClock())
	want(t, "names", fmt.Sprint(b.Exists([][]byte{[]byte("recovered-1")})), "1")
	page, err := b.Fetch([]byte("recovered-1"), Position{Kind: First}, all, nil)
	want(t, "what was in the file", fmt.Sprintln(payloads(page.Entries), err), fmt.Sprintln("a", error(nil)))
}

// TestAnOlderJournalTouchesNoFile starts with a journal of before the last seals, and with what a repair makes of it.
func TestAnOlderJournalTouchesNoFile(t *testing.T) {
	for _, chained := range []bool{false, true} {
		t.Run(fmt.Sprint("chain ", chained), func(t *testing.T) {
			j := brokertest.NewJournal()
			b := openBroker(t, j, newClock())
			create(t, b, func(c *Config) { c.Chain = chained })
			add(t, b, "a")
			seal(t, b)
			add(t, b, "b", "c")
			old := j.Records()
			add(t, b, "d")
			seal(t, b)
			add(t, b, "e")
			seal(t, b)
			b.Close()
			older := brokertest.NewJournal()
			for _, record := range old {
				older.Append(record, true)
			}
			refuseToOpen(t, older.Reopen(true))
			b = openBroker(t, repaired(t, directoryOf(t), old), newClock())
			want(t, "everything", fetchAll(t, b), "a b c d e")
			add(t, b, "f")
			if chained {
				v, err := b.Verify(streamName, Position{Kind: First}, Position{Kind: Last})
				want(t, "chain", fmt.Sprint(v.OK, v.To, err), fmt.Sprint(true, 6, error(nil)))
			}
		})
	}
}

// TestALostSnapshotLosesNoEntries starts with what a repair leaves of a log whose snapshot, with the list of the files,
// is lost, and that tells of a merge.
func TestALostSnapshotLosesNoEntries(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	add(t, b, "a")
	seal(t, b)
	add(t, b, "b")
	seal(t, b)
	b.Close()
	j := brokertest.NewJournal()
	replaced := numbers([]byte{opReplaced}, 2, 1, 7) // 7 was replaced by 2
	j.Append(replaced, true)
	refuseToOpen(t, j)
	j = repaired(t, directoryOf(t), [][]byte{replaced})
	b = openBroker(t, j, newClock())
	// A new stream must not have the number of one whose blocks are there still.
	create(t, b, nil)
	add(t, b, "c")
	b.Close()
	b = openBroker(t, j.Reopen(true), newClock())
	want(t, "of the new stream", fetchAll(t, b), "c")
	page, err := b.Fetch([]byte("recovered-1"), Position{Kind: First}, all, nil)
	want(t, "of the old one", fmt.Sprintln(payloads(page.Entries), err), fmt.Sprintln("a b", error(nil)))
}

func TestDeadFilesAreRemoved(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	add(t, b, "a", "b")
	seal(t, b)
	b.Drop([][]byte{streamName})
	if err := b.tidy(); err != nil {
		t.Fatal(err)
	}
	if list := segmentFiles(t); len(list) > 0 {
		t.Fatal(list)
	}
}

func TestManySmallFilesBecomeOne(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, func(c *Config) { c.Chain = true })
	for i := range 3 * mergeFan {
		add(t, b, fmt.Sprint(i))
		seal(t, b)
		if err := b.tidy(); err != nil {
			t.Fatal(err)
		}
	}
	if list := segmentFiles(t); len(list) >= mergeFan {
		t.Fatal(list)
	}
	v, err := b.Verify(streamName, Position{Kind: First}, Position{Kind: Last})
	want(t, "chain", fmt.Sprint(v.OK, v.To, err), fmt.Sprint(true, 3*mergeFan, error(nil)))
}

// haltedAfterFinish is a journal that calls after once a snapshot counts.
type haltedAfterFinish struct {
	*brokertest.Journal
	after func()
}

func (j *haltedAfterFinish) Cut() (brokers.Finish, error) {
	finish, err := j.Journal.Cut()
	return func(dump brokers.Dump) error {
		err := finish(dump)
		j.after()
		return err
	}, err
}

// TestAMergeLeavesFilesThatAreNotYetShown looks for files to merge while a compaction is between two streams: a merge of
// its file would lose the blocks that the second stream has not been given yet.
func TestAMergeLeavesFilesThatAreNotYetShown(t *testing.T) {
	j := &haltedAfterFinish{Journal: brokertest.NewJournal(), after: func() {}}
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	second := []byte("second")
	for range mergeFan {
		add(t, b, "a")
		if _, _, err := b.Append(second, [][]byte{[]byte("b")}, Expect{}, nil, true); err != nil {
			t.Fatal(err)
		}
		if len(b.files) == mergeFan-1 {
			j.after = b.find(second).mu.Lock
		}
		if len(b.files) < mergeFan-1 {
			seal(t, b)
		}
	}
	var sealing sync.WaitGroup
	sealing.Go(func() {
		if err := b.Compact(); err != nil {
			t.Error(err)
		}
	})
	first := b.find(streamName)
	for shown := false; !shown; runtime.Gosched() {
		first.mu.Lock()
		shown = len(first.hot) == 0
		first.mu.Unlock()
	}
	chosen := b.chooseMerge()
	b.find(second).mu.Unlock()
	sealing.Wait()
	if len(chosen) > 0 {
		t.Fatal("a file is merged before all streams have their blocks of it")
	}
	if err := b.tidy(); err != nil {
		t.Fatal(err)
	}
	page, err := b.Fetch(second, Position{Kind: First}, all, nil)
	want(t, "second", fmt.Sprint(len(page.Entries), err), fmt.Sprint(mergeFan, error(nil)))
}

// TestReadersDuringSealsMergesAndTrims has readers and a group follow the stream while everything moves below them.
func TestReadersDuringSealsMergesAndTrims(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), brokers.SystemClock{})
	create(t, b, nil)
	makeGroup(t, b, GroupConfig{MaxPending: 1 << 20})
	const total = 4000
	var running sync.WaitGroup
	appended := make(chan struct{})
	running.Go(func() {
		defer close(appended)
		for i := 1; i <= total; i++ {
			add(t, b, fmt.Sprint("entry ", i))
		}
	})
	running.Go(func() {
		for {
			select {
			case <-appended:
				return
			default:
			}
			if err := errors.Join(b.Compact(), b.tidy()); err != nil {
				t.Error(err)
			}
			st, err := b.Stats(streamName)
			if err == nil && st.Entries > 1500 {
				keep := int64(1000)
				_, _, err = b.Trim(streamName, &keep, nil)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	check := func(e Entry) bool {
		if string(e.Payload) != fmt.Sprint("entry ", e.Offset) {
			t.Errorf("offset %d has %q", e.Offset, e.Payload)
			return false
		}
		return true
	}
	for range 3 {
		running.Go(func() {
			next := uint64(1)
			for next <= total {
				page, err := b.Fetch(streamName, Position{Offset: next}, FetchOptions{Count: 1 + rand.IntN(50), MaxBytes: 1 << 20}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range page.Entries {
					if e.Offset < next || !check(e) {
						t.Errorf("offset %d after %d", e.Offset, next)
						return
					}
					next = e.Offset + 1
				}
				next = max(next, page.Next)
			}
		})
	}
	running.Go(func() {
		for last := uint64(0); last < total; {
			got, err := b.Consume(streamName, groupName, []byte("c"), ConsumeOptions{Count: 20, MaxBytes: 1 << 20}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for _, d := range got.Entries {
				if d.Offset <= last || !check(d.Entry) {
					t.Errorf("delivered %d after %d", d.Offset, last)
					return
				}
				last = d.Offset
			}
		}
	})
	running.Wait()
}

// TestFrontsAreReadOneAfterTheOther has the retention of many streams wait for a read at once, as after a start.
func TestFrontsAreReadOneAfterTheOther(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	const streams = 200
	names := make([][]byte, streams)
	for i := range names {
		names[i] = fmt.Append(nil, "stream ", i)
		if _, _, err := b.Append(names[i], [][]byte{[]byte("a"), []byte("b")}, Expect{}, nil, true); err != nil {
			t.Fatal(err)
		}
	}
	seal(t, b)
	now := b.time.Now().Earlier()
	list := b.all()
	for _, s := range list {
		s.mu.Lock()
	}
	before := runtime.NumGoroutine()
	for _, s := range list {
		s.cutLocked(2) // a part of the block, of which memory knows only the sum
		s.retainSoonLocked(now)
		if len(s.front) > 0 {
			t.Fatal("nothing is to be read")
		}
	}
	more := runtime.NumGoroutine() - before
	for _, s := range list {
		s.mu.Unlock()
	}
	if more > 1 {
		t.Fatalf("%d goroutines read for %d streams", more, streams)
	}
	for _, s := range list {
		for known := false; !known; runtime.Gosched() {
			s.mu.Lock()
			known = len(s.front) == 2 && s.gone > 0
			s.mu.Unlock()
		}
	}
}

// TestEntriesThatAreNotShownDoNotWakeTheirTimer holds an entry back past its MAXAGE, as a journal that has failed does.
func TestEntriesThatAreNotShownDoNotWakeTheirTimer(t *testing.T) {
	clock, j := newClock(), brokertest.NewJournal()
	b := openBroker(t, j, clock)
	create(t, b, func(c *Config) { c.MaxAge, c.Sync = time.Second, brokers.Always })
	j.AdvanceAll()
	j.SetAuto(false)
	defer j.SetAuto(true)
	add(t, b, "a")
	clock.Advance(2 * time.Second)
	s := b.find(streamName)
	s.mu.Lock()
	due := s.expiryMs
	s.mu.Unlock()
	if now := clock.Now().UnixMilli(); due != 0 {
		t.Fatalf("the timer is set for %d, again and again: now is %d", due, now)
	}
	j.AdvanceAll()
	want(t, "shown too late", fetchAll(t, b), "")
}

func TestReadersOfAClosedBrokerAreTold(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	add(t, b, "a", "b")
	seal(t, b)
	s := b.find(streamName)
	b.Close()
	if _, _, err := b.entryAt(s, 1); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	s.cutLocked(2) // what retention must know of the block is in the file
	if _, err := b.Stats(streamName); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
}

// damage changes a payload in the only segment file that holds it.
func damage(t testing.TB, payload string) {
	t.Helper()
	for _, path := range segmentFiles(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(raw), payload); at >= 0 {
			raw[at] ^= 1
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no file holds", payload)
}

func TestADamagedFileKeepsNoOthersFromMerging(t *testing.T) {
	b := openBroker(t, brokertest.NewJournal(), newClock())
	create(t, b, nil)
	for i := range mergeFan + 1 {
		add(t, b, fmt.Sprint("payload ", i))
		seal(t, b)
	}
	damage(t, "payload 3")
	if err := b.tidy(); err == nil {
		t.Fatal("a damaged block was merged")
	}
	if err := b.tidy(); err != nil {
		t.Fatal(err)
	}
	if list := segmentFiles(t); len(list) != 2 {
		t.Fatal("the others are not merged:", list)
	}
	// Once nothing of it is in use the damage does not matter.
	if _, _, err := b.Trim(streamName, nil, &Position{Offset: 5}); err != nil {
		t.Fatal(err)
	}
	if err := b.tidy(); err != nil {
		t.Fatal(err)
	}
	want(t, "files", len(segmentFiles(t)), 1)
}

// impatient is a journal on a disk that is full for a while: its first wait gives up.
type impatient struct {
	*brokertest.Journal
	full bool
}

func (j *impatient) WaitSynced(seq uint64) error {
	if j.full {
		return &brokers.Error{Code: "IOERR", Message: "not yet durable"}
	}
	return j.Journal.WaitSynced(seq)
}

func TestReplacedFilesAreRemovedOnceTheDiskHasRoom(t *testing.T) {
	j := &impatient{Journal: brokertest.NewJournal(), full: true}
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	for range mergeFan {
		add(t, b, "a")
		seal(t, b)
	}
	if err := b.tidy(); !errors.Is(err, &brokers.Error{Code: "IOERR"}) {
		t.Fatal(err)
	}
	want(t, "before the record is durable", len(segmentFiles(t)), mergeFan+1)
	j.full = false
	if err := b.tidy(); err != nil {
		t.Fatal(err)
	}
	want(t, "after it", len(segmentFiles(t)), 1)
}

func TestLostEntriesAreNotCounted(t *testing.T) {
	j := brokertest.NewJournal()
	b := openBroker(t, j, newClock())
	create(t, b, nil)
	for _, payload := range []string{"a", "b", "c"} {
		add(t, b, payload, payload, payload)
		seal(t, b)
	}
	add(t, b, "d")
	b.Close()
	if err := os.Remove(filepath.Join(directoryOf(t), segment.Name(2))); err != nil {
		t.Fatal(err)
	}
	if err := segment.PutEmpty(directoryOf(t), 2, segment.Log{}); err != nil {
		t.Fatal(err)
	}
	b = openBroker(t, j.Reopen(true), newClock())
	counted := func(what string, entries int) {
		t.Helper()
		length, err := b.Length(streamName)
		st, alsoErr := b.Stats(streamName)
		want(t, what, fmt.Sprint(length, st.Entries, err, alsoErr), fmt.Sprint(entries, entries, error(nil), error(nil)))
	}
	counted("after the loss", 7)
	for _, c := range []struct{ before, left int }{{3, 5}, {5, 4}, {9, 2}, {10, 1}, {11, 0}} {
		if _, _, err := b.Trim(streamName, nil, &Position{Offset: uint64(c.before)}); err != nil {
			t.Fatal(err)
		}
		counted(fmt.Sprint("before ", c.before), c.left)
	}
}
