package aof

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// readOnlyWatermark puts a file in the watermark's place that takes no write, as a file system does that has given up:
// ext4 answers 0 to an fsync then. The writer waits for its first batch.
func readOnlyWatermark(t *testing.T, l *Log) {
	t.Helper()
	file, err := os.Open(watermarkPath(l.options.Dir, l.options.Name))
	if err != nil {
		t.Fatal(err)
	}
	old := l.writer.watermark
	l.writer.watermark = file
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever fsync answers, a record is not acknowledged as synced when the write behind the fsync fails, and the log is
// not used again.
func TestNothingIsAckedWithoutItsWatermark(t *testing.T) {
	for name, provoke := range map[string]func(t *testing.T, l *Log, f *faults) error{
		"a record": func(t *testing.T, l *Log, _ *faults) error {
			return l.WaitSynced(l.Append([]byte(record(0)), true))
		},
		"a record of an interval": func(t *testing.T, l *Log, _ *faults) error {
			return l.WaitSynced(l.Append([]byte(record(0)), false))
		},
		"a record written again": func(t *testing.T, l *Log, f *faults) error {
			if err := l.WaitWritten(l.Append([]byte(record(0)), false)); err != nil {
				return err
			}
			f.set(func(f *faults) { f.write = syscall.ENOSPC })
			l.Append([]byte(record(1)), true)
			eventually(t, "the log has failed", func() bool { return l.failure.Load() != nil })
			return l.WaitSynced(2)
		},
		"a compaction": func(t *testing.T, l *Log, _ *faults) error {
			finish, err := l.Cut()
			if err != nil {
				t.Fatal(err)
			}
			return finish(func(func([]byte) error) error { return nil })
		},
		"the end": func(t *testing.T, l *Log, _ *faults) error { return l.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t.TempDir())
			l, f := openFaulty(t, options)
			told := make(chan uint64, 100)
			l.Notify(func(_, synced uint64) { told <- synced })
			readOnlyWatermark(t, l)
			err := provoke(t, l, f)
			if err == nil || !strings.Contains(err.Error(), watermarkName) {
				t.Fatalf("answered %v", err)
			}
			for len(told) > 0 {
				if synced := <-told; synced != 0 {
					t.Fatalf("the broker was told that %d is durable", synced)
				}
			}
			if name != "the end" {
				wantCode(t, l.Ready(), CodeIO)
			}
			wantCode(t, l.Close(), CodeIO)
		})
	}
}
