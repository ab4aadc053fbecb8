package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The group scale is what teams pile up: how memory, the start and the disk follow it, and whether others wait meanwhile. Each
// row has servers of its own, on empty directories that are removed behind it. Sizes are those of --scale 1 times --scale, and a
// floor below which a row would measure the empty server.
func (b *bench) scale() error {
	known := false
	for _, part := range scaleParts {
		if b.part != "" && b.part != part.name {
			continue
		}
		known = true
		if err := part.run(b); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if !known {
		return fmt.Errorf("--part %s: there are %s", b.part, scalePartNames())
	}
	return nil
}

// scaleParts can be chosen with --part.
var scaleParts = []struct {
	name string
	run  func(*bench) error
}{
	{"jobs", (*bench).scaleJobs},
	{"loading", (*bench).scaleLoading},
	{"priorities", (*bench).scalePriorities},
	{"delayed", (*bench).scaleDelayed},
	{"queues", (*bench).scaleQueues},
	{"streams", (*bench).replay}, // the cold replay of one of 1,000
	{"storm", (*bench).scaleStorm},
	{"expiring", (*bench).scaleExpiring},
	{"flush", (*bench).scaleFlush},
	{"filters", (*bench).scaleFilters},
}

func scalePartNames() string {
	var names []string
	for _, part := range scaleParts {
		names = append(names, part.name)
	}
	return strings.Join(names, ", ")
}

// sized is how many of full there are at this scale.
func (b *bench) sized(full, least int) int { return max(int(float64(full)*b.options.scale), least) }

const mebibyte = 1 << 20

// redisMost is how much data redis-server is given, which keeps all of it in memory.
const redisMost = 3 << 30

// contender is a program that a row is measured with.
type contender struct {
	name   string
	binary string // of nexo; "" is redis-server
}

func (c contender) redis() bool { return c.binary == "" }

// field is the row's server while it is measured. Flags are nexo's; words are redis-server's.
type field struct {
	b     *bench
	c     contender
	flags []string
	kept  []*client // connections that are part of what is measured
	*server
}

// command starts the contender on a directory. redis-server without flags of its own keeps nothing.
func (f *field) command(port, data string) *exec.Cmd {
	if f.c.redis() {
		words := []string{"--port", port, "--dir", data, "--save", ""}
		return exec.Command("redis-server", append(words, f.flags...)...)
	}
	return nexoCommand(f.c.binary, port, data, f.flags...)
}

// open starts a contender on an empty directory.
func (b *bench) open(c contender, flags ...string) (*field, error) {
	b.opened++
	f := &field{b: b, c: c, flags: flags}
	var err error
	f.server, err = startServer(fmt.Sprintf("%s-scale-%d", c.name, b.opened), b.directory, f.command)
	return f, err
}

func (f *field) data() string { return filepath.Join(f.b.directory, f.name) }

// close ends the server and removes what it has left.
func (f *field) close() {
	closeAll(f.kept)
	if f.server != nil {
		f.kill()
		os.RemoveAll(f.data())
	}
}

// crash kills the server, takes its files out of the page cache, and starts it again without waiting for it.
func (f *field) crash() error {
	f.kill()
	if err := forgetPages(f.data()); err != nil {
		return err
	}
	s, err := launch(f.name, f.b.directory, f.command)
	if err == nil {
		f.server = s
	}
	return err
}

// disk is how many bytes the files of the server take.
func (f *field) disk() (total int64, err error) {
	err = filepath.WalkDir(f.data(), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
			return err
		}
		total += stat.Blocks * 512
		return nil
	})
	return total, err
}

// pour sends n commands over some connections, in pipelines; command appends the i-th to the buffer.
func (s *server) pour(connections, n, pipeline int, command func(buf []byte, i int) []byte) error {
	clients, err := dialAll(s, connections)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	return each(clients, func(at int, c *client) error {
		var batch []byte
		for i, end := n*at/connections, n*(at+1)/connections; i < end; {
			batch = batch[:0]
			size := min(pipeline, end-i)
			for range size {
				batch = command(batch, i)
				i++
			}
			if _, err := c.Write(batch); err != nil {
				return err
			}
			if err := c.skip(size); err != nil {
				return err
			}
		}
		return nil
	})
}

// purge has the server give back the memory that it can, which redis-server does by itself.
func (f *field) purge() error {
	return f.send("MEMORY", "PURGE")
}

// scaleRow is a line of the table: what is measured, how it is written, and what it is held to: the ratio to redis-server, or the
// value.
type scaleRow struct {
	work    string
	format  func(float64) string
	bar     bar
	ofRatio bool
}

// unmeasured stands for a value that a contender does not have.
var unmeasured = math.NaN()

// contest measures rows with each contender, and adds them to the report. A nil redis leaves that out.
func (b *bench) contest(rows []scaleRow, nexo, redis func(contender) ([]float64, error)) error {
	measure := func(c contender, by func(contender) ([]float64, error)) ([]float64, error) {
		values, err := by(c)
		if err == nil && len(values) != len(rows) {
			panic(fmt.Sprintf("BUG: %d values for %d rows", len(values), len(rows)))
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", c.name, err)
		}
		return values, err
	}
	var ours [][]float64
	for _, s := range b.nexos() {
		values, err := measure(contender{s.name, s.command.Path}, nexo)
		if err != nil {
			return err
		}
		ours = append(ours, values)
	}
	var theirs []float64
	if redis != nil {
		var err error
		if theirs, err = measure(contender{name: "redis"}, redis); err != nil {
			return err
		}
	}
	for i, r := range rows {
		at := func(values []float64) (text string, list []float64) {
			if values == nil || math.IsNaN(values[i]) {
				return "", nil
			}
			return r.format(values[i]), values[i : i+1]
		}
		line := row{work: r.work, bar: r.bar}
		var value, peer []float64
		line.nexo, value = at(ours[0])
		line.peer, peer = at(theirs)
		if peer != nil {
			line.ratios = quotients(value, peer)
		}
		if line.judged = value; r.ofRatio {
			line.judged = nil
			if peer == nil {
				line.bar = bar{} // there is nothing to be held to
			}
		}
		if len(ours) > 1 {
			var other []float64
			line.other, other = at(ours[1])
			line.gains = quotients(value, other)
			if peer != nil {
				line.otherRatios = quotients(other, peer)
			}
		}
		b.report.add(line)
	}
	return nil
}

// unlessLarge leaves redis-server out of what would take too much memory in it.
func unlessLarge(bytes int, measure func(contender) ([]float64, error)) func(contender) ([]float64, error) {
	if bytes > redisMost {
		return nil
	}
	return measure
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.0f MiB", bytes/mebibyte) }
func seconds(value float64) string   { return fmt.Sprintf("%.2f s", value) }
func times(value float64) string     { return fmt.Sprintf("%.2f", value) }
func plainBytes(value float64) string {
	return fmt.Sprintf("%.0f B", value)
}

// thousands writes a count as people do: 60,000.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	var text strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			text.WriteByte(',')
		}
		text.WriteRune(digit)
	}
	return text.String()
}
