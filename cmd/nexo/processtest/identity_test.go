package processtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnOlderDataDirectory starts on one that was written, and killed, before there was a list of logs and before segment
// files knew their log: everything is there, after a second start, too, and it has the list.
func TestAnOlderDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	unpack(t, filepath.Join("testdata", "before-the-list.tar.gz"), dir)
	tool(t, 0, "check", dir)
	for round := range 2 {
		s := start(t, dir, "--store-durability", "always", "--compact-size", "64kb")
		s.await(t)
		for _, name := range []string{"queue", "retained", "store"} {
			if found := writers[name].read(t, s); len(found) != 30 && (name != "queue" || round == 0) { // the jobs are leased then
				t.Fatalf("%d of 30 records of %s", len(found), name)
			}
		}
		if n := readEntriesFrom(t, s); n != 200 {
			t.Fatalf("%d of 200 entries", n)
		}
		s.kill()
	}
	list, err := os.ReadFile(filepath.Join(dir, "LOGS"))
	if err != nil || strings.Count(string(list), "\n") != 6 {
		t.Fatalf("%s %v", list, err)
	}
	tool(t, 0, "check", dir)
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for entries := tar.NewReader(plain); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var raw []byte
			if raw, err = io.ReadAll(entries); err == nil {
				err = os.WriteFile(path, raw, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestASegmentFileOfAnotherDirectory puts the file of another data directory in the place of the one with its number: the
// start is refused, the repair puts it into quarantine and serves nothing of it.
func TestASegmentFileOfAnotherDirectory(t *testing.T) {
	dir, segments := sealed(t)
	other, _ := sealed(t)
	raw, err := os.ReadFile(filepath.Join(other, "segments", filepath.Base(segments[0])))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	said := refusal(t, dir)
	if !strings.Contains(said, "it belongs to another data directory") || !strings.Contains(said, "nexo repair "+dir) {
		t.Fatal(said)
	}
	tool(t, 3, "check", dir)
	if dry := tool(t, 0, "repair", dir); !strings.Contains(dry, "another data directory") || !strings.Contains(dry, "--apply") {
		t.Fatal(dry)
	}
	tool(t, 0, "repair", "--apply", dir)
	tool(t, 0, "check", dir)
	s := start(t, dir)
	s.await(t)
	if n := readEntriesFrom(t, s); n == 0 || n >= 200 {
		t.Fatalf("%d entries are served", n)
	}
	mustDo(t, s, "XAPPEND", "s", entryOf(200))
}

// TestAnOlderCopyAfterAKill copies a broker's log while the server lives, kills it later, and puts the copy in the place of the log: it
// is of the same life and generation, and the start misses what was acknowledged since, and touches nothing.
func TestAnOlderCopyAfterAKill(t *testing.T) {
	flags := []string{"--fsync", "always", "--store-durability", "always"}
	for name, broker := range writers {
		t.Run(name, func(t *testing.T) {
			dir, old := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "old")
			s := start(t, dir, flags...)
			s.await(t)
			for n := range 20 {
				mustDo(t, s, broker.write(n)...)
			}
			if err := os.CopyFS(old, os.DirFS(filepath.Join(dir, name))); err != nil {
				t.Fatal(err)
			}
			mustDo(t, s, broker.write(20)...)
			s.kill()
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(old)); err != nil {
				t.Fatal(err)
			}
			before := content(t, dir)
			if said := refusal(t, dir, flags...); !strings.Contains(said, "frames that had been fsynced are missing") {
				t.Fatal(said)
			}
			if !bytes.Equal(content(t, dir), before) {
				t.Fatal("the refused start has changed files")
			}
			tool(t, 3, "check", dir)
			if dry := tool(t, 0, "repair", dir); !strings.Contains(dry, "lost: frames") {
				t.Fatal(dry)
			}
			tool(t, 0, "repair", "--apply", dir)
			s = start(t, dir, flags...)
			s.await(t)
			if found := broker.read(t, s); len(found) != 20 {
				t.Fatalf("%d records, want the 20 of the copy", len(found))
			}
		})
	}
}
