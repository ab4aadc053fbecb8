package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func smallFileSystem(t *testing.T, size string) (mount string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	mount = t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	return mount
}

// The broker is called while the disk is full, although nothing is written, and what is set aside for a compaction is
// enough for one even when queued records have taken everything else.
func TestACompactionFreesAFullDisk(t *testing.T) {
	mount := smallFileSystem(t, "8m")
	options := testOptions(mount)
	l := mustOpen(t, options)
	asked := make(chan error, 1)
	relieve := func() {
		finish, err := l.Cut()
		if err == nil {
			go func() { asked <- finish(func(func([]byte) error) error { return nil }) }()
		}
	}
	l.Notify(func(_, _ uint64) {
		if short, _, _ := l.Space(); short && l.stalled.Load() != nil {
			relieve()
		}
	})
	block := strings.Repeat("z", 40<<10)
	for n := 0; n < 1000 && l.stalled.Load() == nil; n++ { // Ready is not asked: the worst client
		seq := l.Append([]byte(fmt.Sprint(n, block)), true)
		if n%20 == 0 {
			_ = l.WaitSynced(seq)
		}
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	eventually(t, "room again", func() bool { return l.Ready() == nil })
	for _, name := range []string{ballastName, reserveName} {
		if _, err := os.Stat(filepath.Join(l.directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	appendSynced(t, l, 0, 10)
	mustClose(t, l)
}

// A log that was killed on a full disk is opened: what recovery writes finds room, or needs none.
func TestAFullDiskIsOpened(t *testing.T) {
	for _, tail := range []string{"", "torn"} {
		t.Run("tail "+tail, func(t *testing.T) {
			mount := smallFileSystem(t, "8m")
			options := testOptions(mount)
			l := mustOpen(t, options)
			appendSynced(t, l, 0, 100)
			abandonInPlace(t, l)
			if tail != "" {
				file, err := os.OpenFile(filepath.Join(mount, options.Name, "wal-1", segmentName(1)), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := file.WriteString(tail); err != nil {
					t.Fatal(err)
				}
				file.Close()
			} else if err := os.Remove(filepath.Join(mount, options.Name, ballastName)); err != nil {
				t.Fatal(err)
			}
			takeAllBut(t, filepath.Join(mount, "hog"), mount, 0)
			wantRecords(t, records(t, mustOpen(t, options)), 0, 100)
		})
	}
}

// abandonInPlace takes the end mark from a log, as a kill leaves it.
func abandonInPlace(t *testing.T, l *Log) {
	t.Helper()
	size := l.writer.tailBytes
	mustClose(t, l)
	if err := os.Truncate(filepath.Join(l.directory, "wal-1", segmentName(1)), size); err != nil {
		t.Fatal(err)
	}
	mark := watermark{id: l.writer.id, generation: 1, index: l.writer.index - 1}.encode()
	if err := os.WriteFile(filepath.Join(l.directory, watermarkName), mark[:], 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
