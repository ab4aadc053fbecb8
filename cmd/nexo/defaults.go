package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
)

// defaultsFlags are what queues, streams, groups and retained messages get when the command that makes them says nothing. What
// is there already keeps what it was made with.
func defaultsFlags() []cli.Flag {
	env := func(name string) []string { return []string{variablePrefix + name} }
	q, s, g := queue.DefaultConfig(brokers.Always), stream.DefaultConfig(brokers.Always), stream.DefaultGroupConfig()
	span := func(milliseconds int64) time.Duration { return time.Duration(milliseconds) * time.Millisecond }
	return []cli.Flag{
		durationFlag("queue-lease", "QUEUE_LEASE", span(q.Lease), "LEASE of new queues: how long a worker has a job before it comes back"),
		&cli.Int64Flag{Name: "queue-max-attempts", EnvVars: env("QUEUE_MAX_ATTEMPTS"), Value: q.MaxAttempts,
			Usage: "MAXATTEMPTS of new queues: deliveries of a job before it is dead"},
		&cli.StringFlag{Name: "queue-backoff", EnvVars: env("QUEUE_BACKOFF"), Value: "exp 1s 5m",
			Usage: "BACKOFF of new queues: none, fixed DURATION, or exp BASE MAX"},
		durationFlag("queue-ttl", "QUEUE_TTL", span(q.TTL), "TTL of the jobs of new queues; 0 none"),
		durationFlag("queue-dlq-ttl", "QUEUE_DLQ_TTL", span(q.DeadTTL), "DLQTTL of new queues: how long dead jobs are kept; 0 for ever"),
		&cli.Int64Flag{Name: "queue-max-len", EnvVars: env("QUEUE_MAX_LEN"), Value: q.MaxLen,
			Usage: "MAXLEN of new queues: jobs that a queue holds; 0 is no limit"},
		durationFlag("queue-dedup-window", "QUEUE_DEDUP_WINDOW", span(q.DedupWindow), "DEDUPWINDOW of new queues"),
		durationFlag("stream-max-age", "STREAM_MAX_AGE", s.MaxAge, "MAXAGE of new streams; 0 keeps entries for ever"),
		&cli.StringFlag{Name: "stream-max-bytes", EnvVars: env("STREAM_MAX_BYTES"), Value: "1gb",
			Usage: "MAXBYTES of new streams; 0 is no limit"},
		&cli.Int64Flag{Name: "stream-max-len", EnvVars: env("STREAM_MAX_LEN"), Value: s.MaxLen,
			Usage: "MAXLEN of new streams: entries that a stream holds; 0 is no limit"},
		durationFlag("stream-dedup-window", "STREAM_DEDUP_WINDOW", s.DedupWindow, "DEDUPWINDOW of new streams"),
		durationFlag("group-ack-wait", "GROUP_ACK_WAIT", g.AckWait,
			"ACKWAIT of new groups: how long a consumer has an entry before it is delivered again; 0 never"),
		&cli.IntFlag{Name: "group-max-deliver", EnvVars: env("GROUP_MAX_DELIVER"), Value: g.MaxDeliver,
			Usage: "MAXDELIVER of new groups: deliveries of an entry before it is parked; 0 is no limit"},
		&cli.IntFlag{Name: "group-max-pending", EnvVars: env("GROUP_MAX_PENDING"), Value: g.MaxPending,
			Usage: "MAXPENDING of new groups: entries delivered and not acknowledged"},
		durationFlag("retained-default-ttl", "RETAINED_DEFAULT_TTL", 0,
			"expiry that NPUB and NWILL set for a retained message when none is given; 0 none"),
	}
}

// readDefaults checks them as the commands that make things do.
func (o *options) readDefaults(c *cli.Context) (err error) {
	milliseconds := func(name string) int64 { return c.Duration(name).Milliseconds() }
	q := queue.DefaultConfig(o.fsync)
	q.Lease, q.MaxAttempts, q.MaxLen = milliseconds("queue-lease"), c.Int64("queue-max-attempts"), c.Int64("queue-max-len")
	q.TTL, q.DeadTTL, q.DedupWindow = milliseconds("queue-ttl"), milliseconds("queue-dlq-ttl"), milliseconds("queue-dedup-window")
	if err := setBackoff(&q, c.String("queue-backoff")); err != nil {
		return fmt.Errorf("--queue-backoff: %w", err)
	}
	for _, name := range []string{
		"queue-ttl", "queue-dlq-ttl", "queue-dedup-window", "stream-max-age", "stream-dedup-window", "group-ack-wait", "retained-default-ttl",
	} {
		if d := c.Duration(name); d < 0 || d > 0 && d < time.Millisecond {
			return fmt.Errorf("--%s: %v is not 0, and not a millisecond or more", name, d)
		}
	}
	switch {
	case q.Lease < 1:
		return fmt.Errorf("--queue-lease: %v is less than a millisecond", c.Duration("queue-lease"))
	case q.MaxAttempts < 1 || q.MaxAttempts > queue.MaxAttempts:
		return fmt.Errorf("--queue-max-attempts: %d is not between 1 and %d", q.MaxAttempts, queue.MaxAttempts)
	case q.MaxLen < 0:
		return fmt.Errorf("--queue-max-len: %d is negative", q.MaxLen)
	}
	if err := q.Check(); err != nil {
		return fmt.Errorf("the defaults of queues: %w", err)
	}
	s := stream.DefaultConfig(o.fsync)
	s.MaxAge, s.MaxLen, s.DedupWindow = c.Duration("stream-max-age"), c.Int64("stream-max-len"), c.Duration("stream-dedup-window")
	if s.MaxBytes, err = commands.ParseBytes(c.String("stream-max-bytes")); err != nil {
		return fmt.Errorf("--stream-max-bytes: %w", err)
	}
	g := stream.GroupConfig{
		AckWait: c.Duration("group-ack-wait"), MaxDeliver: c.Int("group-max-deliver"), MaxPending: c.Int("group-max-pending"),
	}
	switch {
	case s.MaxLen < 0:
		return fmt.Errorf("--stream-max-len: %d is negative", s.MaxLen)
	case g.MaxDeliver < 0 || g.MaxDeliver > math.MaxInt32:
		return fmt.Errorf("--group-max-deliver: %d is not between 0 and %d", g.MaxDeliver, math.MaxInt32)
	case g.MaxPending < 1 || g.MaxPending > 1_000_000:
		return fmt.Errorf("--group-max-pending: %d is not between 1 and 1000000", g.MaxPending)
	}
	o.queueDefaults, o.streamDefaults, o.groupDefaults, o.retainedDefaultTTL = q, s, g, c.Duration("retained-default-ttl")
	return nil
}

// setBackoff reads the words of BACKOFF.
func setBackoff(q *queue.Config, text string) error {
	words := strings.Fields(strings.ToLower(text))
	q.BackoffBase, q.BackoffMax = 0, 0
	var kind string
	if len(words) > 0 {
		kind = words[0]
	}
	into := map[string][]*int64{"none": {}, "fixed": {&q.BackoffBase}, "exp": {&q.BackoffBase, &q.BackoffMax}}[kind]
	if into == nil || len(words) != 1+len(into) {
		return fmt.Errorf("%q is not none, fixed DURATION or exp BASE MAX", text)
	}
	for i, place := range into {
		var value duration
		if err := value.Set(words[i+1]); err != nil || value < 0 || value > 0 && value < duration(time.Millisecond) {
			return fmt.Errorf("%q is not a duration of milliseconds or more, such as 50ms, 2s, 1h or 7d", words[i+1])
		}
		*place = time.Duration(value).Milliseconds()
	}
	q.Backoff = map[string]queue.Backoff{"none": queue.BackoffNone, "fixed": queue.BackoffFixed, "exp": queue.BackoffExponential}[kind]
	return nil
}
