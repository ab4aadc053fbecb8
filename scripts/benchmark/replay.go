package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	replayStreams = 1000
	replayPayload = 1024
	replayBatch   = 8  // entries of one append
	replayRounds  = 80 // appends of each stream: enough that their files are merged into one with eight blocks of a stream side by side
	// replayRoundsMin makes more than the compact size: with less, all would be replayed from memory.
	replayRoundsMin = 12
	// wantedReplay is how many bytes may be read from the disk for a byte that is replayed.
	wantedReplay = 1.5
)

// coldReplay is what one cold replay took.
type coldReplay struct {
	read  int64 // from the disk
	bytes int   // that were asked for
	took  time.Duration
}

func (r coldReplay) times() float64 { return float64(r.read) / float64(r.bytes) }

func (r coldReplay) String() string {
	return fmt.Sprintf("%.2f: %d KiB for %d KiB in %.0f ms", r.times(), r.read>>10, r.bytes>>10, float64(r.took.Microseconds())/1000)
}

var replayPages = [][]string{{"COUNT", "100"}, {"COUNT", "10000", "MAXBYTES", "16777216"}}

// replay measures cold replays once: what is counted are bytes, and they are the same in each round.
func (b *bench) replay() error {
	var all [][]coldReplay
	for _, s := range b.nexos() {
		replays, err := b.coldReplays(s)
		if err != nil {
			return err
		}
		all = append(all, replays)
	}
	for i, page := range replayPages {
		line := row{work: fmt.Sprintf("one of %d streams, %s", replayStreams, strings.ToLower(strings.Join(page, " "))),
			nexo: all[0][i].String(), judged: []float64{all[0][i].times()}, bar: atMost(wantedReplay)}
		if len(all) > 1 {
			line.other, line.gains = all[1][i].String(), quotients(line.judged, []float64{all[1][i].times()})
		}
		b.report.add(line)
	}
	return nil
}

// coldReplays appends to 1,000 streams in turn, and then replays one of them for each kind of page while nothing of the files is
// in the page cache: what the disk reads is compared with what was asked for.
func (b *bench) coldReplays(of *server) ([]coldReplay, error) {
	name := of.name + "-replay"
	data := func(port, data string) *exec.Cmd {
		return exec.Command(of.command.Path, "server", "--port", port, "--data", data, "--fsync", "interval", "--compact-size", "60mb",
			"--dashboard-port", "0")
	}
	s, err := startServer(name, b.directory, data)
	if err != nil {
		return nil, err
	}
	defer func() { s.stop() }()
	rounds := max(replayRounds/b.divide, replayRoundsMin)
	if err := s.interleave(rounds); err != nil {
		return nil, err
	}
	if err := s.settle(); err != nil { // the merge is over
		return nil, err
	}
	s.stop()
	if s, err = startServerAgain(name, b.directory, data); err != nil {
		return nil, err
	}
	var replays []coldReplay
	for i, page := range replayPages {
		if err := s.settle(); err != nil {
			return nil, err
		}
		if err := forgetPages(filepath.Join(b.directory, name)); err != nil {
			return nil, err
		}
		r, err := s.replayCold("s"+strconv.Itoa(replayStreams/3+i*7), page)
		if err != nil {
			return nil, err
		}
		if want := rounds * replayBatch * replayPayload; r.bytes != want {
			return nil, fmt.Errorf("%d bytes were replayed, not %d", r.bytes, want)
		}
		if r.read == 0 {
			return nil, errors.New("the disk read nothing: the entries were in memory, or in a page cache that does not forget")
		}
		replays = append(replays, r)
	}
	return replays, nil
}

// interleave appends to every stream in turn.
func (s *server) interleave(rounds int) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.Close()
	words := []string{"XMAPPEND", "", strconv.Itoa(replayBatch)}
	for range replayBatch {
		words = append(words, strings.Repeat("x", replayPayload))
	}
	for range rounds {
		const together = 50
		for i := 0; i < replayStreams; i += together {
			var batch []byte
			for k := range together {
				words[1] = "s" + strconv.Itoa(i+k)
				batch = encode(batch, words...)
			}
			if _, err := c.Write(batch); err != nil {
				return err
			}
			for range together {
				if _, err := c.read(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// settle waits until the server reads and writes nothing any more: merges go on for a while.
func (s *server) settle() error {
	last, quiet := int64(-1), 0
	for deadline := time.Now().Add(limit); quiet < 4; time.Sleep(250 * time.Millisecond) {
		read, err := s.traffic("read_bytes")
		if err != nil {
			return err
		}
		written, err := s.traffic("write_bytes")
		if err != nil {
			return err
		}
		if quiet++; read+written != last {
			quiet = 0
		}
		last = read + written
		if time.Now().After(deadline) {
			return fmt.Errorf("the server is not quiet after %s", limit)
		}
	}
	return nil
}

// traffic is what the process has read from the disk, or written to it.
func (s *server) traffic(which string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == which {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("the kernel does not count %s", which)
}

// forgetPages takes the files of a directory out of the page cache.
func forgetPages(directory string) error {
	return filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := file.Sync(); err != nil {
			return err
		}
		const dontNeed = 4
		if _, _, problem := syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, dontNeed, 0, 0); problem != 0 {
			return problem
		}
		return nil
	})
}

// replayCold reads a stream from its start, page by page, and tells what the disk had to read for it.
func (s *server) replayCold(stream string, page []string) (r coldReplay, err error) {
	c, err := dial(s)
	if err != nil {
		return r, err
	}
	defer c.Close()
	before, err := s.traffic("read_bytes")
	if err != nil {
		return r, err
	}
	start := time.Now()
	for next := int64(1); ; {
		reply, err := c.do(append([]string{"XFETCH", stream, strconv.FormatInt(next, 10)}, page...)...)
		if err != nil {
			return r, err
		}
		list, ok := reply.([]any)
		if !ok || len(list) != 4 {
			return r, fmt.Errorf("XFETCH answered %v", reply)
		}
		entries := list[3].([]any)
		for _, entry := range entries {
			r.bytes += len(entry.([]any)[2].(string))
		}
		if len(entries) == 0 {
			break
		}
		next = list[0].(int64)
	}
	r.took = time.Since(start)
	after, err := s.traffic("read_bytes")
	r.read = after - before
	return r, err
}
