package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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
	var stuck atomic.Bool
	l.Notify(func(_, _ uint64) {
		if short, _, _ := l.Space(); !short || !stuck.CompareAndSwap(true, false) {
			return
		}
		finish, err := l.Cut()
		if err != nil {
			asked <- err
			return
		}
		go func() { asked <- finish(func(func([]byte) error) error { return nil }) }()
	})
	block := strings.Repeat("z", 40<<10)
	for n := 0; ; n++ { // Ready is not asked: the worst client takes the ballast, too
		if err := l.WaitWritten(l.Append([]byte(fmt.Sprint(n, block)), true)); err != nil {
			wantCode(t, err, CodeIO)
			break
		}
	}
	if aside := l.asideBytes.Load(); aside == 0 || aside > 200<<10 {
		t.Fatalf("%d bytes are set aside, want the reserve", aside)
	}
	stuck.Store(true)
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
	if err := os.WriteFile(watermarkPath(l.options.Dir, l.options.Name), mark[:], 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
