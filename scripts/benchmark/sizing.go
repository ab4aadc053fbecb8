package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pile is many of one kind of thing, and what one of them takes: what the server's resident memory and files grow by, and how long a start
// takes with them. Memory is read after MEMORY PURGE, before and after: what the garbage collector has not looked at yet is no part of a
// thing. redis-server is measured in the same way where it has such a thing.
type pile struct {
	part, name  string
	full, least int
	flags       []string
	durable     bool
	before      func(f *field, n int) error // what is there already; nil is nothing
	fill        func(f *field, n int) error
	redis       func(f *field, n int) error // nil: it has no such thing
}

const (
	smallPayload = 100
	startedBy    = 1000 // streams that groups are spread over
)

var smallBody = strings.Repeat("x", smallPayload)

var piles = []pile{
	{part: "keys", name: "a key of 16 B with a value of 64 B", full: 10_000_000, least: 500_000, fill: setKeys(), redis: setKeys()},
	{part: "keys", name: "the same with a time to live", full: 10_000_000, least: 500_000, fill: setKeys("EX", "86400"),
		redis: setKeys("EX", "86400")},
	{part: "keys", name: "a key in a store with a journal", full: 2_000_000, least: 200_000,
		flags: []string{"--store-durability", "interval"}, durable: true, fill: setKeys()},
	{part: "jobs", name: "a ready job of 100 B in memory", full: 2_000_000, least: 200_000, flags: []string{"--queue-memory", "8gb"},
		durable: true, fill: pushJobs(), redis: repeat("LPUSH", "jobs", smallBody)},
	{part: "jobs", name: "a ready job of 100 B past --queue-memory", full: 10_000_000, least: 500_000, flags: []string{"--queue-memory", "16mb"},
		durable: true, before: pushSome, fill: pushJobs()},
	{part: "jobs", name: "a delayed job of 100 B", full: 2_000_000, least: 200_000, durable: true, fill: pushJobs("DELAY", "1d")},
	{part: "jobs", name: "a job of 100 B in flight", full: 2_000_000, least: 200_000, durable: true, fill: leaseJobs},
	{part: "jobs", name: "a dead job of 100 B", full: 2_000_000, least: 200_000, durable: true, fill: killJobs},
	{part: "jobs", name: "a dedup key of 20 B after its job is gone", full: 2_000_000, least: 200_000, durable: true, fill: dedupKeys},
	{part: "queues", name: "an empty queue", full: 100_000, least: 25_000, durable: true,
		fill: numbered(func(i string) []string { return []string{"QCREATE", "queue:" + i} })},
	{part: "streams", name: "a stream with one entry of 100 B", full: 100_000, least: 25_000, durable: true,
		fill:  numbered(func(i string) []string { return []string{"XAPPEND", "stream:" + i, smallBody} }),
		redis: numbered(func(i string) []string { return []string{"XADD", "stream:" + i, "*", "data", smallBody} })},
	{part: "streams", name: "an entry of 100 B", full: 10_000_000, least: 1_000_000, durable: true,
		fill: appendEntries, redis: repeat("XADD", "stream", "*", "data", smallBody)},
	{part: "streams", name: "a group", full: 100_000, least: 25_000, durable: true, before: appendSome,
		fill: numbered(func(i string) []string { return []string{"XGCREATE", streamOf(i), "group:" + i} })},
	{part: "streams", name: "an entry that is pending in a group", full: 2_000_000, least: 200_000, durable: true, before: appendEntries,
		fill: consumeEntries},
	{part: "topics", name: "a retained message of 64 B", full: 1_000_000, least: 100_000, durable: true,
		fill: numbered(func(i string) []string { return []string{"NPUB", "plant/" + i + "/state", smallBody[:64], "RETAIN"} })},
	{part: "subscriptions", name: "a subscription to a channel", full: 1_000_000, least: 100_000, fill: subscribeTo("SUBSCRIBE", "channel:"),
		redis: subscribeTo("SUBSCRIBE", "channel:")},
	{part: "subscriptions", name: "a subscription to a filter with a wildcard", full: 1_000_000, least: 100_000,
		flags: []string{"--maxmemory-clients", "8gb"}, fill: subscribeTo("PSUBSCRIBE", "site/+/"), redis: subscribeTo("PSUBSCRIBE", "site/*/")},
	{part: "connections", name: "a connection that has sent a PING", full: 10_000, least: 2_000, flags: []string{"--maxclients", "100000"},
		fill: connectIdle, redis: connectIdle},
}

// sizing measures all piles.
func (b *bench) sizing() error {
	if b.part != "" && !slices.ContainsFunc(piles, func(p pile) bool { return p.part == b.part }) {
		return fmt.Errorf("--part %s: there are %s", b.part, sizingPartNames())
	}
	for _, p := range piles {
		if b.part != "" && b.part != p.part {
			continue
		}
		if err := b.sizePile(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func sizingPartNames() string {
	var names []string
	for _, p := range piles {
		if !slices.Contains(names, p.part) {
			names = append(names, p.part)
		}
	}
	return strings.Join(names, ", ")
}

func (b *bench) sizePile(p pile) error {
	n := b.sized(p.full, p.least) / 1000 * 1000
	rows := []scaleRow{{work: p.name + ": memory", format: plainBytes}}
	if p.durable {
		rows = append(rows, scaleRow{work: "- on disk", format: plainBytes},
			scaleRow{work: fmt.Sprintf("- start with %s of them, nothing cached", thousands(n)), format: seconds})
	}
	measure := func(fill func(*field, int) error, durable bool, flags []string) func(contender) ([]float64, error) {
		if fill == nil {
			return nil
		}
		return func(c contender) ([]float64, error) {
			f, err := b.open(c, flags...)
			if err != nil {
				return nil, err
			}
			defer f.close()
			values, err := f.size(p, n, fill, durable)
			for err == nil && len(values) < len(rows) {
				values = append(values, unmeasured)
			}
			return values, err
		}
	}
	var redisFlags []string
	if p.part == "connections" {
		redisFlags = p.flags
	}
	return b.contest(rows, measure(p.fill, p.durable, p.flags), measure(p.redis, false, redisFlags))
}

// size returns the bytes of one in memory and, when they are durable, on disk, and the time of a start with all of them.
func (f *field) size(p pile, n int, fill func(*field, int) error, durable bool) ([]float64, error) {
	if p.before != nil && !f.c.redis() {
		if err := p.before(f, n); err != nil {
			return nil, err
		}
	}
	look := func() (resident, disk float64, err error) {
		if err := f.settle(); err != nil { // what is written behind the replies is on the disk
			return 0, 0, err
		}
		if err := f.send("MEMORY", "PURGE"); err != nil {
			return 0, 0, err
		}
		bytes, err := f.disk()
		if err != nil {
			return 0, 0, err
		}
		resident, err = f.settledMemory(time.Second)
		return resident, float64(bytes), err
	}
	memoryBefore, diskBefore, err := look()
	if err != nil {
		return nil, err
	}
	if err := fill(f, n); err != nil {
		return nil, err
	}
	memory, disk, err := look()
	if err != nil || !durable {
		return []float64{(memory - memoryBefore) / float64(n)}, err
	}
	begun := time.Now()
	if err := f.crash(); err != nil {
		return nil, err
	}
	took, err := f.started(begun)
	return []float64{(memory - memoryBefore) / float64(n), (disk - diskBefore) / float64(n), took}, err
}

// numbered sends a command for each number.
func numbered(words func(i string) []string) func(*field, int) error {
	return func(f *field, n int) error {
		return f.pour(jobClients, n, 100, func(buf []byte, i int) []byte { return encode(buf, words(strconv.Itoa(i))...) })
	}
}

func repeat(words ...string) func(*field, int) error {
	return func(f *field, n int) error { return f.pour(jobClients, n, 100, repeated(words...)) }
}

func setKeys(options ...string) func(*field, int) error {
	return func(f *field, n int) error {
		words := append([]string{"SET", "", smallBody[:64]}, options...)
		return f.pour(1, n, 100, func(buf []byte, i int) []byte {
			words[1] = key(nil, i)
			return encode(buf, words...)
		})
	}
}

func pushJobs(options ...string) func(*field, int) error {
	return func(f *field, n int) error {
		return f.pour(jobClients, n/jobsAtOnce, 1, multiPush("jobs", smallPayload, options...))
	}
}

// pushSome fills the memory for ready jobs, so that those that follow are past it.
func pushSome(f *field, _ int) error { return pushJobs()(f, 400_000) }

// popped takes all ready jobs, 100 at a time, and gives their handles to a client.
func popped(f *field, n int, with func(c *client, handles []string) error) error {
	if err := pushJobs()(f, n); err != nil {
		return err
	}
	clients, err := dialAll(f.server, jobClients)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	return each(clients, func(_ int, c *client) error {
		for {
			reply, err := c.do("QPOP", "jobs", "COUNT", "100", "LEASE", "1d")
			if err != nil || reply == nil {
				return err
			}
			var handles []string
			for _, job := range reply.([]any) {
				handles = append(handles, job.([]any)[0].(string))
			}
			if err := with(c, handles); err != nil {
				return err
			}
		}
	})
}

func leaseJobs(f *field, n int) error {
	if err := popped(f, n, func(*client, []string) error { return nil }); err != nil {
		return err
	}
	return f.wantLength(n, "QLEN", "jobs", "INFLIGHT")
}

func killJobs(f *field, n int) error {
	if err := popped(f, n, func(c *client, handles []string) error {
		_, err := c.do(append(append([]string{"QNACK", "jobs"}, handles...), "DEAD", "REASON", "it was bad")...)
		return err
	}); err != nil {
		return err
	}
	return f.wantLength(n, "QLEN", "jobs", "DEAD")
}

func dedupKeys(f *field, n int) error {
	if err := f.send("QCREATE", "jobs", "DEDUPWINDOW", "1d"); err != nil {
		return err
	}
	err := numbered(func(i string) []string { return []string{"QPUSH", "jobs", "x", "DEDUP", fmt.Sprintf("%020s", i)} })(f, n)
	if err != nil {
		return err
	}
	return f.wantLength(n, "QPURGE", "jobs")
}

func streamOf(i string) string {
	n, _ := strconv.Atoi(i) // it was made of a number
	return "stream:" + strconv.Itoa(n%startedBy)
}

func appendSome(f *field, _ int) error {
	return numbered(func(i string) []string { return []string{"XAPPEND", streamOf(i), "x"} })(f, startedBy)
}

func appendEntries(f *field, n int) error {
	words := []string{"XMAPPEND", "stream", strconv.Itoa(jobsAtOnce)}
	for range jobsAtOnce {
		words = append(words, smallBody)
	}
	return f.pour(jobClients, n/jobsAtOnce, 1, repeated(words...))
}

func consumeEntries(f *field, n int) error {
	if err := f.send("XGCREATE", "stream", "workers", "MAXPENDING", "1000000", "ACKWAIT", "1d"); err != nil {
		return err
	}
	return f.pour(1, n/jobsAtOnce, 1, repeated("XCONSUME", "stream", "workers", "me", "COUNT", strconv.Itoa(jobsAtOnce)))
}

// subscribeTo makes subscriptions of many clients, which stay.
func subscribeTo(word, prefix string) func(*field, int) error {
	return func(f *field, n int) error {
		name := func(i int) string { return prefix + strconv.Itoa(i) }
		clients, err := f.subscribed(n, filtersOfAClient, filterWords{subscribe: word, filter: name})
		f.kept = append(f.kept, clients...)
		return err
	}
}

func connectIdle(f *field, n int) error {
	if err := wantFiles(n + 200); err != nil {
		return err
	}
	for range n {
		c, err := dial(f.server)
		if err != nil {
			return err
		}
		f.kept = append(f.kept, c)
		if _, err := c.do("PING"); err != nil {
			return err
		}
	}
	return nil
}
