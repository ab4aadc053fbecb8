package processtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// writers fill one broker each with thirty records and read them back as a set.
var writers = map[string]struct {
	flags []string
	write func(n int) []any
	read  func(t *testing.T, s *server) map[string]bool
}{
	"queue": {
		write: func(n int) []any { return []any{"QPUSH", "q", marked(n)} },
		read:  func(t *testing.T, s *server) map[string]bool { return popAll(t, s, "q") },
	},
	"stream": {
		write: func(n int) []any { return []any{"XAPPEND", "s", marked(n)} },
		read: func(t *testing.T, s *server) map[string]bool {
			found := map[string]bool{}
			for _, item := range mustDo(t, s, "XFETCH", "s", "first", "COUNT", "1000").([]any)[3].([]any) {
				found[item.([]any)[2].(string)] = true
			}
			return found
		},
	},
	"retained": {
		write: func(n int) []any { return []any{"NPUB", fmt.Sprintf("t/%d", n), marked(n), "RETAIN"} },
		read: func(t *testing.T, s *server) map[string]bool {
			found := map[string]bool{}
			for _, item := range mustDo(t, s, "NRETAINED", "t/#", "COUNT", "1000").([]any)[1].([]any) {
				found[item.([]any)[1].(string)] = true
			}
			return found
		},
	},
	"store": {
		flags: []string{"--store-durability", "always"},
		write: func(n int) []any { return []any{"SET", fmt.Sprintf("k%d", n), marked(n)} },
		read: func(t *testing.T, s *server) map[string]bool {
			found := map[string]bool{}
			for n := 0; n < 30; n++ {
				if value, ok := mustDo(t, s, "GET", fmt.Sprintf("k%d", n)).(string); ok {
					found[value] = true
				}
			}
			return found
		},
	},
}

func marked(n int) string { return fmt.Sprintf("payload-%02d-%s", n, strings.Repeat("m", 40)) }

// written makes a data directory with thirty acknowledged records, killed without a farewell.
func written(t *testing.T, flags []string, command func(n int) []any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir, flags...)
	s.await(t)
	for n := 0; n < 30; n++ {
		mustDo(t, s, command(n)...)
	}
	s.kill()
	return dir
}

// segmentWith is the log file that holds the payload, and its place there.
func segmentWith(t *testing.T, dir, payload string) (path string, at int, content []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if i := strings.Index(string(b), payload); i >= 0 && path == "" {
			path, at, content = p, i, b
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("no file under %s holds %q (%v)", dir, payload, err)
	}
	return path, at, content
}

// TestDamagedMiddle flips one byte in the middle of each broker's log: the server refuses to start with exit code 3 and
// names the repair command; that command is a dry run until told otherwise, and afterwards the server starts with every
// record but the damaged ones.
func TestDamagedMiddle(t *testing.T) {
	for name, broker := range writers {
		t.Run(name, func(t *testing.T) {
			dir := written(t, broker.flags, broker.write)
			path, at, content := segmentWith(t, dir, marked(10))
			content[at+12] ^= 0x40
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, dir, broker.flags...)
			select {
			case <-s.done:
			case <-time.After(20 * time.Second):
				t.Fatalf("the server started on a damaged log\n%s", s.log)
			}
			if code := s.cmd.ProcessState.ExitCode(); code != 3 {
				t.Fatalf("exit code %d, want 3\n%s", code, s.log)
			}
			command := regexp.MustCompile(`nexo repair [^"\n]+`).FindString(s.log.String())
			if command == "" || !strings.Contains(s.log.String(), filepath.Base(path)) {
				t.Fatalf("the refusal names no file and repair command:\n%s", s.log)
			}
			arguments := strings.Fields(strings.Trim(command, "` '\\"))[1:]
			out, err := exec.Command(nexoBinary(t), arguments...).CombinedOutput()
			t.Logf("%s (%v):\n%s", command, err, out)
			if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
				t.Fatalf("the dry run changed the log (%v)", err)
			}
			if !strings.Contains(command, "--apply") {
				arguments = append(arguments, "--apply")
			}
			if out, err := exec.Command(nexoBinary(t), arguments...).CombinedOutput(); err != nil {
				t.Fatalf("nexo %v: %v\n%s", arguments, err, out)
			}
			s = start(t, dir, broker.flags...)
			s.await(t)
			found := broker.read(t, s)
			t.Logf("%d of 30 records after the repair", len(found))
			if found[marked(10)] {
				t.Error("the damaged record is served")
			}
			if len(found) < 29 {
				t.Errorf("%d records are left of 29 undamaged ones", len(found))
			}
		})
	}
}

// TestTornTail cuts the last record of each broker's log in its middle, as a crash during a write leaves it: the server
// starts, says so, and serves the others; it never serves the torn one.
func TestTornTail(t *testing.T) {
	for name, broker := range writers {
		t.Run(name, func(t *testing.T) {
			dir := written(t, append([]string{"--fsync", "interval"}, broker.flags...), broker.write)
			path, at, content := segmentWith(t, dir, marked(29))
			if err := os.WriteFile(path, content[:at+20], 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, dir, broker.flags...)
			select {
			case <-s.done:
				// Refusing is right when the record was known to be on disk.
				if code := s.cmd.ProcessState.ExitCode(); code != 3 {
					t.Fatalf("exit code %d\n%s", code, s.log)
				}
				t.Log("refused: the record was known to be durable")
				return
			case <-waitServing(t, s):
			}
			found := broker.read(t, s)
			if len(found) != 29 || found[marked(29)] {
				t.Errorf("%d records, the torn one among them: %v\n%s", len(found), found[marked(29)], s.log)
			}
		})
	}
}

// waitServing is closed once the server answers.
func waitServing(t *testing.T, s *server) <-chan struct{} {
	ready := make(chan struct{})
	go func() {
		for {
			select {
			case <-s.done:
				return
			default:
			}
			if c, err := dial(s.addr); err == nil {
				_, err := c.do("PING")
				c.Close()
				if err == nil {
					close(ready)
					return
				}
			}
			time.Sleep(2 * time.Millisecond) // the poll of a foreign process's port
		}
	}()
	return ready
}

// TestDataDirectoryLock starts a second server on the same directory: it says who holds it and ends.
func TestDataDirectoryLock(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	first.await(t)
	second := start(t, dir)
	select {
	case <-second.done:
	case <-time.After(10 * time.Second):
		t.Fatal("a second server runs on the same data directory")
	}
	if !strings.Contains(second.log.String(), fmt.Sprint(first.cmd.Process.Pid)) {
		t.Errorf("the refusal does not name process %d:\n%s", first.cmd.Process.Pid, second.log)
	}
	mustDo(t, first, "QPUSH", "q", "still served")
}

// TestDrain stops the server with SIGTERM under load: everything acknowledged is there after a clean restart.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.await(t)
	o := newOracle()
	mustDo(t, s, "QCREATE", "jobs", "LEASE", "200", "MAXATTEMPTS", "1000000", "BACKOFF", "NONE")
	clients := make(chan struct{})
	for n := 0; n < 8; n++ {
		go func() {
			produceJobs(s, o, fmt.Sprintf("p%d", n))
			clients <- struct{}{}
		}()
	}
	time.Sleep(300 * time.Millisecond) // load before the stop
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(15 * time.Second):
		t.Fatalf("not stopped 15 s after the signal\n%s", s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.log)
	}
	for n := 0; n < 8; n++ {
		<-clients
	}
	s = start(t, dir)
	s.await(t)
	o.checkQueue(drain(t, s, o))
	for _, problem := range o.problems {
		t.Error(problem)
	}
	t.Logf("%d pushes acknowledged", len(o.pushed))
}
