package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	probeWord     = "probe" // the first argument of this program when it is to be a probe
	probeUntilEnd = "watch" // in place of a number of samples: until the input ends
	probeInterval = time.Millisecond
	probeSamples  = 2000
	// A server that answers late is not asked as often: the run ends after this time, when there are samples enough.
	probeTime       = 3 * time.Second
	probeSamplesMin = 300
)

// probes are the commands that a probe times, one after the other.
var probes = map[string]func(*server) (once func() error, end func(), err error){
	"get":     timedCommand("GET", "isolation"),
	"append":  timedCommand("XAPPEND", "probe", payload128),
	"push":    timedCommand("QPUSH", "probe", payload128),
	"publish": timedPublish,
	"ping":    timedCommand("PING"),
}

// probe has a process of its own time a command, and returns the p99 in milliseconds.
func (b *bench) probe(s *server, what string) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command := exec.Command(self, probeWord, what, strconv.Itoa(s.port), strconv.Itoa(max(probeSamples/b.divide, 100)))
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("the probe of %s: %w", what, err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(output)), 64)
}

// probeProcess is the other side: it prints the p99 in milliseconds.
func probeProcess(arguments []string) error {
	if len(arguments) < 3 || probes[arguments[0]] == nil {
		return fmt.Errorf("usage: %s get|append|push|publish|ping port samples|%s pid", probeWord, probeUntilEnd)
	}
	port, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	once, end, err := probes[arguments[0]](&server{name: "server", port: port})
	if err != nil {
		return err
	}
	defer end()
	if arguments[2] == probeUntilEnd && len(arguments) == 4 {
		pid, err := strconv.Atoi(arguments[3])
		if err != nil {
			return err
		}
		return watchProcess(once, pid)
	}
	samples, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	var latencies []time.Duration
	for start := time.Now(); len(latencies) < samples; time.Sleep(probeInterval) {
		if len(latencies) >= min(probeSamplesMin, samples) && time.Since(start) > probeTime {
			break
		}
		began := time.Now()
		if err := once(); err != nil {
			return err
		}
		latencies = append(latencies, time.Since(began))
	}
	fmt.Println(percentile(latencies, 99))
	return nil
}

// waits are the latencies that a watch has seen, in milliseconds.
type waits struct {
	p99, most float64
	// busy is the p99 of the processor time that the server used meanwhile. On a machine that others use too it tells of a long wait whether
	// the server was at work, or waited for a processor itself.
	busy float64
}

// watch has a process of its own time a command each millisecond while work is done.
func watch(s *server, what string, work func() error) (seen waits, err error) {
	self, err := os.Executable()
	if err != nil {
		return seen, err
	}
	command := exec.Command(self, probeWord, what, strconv.Itoa(s.port), probeUntilEnd, strconv.Itoa(s.command.Process.Pid))
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		return seen, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return seen, err
	}
	if err := command.Start(); err != nil {
		return seen, err
	}
	lines := bufio.NewReader(output)
	_, err = lines.ReadString('\n') // it has begun
	if err == nil {
		err = work()
	}
	input.Close()
	if text, problem := lines.ReadString('\n'); problem == nil {
		_, problem = fmt.Sscan(text, &seen.p99, &seen.most, &seen.busy)
		err = errors.Join(err, problem)
	}
	return seen, errors.Join(err, command.Wait())
}

// stall gathers the processor time that the server used while commands waited.
type stall struct {
	busy       []time.Duration
	began, end time.Time // of the last wait that was late
	used       time.Duration
}

// add takes in a command that was due at a time and whose reply has come. When it was due during a wait before it, its part of what the
// server used then is its own too.
func (s *stall) add(due time.Time, used time.Duration) {
	now := time.Now()
	if due.Before(s.end) {
		shared := float64(s.end.Sub(due)) / float64(s.end.Sub(s.began))
		s.busy = append(s.busy, used+time.Duration(shared*float64(s.used)))
		return
	}
	s.busy = append(s.busy, used)
	s.began, s.end, s.used = due, now, used
}

// watchProcess is the other side. When a reply is late, the commands that were due meanwhile are sent at once and timed from
// when they were due: clients that ask at a steady pace would all have waited, and not the one that happened to ask first.
func watchProcess(once func() error, server int) error {
	var ended atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	fmt.Println("begun")
	var latencies []time.Duration
	var late stall
	for due := time.Now(); !ended.Load(); {
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			due = time.Now() // having slept too long is not the server's doing
		}
		before, err := usedBy(server)
		if err != nil {
			return err
		}
		if err := once(); err != nil {
			return err
		}
		latencies = append(latencies, time.Since(due))
		after, err := usedBy(server)
		if err != nil {
			return err
		}
		late.add(due, after-before)
		due = due.Add(probeInterval)
	}
	fmt.Println(percentile(latencies, 99), percentile(latencies, 100), percentile(late.busy, 99))
	return nil
}

// timedCommand sends a command and waits for the reply.
func timedCommand(words ...string) func(*server) (func() error, func(), error) {
	return func(s *server) (func() error, func(), error) {
		c, err := dial(s)
		if err != nil {
			return nil, nil, err
		}
		text := encode(nil, words...)
		return func() error {
			if _, err := c.Write(text); err != nil {
				return err
			}
			return c.skip(1)
		}, func() { c.Close() }, nil
	}
}

// timedPublish publishes and waits until the one subscriber has the message; the publisher's reply has mostly come by then.
func timedPublish(s *server) (func() error, func(), error) {
	clients, err := dialAll(s, 2)
	if err != nil {
		return nil, nil, err
	}
	publisher, subscriber := clients[0], clients[1]
	end := func() { closeAll(clients) }
	if _, err := subscriber.do("SUBSCRIBE", "bench/latency"); err != nil {
		end()
		return nil, nil, err
	}
	message := encode(nil, "NPUB", "bench/latency", "x")
	return func() error {
		if _, err := publisher.Write(message); err != nil {
			return err
		}
		if err := subscriber.skip(1); err != nil {
			return err
		}
		return publisher.skip(1)
	}, end, nil
}

// percentile returns the value, in milliseconds, that p percent of the latencies do not exceed.
func percentile(latencies []time.Duration, p int) float64 {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	index := min(len(latencies)*p/100, len(latencies)-1)
	return float64(latencies[index]) / float64(time.Millisecond)
}
