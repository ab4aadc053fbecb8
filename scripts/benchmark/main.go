// Command benchmark measures a Nexo server beside a Redis server on this machine and prints the ratios. scripts/bench
// builds and starts it.
//
// Absolute figures depend on the machine and move from run to run; the ratio of two servers that were measured
// alternately, round by round, moves far less. So every comparison is a number of paired rounds, first one server, then
// the other, each time in the opposite order, and the figure reported is the median of the rounds' ratios. Every run is bounded in the
// number of its commands, and every wait in time.
//
// Simple commands are measured with redis-benchmark, so that the load generator is not ours. Where the answer must be
// counted (deliveries, jobs) or timed beside other traffic, the load is generated here over plain connections.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// section is one part of the benchmark: it adds rows to the report.
type section struct {
	name string
	run  func(*bench) error
}

var sections = []section{
	{"set", (*bench).set},
	{"get", (*bench).get},
	{"queue", (*bench).queue},
	{"stream", (*bench).stream},
	{"replay", (*bench).replay},
	{"pubsub", (*bench).pubsub},
	{"isolation", (*bench).isolation},
}

// bench is one run: two servers and the report.
type bench struct {
	nexo, redis *server // redis keeps nothing on disk
	redisAOF    *server // redis with an append-only file, fsync always
	rounds      int
	scale       int // the counts of commands are divided by it
	binary      string
	directory   string
	report      *report
}

func main() {
	quick := flag.Bool("quick", false, "fewer rounds and commands")
	binary := flag.String("nexo", "", "path of the nexo binary")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: scripts/bench [--quick] [set] [get] [queue] [stream] [replay] [pubsub] [isolation]")
	}
	flag.Parse()
	if err := run(*binary, *quick, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(binary string, quick bool, names []string) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	b := &bench{rounds: 5, scale: 1, report: &report{}}
	if quick {
		b.rounds, b.scale = 3, 4
	}
	directory, err := os.MkdirTemp("", "nexo-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	b.binary, b.directory = binary, directory
	if err := b.start(binary, directory); err != nil {
		b.stop()
		return err
	}
	defer b.stop()

	fmt.Println(hardware())
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "measuring %s\n", s.name)
		if err := s.run(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.print(os.Stdout)
	return nil
}

func choose(names []string) ([]section, error) {
	if len(names) == 0 {
		return sections, nil
	}
	var chosen []section
	for _, name := range names {
		found := false
		for _, s := range sections {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no section %q; there are set, get, queue, stream, replay, pubsub, isolation", name)
		}
	}
	return chosen, nil
}

// hardware describes the machine in one line.
func hardware() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(text))[:1], "")
	}
	return fmt.Sprintf("%d x %s, %s, load generator on the same machine, load average before the run %s\n",
		runtime.NumCPU(), model, runtime.Version(), load)
}
