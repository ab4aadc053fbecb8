package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	jobPayload = 1024
	jobsAtOnce = 500 // of one QMPUSH
	jobClients = 4
)

// multiPush returns what appends the i-th command of jobsAtOnce jobs.
func multiPush(queue string, payload int, options ...string) func([]byte, int) []byte {
	words := []string{"QMPUSH", queue, strconv.Itoa(jobsAtOnce)}
	for range jobsAtOnce {
		words = append(words, strings.Repeat("x", payload))
	}
	return repeated(append(words, options...)...)
}

// repeated appends the same command each time.
func repeated(words ...string) func([]byte, int) []byte {
	whole := encode(nil, words...)
	return func(buf []byte, _ int) []byte { return append(buf, whole...) }
}

// started is the time from the start of the process to its first PONG.
func (f *field) started(begun time.Time) (float64, error) {
	err := f.awaitReady()
	return time.Since(begun).Seconds(), err
}

// wantLength checks what a command answers.
func (s *server) wantLength(want int, words ...string) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.do(words...)
	if err == nil && reply != int64(want) {
		err = fmt.Errorf("%s answered %v, not %d", strings.Join(words, " "), reply, want)
	}
	return err
}

// scaleJobs is a backlog: its memory, its disk, and a start after kill -9 with nothing in the page cache.
func (b *bench) scaleJobs() error {
	const full = 10_000_000
	n := b.sized(full, 200_000) / jobsAtOnce * jobsAtOnce
	// Whatever the number of jobs, a start reads a log that may have 11/4 of what is in memory (--queue-memory) before it is compacted, and
	// the disk has it.
	restart := 2 + 3*float64(n)/full
	disk := 1.1 + 3*256*mebibyte/float64(n*jobPayload)
	rows := []scaleRow{
		{work: thousands(n) + " ready jobs of 1 KiB: RSS", format: mebibytes, bar: below(700 * mebibyte).named("< 700 MiB")},
		{work: "- disk for a byte of payload", format: times, bar: atMost(disk).named(fmt.Sprintf("<= %.2f", disk))},
		{work: "- start after kill -9, nothing cached", format: seconds, bar: below(restart).named(fmt.Sprintf("< %.1f s", restart))},
		{work: "- RSS after the start", format: mebibytes, bar: below(700 * mebibyte).named("< 700 MiB")},
	}
	measure := func(push func([]byte, int) []byte, length []string, flags ...string) func(contender) ([]float64, error) {
		return func(c contender) (values []float64, err error) {
			f, err := b.open(c, flags...)
			if err != nil {
				return nil, err
			}
			defer f.close()
			if err := f.pour(jobClients, n/jobsAtOnce, 1, push); err != nil {
				return nil, err
			}
			return f.pileOf(n, jobPayload, length)
		}
	}
	list := []string{"LPUSH", "jobs"}
	for range jobsAtOnce {
		list = append(list, strings.Repeat("x", jobPayload))
	}
	return b.contest(rows, measure(multiPush("jobs", jobPayload), []string{"QLEN", "jobs"}),
		unlessLarge(n*jobPayload, measure(repeated(list...), []string{"LLEN", "jobs"}, "--appendonly", "yes", "--appendfsync", "always",
			"--auto-aof-rewrite-percentage", "0")))
}

// pileOf measures a server with n jobs: memory, disk for a byte of payload, a start after a crash, memory after it.
func (f *field) pileOf(n, payload int, length []string) (values []float64, err error) {
	resident, err := f.settledMemory(2 * time.Second)
	if err != nil {
		return nil, err
	}
	disk, err := f.disk()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := f.crash(); err != nil {
		return nil, err
	}
	took, err := f.started(begun)
	if err != nil {
		return nil, err
	}
	if err := f.wantLength(n, length...); err != nil {
		return nil, err
	}
	after, err := f.settledMemory(2 * time.Second)
	return []float64{resident, float64(disk) / float64(n) / float64(payload), took, after}, err
}

// scaleLoading starts on a log that is in no snapshot yet, and asks at every door meanwhile.
func (b *bench) scaleLoading() error {
	n := b.sized(1_000_000, 600_000) / jobsAtOnce * jobsAtOnce
	rows := []scaleRow{
		{work: fmt.Sprintf("start on a log of %d MiB: port open after", n*jobPayload>>20), format: seconds, bar: below(1).named("< 1 s")},
		{work: "- -LOADING with a percentage, /livez 200, /readyz 503, progress in the log: seen of 4", format: times,
			bar: atLeast(4).named("4")},
		{work: "- served after", format: seconds},
	}
	return b.contest(rows, func(c contender) ([]float64, error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		f, err := b.open(c, "--compact-size", "64gb", "--queue-memory", "4gb", "--fsync", "interval", "--dashboard-port", strconv.Itoa(port))
		if err != nil {
			return nil, err
		}
		defer f.close()
		if err := f.pour(jobClients, n/jobsAtOnce, 1, multiPush("jobs", jobPayload)); err != nil {
			return nil, err
		}
		if err := f.settle(); err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := f.crash(); err != nil {
			return nil, err
		}
		open, seen, err := f.askWhileLoading(begun, port)
		if err != nil {
			return nil, err
		}
		served, err := f.started(begun)
		return []float64{open, seen, served}, err
	}, nil)
}

// askWhileLoading knocks until the data is there, and counts what it has seen by then.
func (f *field) askWhileLoading(begun time.Time, dashboard int) (open, seen float64, err error) {
	var loading, live, notReady bool
	web := &http.Client{Timeout: time.Second}
	open = unmeasured
	for deadline := time.Now().Add(5 * limit); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		c, err := dial(f.server)
		if err != nil {
			continue
		}
		if open != open {
			open = time.Since(begun).Seconds()
		}
		_, err = c.do("GET", "k")
		c.Close()
		if err == nil {
			break
		}
		if strings.Contains(err.Error(), "-LOADING") && strings.Contains(err.Error(), "%") {
			loading = true
			status := func(path string) int {
				response, err := web.Get(fmt.Sprintf("http://127.0.0.1:%d%s", dashboard, path))
				if err != nil {
					return 0
				}
				defer response.Body.Close()
				io.Copy(io.Discard, response.Body)
				return response.StatusCode
			}
			live = live || status("/livez") == http.StatusOK
			notReady = notReady || status("/readyz") == http.StatusServiceUnavailable
		}
	}
	if open != open {
		return 0, 0, errors.New("the port did not open")
	}
	text, err := os.ReadFile(f.log)
	for _, is := range []bool{loading, live, notReady, strings.Contains(string(text), "percent=")} {
		if is {
			seen++
		}
	}
	return open, seen, err
}

// freePort asks the kernel for a port that nobody listens on.
func freePort() (int, error) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return probe.Addr().(*net.TCPAddr).Port, probe.Close()
}

// scalePriorities starts with jobs of every priority, pushed in turn, that do not fit into memory.
func (b *bench) scalePriorities() error {
	const n, priorities, payload = 60_000, 256, 8 << 10
	rows := []scaleRow{{work: fmt.Sprintf("%s jobs of 8 KiB at %d priorities: start after kill -9", thousands(n), priorities), format: seconds,
		bar: below(2).named("< 2 s")}}
	return b.contest(rows, func(c contender) ([]float64, error) {
		f, err := b.open(c)
		if err != nil {
			return nil, err
		}
		defer f.close()
		body := strings.Repeat("x", payload)
		if err := f.pour(jobClients, n, 64, func(buf []byte, i int) []byte {
			return encode(buf, "QPUSH", "jobs", body, "PRIORITY", strconv.Itoa(i%priorities))
		}); err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := f.crash(); err != nil {
			return nil, err
		}
		took, err := f.started(begun)
		if err != nil {
			return nil, err
		}
		return []float64{took}, f.wantLength(n, "QLEN", "jobs")
	}, nil)
}

// scaleDelayed has half of the jobs wait for an hour.
func (b *bench) scaleDelayed() error {
	n := b.sized(10_000_000, 200_000) / (2 * jobsAtOnce) * 2 * jobsAtOnce
	// 64 B for each job that is not in the budget of the ready ones, which is 256 MiB, and what a heap grows by between collections
	most := float64(400*mebibyte + 64*n)
	rows := []scaleRow{{work: thousands(n) + " jobs of 1 KiB, half of them delayed: RSS", format: mebibytes,
		bar: below(most).named("< " + mebibytes(most))}}
	half := n / 2 / jobsAtOnce
	nexo := func(c contender) ([]float64, error) {
		f, err := b.open(c)
		if err != nil {
			return nil, err
		}
		defer f.close()
		if err := f.pour(jobClients, half, 1, multiPush("jobs", jobPayload)); err != nil {
			return nil, err
		}
		if err := f.pour(jobClients, half, 1, multiPush("jobs", jobPayload, "DELAY", "1h")); err != nil {
			return nil, err
		}
		if err := f.wantLength(n/2, "QLEN", "jobs", "DELAYED"); err != nil {
			return nil, err
		}
		resident, err := f.settledMemory(2 * time.Second)
		return []float64{resident}, err
	}
	redis := func(c contender) ([]float64, error) {
		f, err := b.open(c)
		if err != nil {
			return nil, err
		}
		defer f.close()
		payload := strings.Repeat("x", jobPayload)
		if err := f.pour(jobClients, n/2, 100, repeated("LPUSH", "jobs", payload)); err != nil {
			return nil, err
		}
		if err := f.pour(jobClients, n/2, 100, func(buf []byte, i int) []byte {
			digits := strconv.Itoa(i)
			return encode(buf, "ZADD", "delayed", digits, digits+payload[len(digits):])
		}); err != nil {
			return nil, err
		}
		if err := f.wantLength(n/2, "ZCARD", "delayed"); err != nil {
			return nil, err
		}
		resident, err := f.settledMemory(2 * time.Second)
		return []float64{resident}, err
	}
	return b.contest(rows, nexo, unlessLarge(n*jobPayload, redis))
}

// scaleQueues has many queues of few jobs.
func (b *bench) scaleQueues() error {
	const jobs, payload, full = 10, 100, 100_000
	n := b.sized(full, full/4)
	most := (30 + 270*float64(n)/full) * mebibyte
	rows := []scaleRow{{work: fmt.Sprintf("%s queues of %d jobs of %d B: RSS after MEMORY PURGE", thousands(n), jobs, payload),
		format: mebibytes, bar: below(most).named("< " + mebibytes(most))}}
	measure := func(command ...string) func(contender) ([]float64, error) {
		return func(c contender) ([]float64, error) {
			f, err := b.open(c)
			if err != nil {
				return nil, err
			}
			defer f.close()
			body := strings.Repeat("x", payload)
			if err := f.pour(jobClients, n*jobs, 100, func(buf []byte, i int) []byte {
				return encode(buf, command[0], "queue:"+strconv.Itoa(i%n), body)
			}); err != nil {
				return nil, err
			}
			if err := f.purge(); err != nil {
				return nil, err
			}
			resident, err := f.settledMemory(2 * time.Second)
			return []float64{resident}, err
		}
	}
	return b.contest(rows, measure("QPUSH"), measure("LPUSH"))
}
