// Command benchmark measures a Nexo server beside a Redis server on this machine and prints the ratios, a table for each
// group of measurements with the bar that the ratio is held to. scripts/bench builds and starts it.
//
// Absolute figures depend on the machine and move from run to run; the ratio of two servers that were measured
// alternately, round by round, moves far less. So every comparison is a number of rounds, in each of which every server
// is measured once, every second round in the opposite order, and the ratio reported is the median of the rounds' ratios, with
// the least and the greatest beside it. A second binary of nexo (--other) takes part in the same rounds. Every run is bounded
// in the number of its commands, and every wait in time.
//
// Simple commands are measured with redis-benchmark, so that the load generator is not ours. Where the answer must be
// counted (deliveries, jobs) or timed beside other traffic, the load is generated here over plain connections. What times
// single commands beside a flood is a process of its own (see probe.go), so that it waits for the server and not for the
// goroutines that make the flood. The processor time of a command is what /proc tells of the server before and after a run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// group is one part of the benchmark: it adds rows to the report.
type group struct {
	name, title string
	run         func(*bench) error
}

var groups = []group{
	{"set", "SET, 50 connections", (*bench).set},
	{"get", "GET, 50 connections", (*bench).get},
	{"connections", "SET and GET, pipeline 1, few and many connections", (*bench).connections},
	{"threads", "SET and GET, redis-benchmark --threads 2", (*bench).threads},
	{"queue", "QPUSH with an fsync before each reply, against LPUSH with appendfsync always", (*bench).queue},
	{"stream", "XAPPEND with an fsync before each reply, against XADD with appendfsync always", (*bench).stream},
	{"replay", "cold replay: bytes read from the disk for a byte replayed", (*bench).replay},
	{"pubsub", "fan-out: deliveries per second", (*bench).pubsub},
	{"flood", "publish under a flood of durable pushes, against a flood of PING", (*bench).flood},
	{"beside-replay", "latency beside a full-speed replay of a stream", (*bench).besideReplay},
	{"memory", "resident memory of an idle connection", (*bench).memory},
	{"scale", "what piles up: memory, start, disk, and who waits for it", (*bench).scale},
	{"sizing", "what one of each thing takes: the table of docs/sizing.md", (*bench).sizing},
}

// sets are names for several groups.
var sets = map[string][]string{"isolation": {"flood", "beside-replay"}}

// options are what the command line says.
type options struct {
	binary string // of nexo
	other  string // a second binary of nexo; "" is none
	rounds int
	divide int     // the counts of commands, samples and connections are divided by it
	scale  float64 // of the sizes of the group scale
	part   string  // of the groups scale and sizing; "" is all
	page   string  // that the tables go into; "" is none
}

// bench is one run: the servers and the report.
type bench struct {
	options
	nexo      *server
	otherNexo *server // nil without --other
	redis     *server // keeps nothing on disk
	redisAOF  *server // an append-only file, fsync always
	directory string
	opened    int // servers of the group scale
	report    *report
	about     string // the machine and the sizes
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == probeWord {
		if err := probeProcess(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "probe:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	quick := flag.Bool("quick", false, "3 rounds, and a fourth of the commands")
	flag.StringVar(&o.binary, "nexo", "", "path of the nexo binary")
	flag.StringVar(&o.other, "other", "", "path of a second nexo binary that is measured in the same rounds")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each comparison")
	flag.IntVar(&o.divide, "divide", 1, "divide the counts of commands by this")
	flag.StringVar(&o.part, "part", "", "only this part of the group scale ("+scalePartNames()+") or sizing ("+sizingPartNames()+")")
	flag.Float64Var(&o.scale, "scale", 0.1, "sizes of the groups scale and sizing: 1 is 10,000,000 jobs or keys")
	flag.StringVar(&o.page, "page", "", "put the tables into this page, such as docs/sizing.md, between the marks of their groups")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: scripts/bench [--quick] [--rounds N] [--divide N] [--scale X] [--part NAME] [--page FILE] [--other PATH] "+
			"[group ...]\ngroups:")
		for _, g := range groups {
			fmt.Fprintf(os.Stderr, "  %-14s %s\n", g.name, g.title)
		}
		fmt.Fprintln(os.Stderr, "  isolation      flood and beside-replay")
	}
	flag.Parse()
	if *quick {
		o.rounds, o.divide, o.scale = min(o.rounds, 3), max(o.divide, 4), o.scale/4
	}
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options, names []string) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if o.rounds < 1 || o.divide < 1 {
		return errors.New("--rounds and --divide must be at least 1")
	}
	if !(o.scale > 0 && o.scale <= 10) {
		return errors.New("--scale must be greater than 0 and at most 10")
	}
	directory, err := os.MkdirTemp("", "nexo-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	b := &bench{options: o, directory: directory, report: &report{other: o.other != ""}}
	defer b.stop()
	if err := b.start(); err != nil {
		return err
	}

	b.about = fmt.Sprintf("%s\nrounds %d, counts divided by %d, scale %g\n", hardware(), o.rounds, o.divide, o.scale)
	fmt.Print(b.about)
	for _, g := range chosen {
		fmt.Fprintf(os.Stderr, "measuring %s\n", g.name)
		b.report.begin(g)
		began := time.Now()
		if err := g.run(b); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		b.report.print(os.Stdout)
		if o.page != "" {
			if err := b.writeInto(o.page); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "%s took %.0f s\n", g.name, time.Since(began).Seconds())
	}
	return nil
}

// writeInto puts the table of the group into a page.
func (b *bench) writeInto(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := insert(string(page), b.report.group.name, "\n"+strings.ReplaceAll(b.about, "\n", "\n\n")+b.report.table()+"\n")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// choose finds the groups by their names, in the order of the names; no name chooses all of them.
func choose(names []string) ([]group, error) {
	if len(names) == 0 {
		return groups, nil
	}
	var chosen []group
	for _, name := range names {
		members, found := sets[name]
		if !found {
			members = []string{name}
		}
		for _, member := range members {
			g, err := groupNamed(member)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, g)
		}
	}
	return chosen, nil
}

func groupNamed(name string) (group, error) {
	known := make([]string, 0, len(groups)+1)
	for _, g := range groups {
		if g.name == name {
			return g, nil
		}
		known = append(known, g.name)
	}
	if strings.HasPrefix(name, "-") {
		return group{}, fmt.Errorf("%s comes after the name of a group; flags come first", name)
	}
	return group{}, fmt.Errorf("no group %q; there are %s and isolation", name, strings.Join(known, ", "))
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
	return fmt.Sprintf("%d x %s, %s, load generator on the same machine, load average before the run %s",
		runtime.NumCPU(), model, runtime.Version(), load)
}
