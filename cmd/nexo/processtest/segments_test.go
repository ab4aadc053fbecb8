package processtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sealed makes a data directory with 200 entries of 1 KiB in several segment files, and killed.
func sealed(t *testing.T) (dir string, segments []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := start(t, dir, "--compact-size", "64kb")
	s.await(t)
	for n := range 200 {
		mustDo(t, s, "XAPPEND", "s", entryOf(n))
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(segments) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("no segment file appears\n%s", s.log)
		}
		segments, _ = filepath.Glob(filepath.Join(dir, "segments", "segment-????????????????"))
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	segments, _ = filepath.Glob(filepath.Join(dir, "segments", "segment-????????????????"))
	return dir, segments
}

func entryOf(n int) string { return fmt.Sprintf("entry-%03d-%s", n, strings.Repeat("e", 1000)) }

func tool(t *testing.T, wantCode int, arguments ...string) string {
	t.Helper()
	command := exec.Command(nexoBinary(t), arguments...)
	out, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != wantCode {
		t.Fatalf("nexo %v: exit code %d, want %d (%v)\n%s", arguments, command.ProcessState.ExitCode(), wantCode, err, out)
	}
	return string(out)
}

// refusal starts a server that must not start, and returns what it says.
func refusal(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	s := start(t, dir, flags...)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("the server started\n%s", s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 3 {
		t.Fatalf("exit code %d, want 3\n%s", code, s.log)
	}
	return s.log.String()
}

// readEntriesFrom counts the entries that are served.
func readEntriesFrom(t *testing.T, s *server) (found int) {
	t.Helper()
	for next := any(int64(1)); ; {
		page := mustDo(t, s, "XFETCH", "s", fmt.Sprint(next), "COUNT", "1000", "MAXBYTES", "16777216").([]any)
		entries := page[3].([]any)
		if len(entries) == 0 {
			return found
		}
		for _, item := range entries {
			entry := item.([]any)
			if want := entryOf(int(entry[0].(int64)) - 1); entry[2] != want {
				t.Fatalf("offset %v has %.20q, want %.20q", entry[0], entry[2], want)
			}
			found++
		}
		next = page[0]
	}
}

func TestSegmentsAreServedAfterARestart(t *testing.T) {
	dir, segments := sealed(t)
	if out := tool(t, 0, "check", dir); strings.Count(out, "segment-") != len(segments) {
		t.Fatal(out)
	}
	s := start(t, dir)
	s.await(t)
	if n := readEntriesFrom(t, s); n != 200 {
		t.Fatalf("%d of 200 entries", n)
	}
}

func TestDamagedSegments(t *testing.T) {
	for place, change := range map[string]func(path string, raw []byte) []byte{
		"block":     func(_ string, raw []byte) []byte { raw[100] ^= 1; return raw },
		"directory": func(_ string, raw []byte) []byte { raw[len(raw)-40] ^= 1; return raw },
	} {
		t.Run(place, func(t *testing.T) {
			dir, segments := sealed(t)
			raw, err := os.ReadFile(segments[0])
			if err != nil {
				t.Fatal(err)
			}
			changed := change(segments[0], bytes.Clone(raw))
			if err := os.WriteFile(segments[0], changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if out := tool(t, 3, "check", dir); !strings.Contains(out, filepath.Base(segments[0])) || !strings.Contains(out, "damaged") {
				t.Fatal(out)
			}
			if place == "directory" {
				if said := refusal(t, dir); !strings.Contains(said, "nexo repair "+dir) || !strings.Contains(said, filepath.Base(segments[0])) {
					t.Fatal(said)
				}
			} else {
				s := start(t, dir)
				s.await(t)
				c, err := dial(s.addr)
				if err != nil {
					t.Fatal(err)
				}
				if reply, err := c.do("XFETCH", "s", "first"); err == nil || !strings.Contains(err.Error(), "IOERR") {
					t.Fatalf("a damaged block answers %.100v, %v", reply, err)
				}
				c.Close()
				s.kill()
			}
			if out := tool(t, 0, "repair", dir); !strings.Contains(out, "--apply") {
				t.Fatal(out)
			}
			if now, err := os.ReadFile(segments[0]); err != nil || !bytes.Equal(now, changed) {
				t.Fatal("the dry run changes the file", err)
			}
			tool(t, 0, "repair", "--apply", dir)
			tool(t, 0, "check", dir)
			s := start(t, dir)
			s.await(t)
			found := readEntriesFrom(t, s)
			if place == "directory" && found != 200 || found < 100 || place == "block" && found == 200 {
				t.Fatalf("%d of 200 entries after the repair", found)
			}
		})
	}
}

func TestMissingSegment(t *testing.T) {
	dir, segments := sealed(t)
	if err := os.Remove(segments[0]); err != nil {
		t.Fatal(err)
	}
	said := refusal(t, dir)
	var id uint64
	if _, err := fmt.Sscanf(filepath.Base(segments[0]), "segment-%x", &id); err != nil {
		t.Fatal(err)
	}
	if command := fmt.Sprintf("nexo repair --missing-segment=%d --apply %s", id, dir); !strings.Contains(said, command) {
		t.Fatalf("%q is not in:\n%s", command, said)
	}
	tool(t, 0, "repair", fmt.Sprint("--missing-segment=", id), "--apply", dir)
	s := start(t, dir)
	s.await(t)
	if n := readEntriesFrom(t, s); n == 200 {
		t.Fatal("nothing is missing")
	}
	mustDo(t, s, "XAPPEND", "s", entryOf(200))
}
