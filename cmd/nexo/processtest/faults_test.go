package processtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused tells whether the error is the server's clear refusal because of its disk.
func refused(err error) bool {
	var reply replyError
	return errors.As(err, &reply) && (strings.HasPrefix(string(reply), "DISKFULL ") || strings.HasPrefix(string(reply), "IOERR "))
}

// TestDiskFull fills a small file system several times: adding data is refused, reads and acks go on, the service resumes
// by itself when space returns, and nothing acknowledged is lost by a kill at the end.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=48m"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
	dir, filler := filepath.Join(mount, "data"), filepath.Join(mount, "filler")
	flags := []string{"--fsync", "always", "--min-free-disk", "1mb", "--log-level", "warn"}
	s := start(t, dir, flags...)
	s.await(t)
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	pushed := map[string]bool{}
	number := 0
	push := func() error {
		number++
		payload := fmt.Sprintf("job %d %s", number, strings.Repeat("x", 20<<10))
		_, err := c.do("QPUSH", "q", payload)
		if err == nil {
			pushed[payload] = true
		}
		return err
	}
	for cycle := 0; cycle < 3; cycle++ {
		fill(t, mount, filler, 3<<20)
		var err error
		for n := 0; err == nil && n < 4000; n++ {
			err = push()
		}
		if !refused(err) {
			t.Fatalf("cycle %d: a push on a full disk answered %v\n%s", cycle, err, s.log)
		}
		t.Logf("cycle %d: %d jobs accepted before %v", cycle, len(pushed), err)
		// Reads and acks go on.
		if _, err := c.do("QLEN", "q"); err != nil {
			t.Fatalf("QLEN on a full disk: %v", err)
		}
		reply, err := c.do("QPOP", "q", "COUNT", 5)
		if err != nil {
			t.Fatalf("QPOP on a full disk: %v", err)
		}
		for _, item := range reply.([]any) {
			job := item.([]any)
			if n, err := c.do("QACK", "q", job[0]); err != nil || n != int64(1) {
				t.Fatalf("QACK on a full disk: %v %v", n, err)
			}
			delete(pushed, job[1].(string))
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		// The service resumes within 2 s of the space coming back.
		deadline := time.Now().Add(2 * time.Second)
		for err = push(); err != nil && time.Now().Before(deadline); err = push() {
			time.Sleep(10 * time.Millisecond) // the pace of the poll
		}
		if err != nil {
			t.Fatalf("cycle %d: not resumed 2 s after space returned: %v\n%s", cycle, err, s.log)
		}
	}
	s.kill()
	s = start(t, dir, flags...)
	s.await(t)
	left := popAll(t, s, "q")
	for payload := range pushed {
		if !left[payload] {
			t.Errorf("lost: %.20s", payload)
		}
	}
	t.Logf("%d jobs were acknowledged and all are there", len(pushed))
}

// fill writes a file that leaves about free bytes on the file system.
func fill(t *testing.T, mount, path string, free int64) {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(mount, &stat); err != nil {
		t.Fatal(err)
	}
	size := int64(stat.Bavail)*stat.Bsize - free
	if size < 0 {
		size = 0
	}
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

// popAll pops every job of a queue and returns the payloads.
func popAll(t *testing.T, s *server, queue string) map[string]bool {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := map[string]bool{}
	for {
		reply, err := c.do("QPOP", queue, "COUNT", 100, "LEASE", "10m")
		if err != nil {
			t.Fatal(err)
		}
		jobs, _ := reply.([]any)
		if len(jobs) == 0 {
			return found
		}
		for _, item := range jobs {
			found[item.([]any)[1].(string)] = true
		}
	}
}

// TestFsyncError makes fsync fail with EIO: the push is refused with a clear error, the log is not used again, reads go
// on, and a restart finds everything acknowledged.
func TestFsyncError(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("this test needs strace (Debian package strace)")
	}
	dir := t.TempDir()
	s := start(t, dir)
	s.await(t)
	trace := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-p", fmt.Sprint(s.cmd.Process.Pid),
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=40+")
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trace.Process.Kill(); _ = trace.Wait() })
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.do("SET", "key", "value"); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	for n := 0; n < 200_000 && err == nil; n++ {
		payload := fmt.Sprintf("job %d", n)
		if _, err = c.do("QPUSH", "q", payload); err == nil {
			acknowledged[payload] = true
		}
	}
	if !refused(err) {
		t.Fatalf("a push whose fsync failed answered %v after %d good ones\n%s", err, len(acknowledged), s.log)
	}
	t.Logf("%d pushes acknowledged, then %v", len(acknowledged), err)
	if _, err := c.do("QPUSH", "q", "after"); !refused(err) {
		t.Errorf("a push after a failed fsync answered %v: the log must not be used again", err)
	}
	if value, err := c.do("GET", "key"); value != "value" {
		t.Errorf("GET after a failed fsync: %v %v", value, err)
	}
	if _, err := c.do("QLEN", "q"); err != nil {
		t.Errorf("QLEN after a failed fsync: %v", err)
	}
	if _, err := c.do("XAPPEND", "s", "other broker"); err != nil && !refused(err) {
		t.Errorf("XAPPEND: %v", err)
	}
	_ = trace.Process.Kill()
	_ = trace.Wait()
	s.kill()
	s = start(t, dir)
	s.await(t)
	found := popAll(t, s, "q")
	for payload := range acknowledged {
		if !found[payload] {
			t.Errorf("lost: %s", payload)
		}
	}
}

// TestReadOnlyFileSystem lets the writes behind the fsyncs fail while the fsyncs answer 0, as ext4 does once it has aborted
// and is read-only: no push is acknowledged from then on, whichever log it is of.
func TestReadOnlyFileSystem(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("this test needs strace (Debian package strace)")
	}
	for name, broker := range writers {
		t.Run(name, func(t *testing.T) {
			s := start(t, t.TempDir(), broker.flags...)
			s.await(t)
			mustDo(t, s, broker.write(0)...)
			trace := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-p", fmt.Sprint(s.cmd.Process.Pid),
				"-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS")
			if err := trace.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = trace.Process.Kill(); _ = trace.Wait() })
			c, err := dial(s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			deadline := time.Now().Add(20 * time.Second)
			for n := 1; err == nil; n++ { // strace needs a moment to take hold
				if time.Now().After(deadline) {
					t.Fatalf("%d changes were acknowledged on a read-only file system\n%s", n, s.log)
				}
				_, err = c.do(broker.write(n)...)
			}
			if !refused(err) {
				t.Fatalf("a change on a read-only file system answered %v", err)
			}
			if _, err := c.do(broker.write(1)...); !refused(err) {
				t.Fatalf("a later change answered %v", err)
			}
		})
	}
}

// TestNoFileHandles lets other connections use up the file handles: the server says so and goes on when they are back.
func TestNoFileHandles(t *testing.T) {
	s := start(t, t.TempDir())
	s.await(t)
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.do("QPUSH", "q", "before"); err != nil {
		t.Fatal(err)
	}
	limit := []string{"--pid", fmt.Sprint(s.cmd.Process.Pid), "--nofile=64:"}
	if out, err := exec.Command("prlimit", limit...).CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v %s", err, out)
	}
	var crowd []*client
	for n := 0; n < 100; n++ {
		if other, err := dial(s.addr); err == nil {
			crowd = append(crowd, other)
		}
	}
	// With no handle left the connection that is there works on, also over a roll to a new log segment.
	for n := 0; n < 30; n++ {
		if _, err := c.do("QPUSH", "q", strings.Repeat("x", 1<<20)); err != nil && !refused(err) {
			t.Fatalf("QPUSH without file handles: %v\n%s", err, s.log)
		}
	}
	for _, other := range crowd {
		other.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := c.do("QPUSH", "q", "after")
		if err == nil {
			break
		}
		if !refused(err) || time.Now().After(deadline) {
			t.Fatalf("QPUSH after the handles came back: %v\n%s", err, s.log)
		}
		time.Sleep(20 * time.Millisecond) // the pace of the poll
	}
	if out, err := exec.Command("prlimit", "--pid", fmt.Sprint(s.cmd.Process.Pid), "--nofile=1024:").CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v %s", err, out)
	}
	if _, err := dial(s.addr); err != nil {
		t.Errorf("a new connection after the handles came back: %v", err)
	}
}
