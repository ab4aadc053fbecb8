package aof

import (
	"errors"
	"fmt"
	"testing"
)

// filledLog has a snapshot, a generation of several segments, and counts of what it holds.
func filledLog(t *testing.T, dir string) (records int) {
	t.Helper()
	log, err := Open(Options{Dir: dir, Name: "queue", SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	add := func(n int) {
		for i := range n {
			records++
			if err := log.WaitWritten(log.Append(fmt.Appendf(nil, "record %d %0100d", records, i), false)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(200)
	finish, err := log.Cut()
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(func(emit func(body []byte) error) error {
		for i := range records {
			if err := emit(fmt.Appendf(nil, "record %d", i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	add(200)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return records
}

func TestLoadingIsToldAndEndsAtTheWholeSize(t *testing.T) {
	dir := t.TempDir()
	if size, err := SizeToLoad(dir, "queue"); size != 0 || err != nil {
		t.Errorf("a log that is not there: %d %v", size, err)
	}
	want := filledLog(t, dir)
	total, err := SizeToLoad(dir, "queue")
	if err != nil || total < 20_000 {
		t.Fatalf("size to load: %d %v", total, err)
	}
	var told []int64
	log, err := Open(Options{Dir: dir, Name: "queue", Loading: func(bytes int64) error {
		told = append(told, bytes)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if half := told[len(told)-1]; half < total/2-100 || half > total/2 {
		t.Errorf("Open told of %d of %d bytes, want half", half, total)
	}
	records := 0
	if err := log.Replay(func([]byte) error { records++; return nil }); err != nil || records != want {
		t.Fatalf("replayed %d of %d: %v", records, want, err)
	}
	if last := told[len(told)-1]; last < total-100 || last > total {
		t.Errorf("in the end %d of %d bytes", last, total)
	}
	for i := 1; i < len(told); i++ {
		if told[i] < told[i-1] {
			t.Fatalf("progress went back from %d to %d", told[i-1], told[i])
		}
	}
	if len(told) < 100 {
		t.Errorf("told only %d times", len(told))
	}
}

// TestLoadingEndsWhereItIsAskedTo stops at every step; the log is whole afterwards.
func TestLoadingEndsWhereItIsAskedTo(t *testing.T) {
	dir := t.TempDir()
	want := filledLog(t, dir)
	stop := errors.New("stop")
	for steps := 0; ; steps += 37 {
		heard := 0
		log, err := Open(Options{Dir: dir, Name: "queue", Loading: func(int64) error {
			if heard++; heard > steps {
				return stop
			}
			return nil
		}})
		records := 0
		if err == nil {
			err = log.Replay(func([]byte) error { records++; return nil })
			if problem := log.Close(); problem != nil {
				t.Fatalf("stopped after %d steps: close: %v", steps, problem)
			}
		}
		if err == nil {
			if records != want {
				t.Errorf("after all stops %d records, want %d", records, want)
			}
			if steps < 400 {
				t.Errorf("not stopped after %d steps", steps)
			}
			return
		}
		if !errors.Is(err, stop) {
			t.Fatalf("stopped after %d steps: %v", steps, err)
		}
	}
}
