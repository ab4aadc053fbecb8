package processtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of so many MiB.
func smallDisk(t *testing.T, mebibytes int) (mount string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	mount = t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes)); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
	return mount
}

// fillers fill the disk with what one broker holds, and delete it all again.
var fillers = map[string]struct {
	flags  []string
	add    func(n int, payload string) []any
	remove []any
}{
	"store": {
		flags:  []string{"--store-durability", "always"},
		add:    func(n int, payload string) []any { return []any{"SET", fmt.Sprint("key", n), payload} },
		remove: []any{"FLUSHALL"},
	},
	"retained": {
		add:    func(n int, payload string) []any { return []any{"NPUB", fmt.Sprint("t/", n), payload, "RETAIN"} },
		remove: []any{"NRDEL", "#"},
	},
	"queue": {
		add:    func(n int, payload string) []any { return []any{"QPUSH", "q", payload} },
		remove: []any{"QPURGE", "q"},
	},
	"stream": {
		add:    func(n int, payload string) []any { return []any{"XAPPEND", "s", payload} },
		remove: []any{"XDROP", "s"},
	},
}

// TestALogThatFillsItsDisk lets each broker's log fill a disk that is far smaller than the log from which it would be
// compacted: what is deleted makes room again, also after a kill and a restart on the full disk.
func TestALogThatFillsItsDisk(t *testing.T) {
	for name, broker := range fillers {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s restart=%v", name, restart), func(t *testing.T) {
				dir := filepath.Join(smallDisk(t, 20), "data")
				flags := append([]string{"--min-free-disk", "0", "--log-level", "warn"}, broker.flags...)
				s := start(t, dir, flags...)
				s.await(t)
				for round := range 2 {
					if n := fillDisk(t, s, broker.add); n < 100 {
						t.Fatalf("round %d: only %d were taken: the room has not come back\n%s", round, n, s.log)
					}
					if restart {
						s.kill()
						s = start(t, dir, flags...)
						s.await(t)
					}
					c, err := dial(s.addr)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := c.do(broker.remove...); err != nil {
						t.Fatalf("round %d: %v on a full disk: %v\n%s", round, broker.remove, err, s.log)
					}
					awaitRoom(t, s, c, broker.add)
					c.Close()
				}
			})
		}
	}
}

// fillDisk adds until the disk is full, and tells how many were taken.
func fillDisk(t *testing.T, s *server, add func(n int, payload string) []any) (n int) {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for ; err == nil && n < 10_000; n++ {
		_, err = c.do(add(n, strings.Repeat("x", 20<<10))...)
	}
	if !refused(err) {
		t.Fatalf("%d taken, then %v", n, err)
	}
	return n
}

// awaitRoom returns once data is taken again.
func awaitRoom(t *testing.T, s *server, c *client, add func(n int, payload string) []any) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := c.do(add(0, "small")...)
		if err == nil {
			return
		}
		if !refused(err) || time.Now().After(deadline) {
			t.Fatalf("everything was deleted, and the disk stays full: %v\n%s", err, s.log)
		}
		time.Sleep(20 * time.Millisecond) // the pace of the poll
	}
}
