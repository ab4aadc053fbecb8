package main

import (
	"fmt"
	"strconv"

	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands/streams"
	"github.com/nexobroker/nexo/ui"
)

const (
	namesPage = 1000
	// pageBytesMax ends a page of jobs or entries early.
	pageBytesMax = 16 << 20
)

func (s *source) Queues() (list []ui.Queue) {
	for cursor := uint64(0); ; {
		names, next := s.brokers.queue.List(cursor, namesPage, func(string) bool { return true })
		for _, name := range names {
			if info, err := s.brokers.queue.Info([]byte(name)); err == nil { // else dropped meanwhile
				list = append(list, queueOf(name, &info))
			}
		}
		if cursor = next; cursor == 0 {
			return list
		}
	}
}

func queueOf(name string, info *queue.Info) ui.Queue {
	paused := "none"
	switch {
	case info.PausedIn && info.PausedOut:
		paused = "all"
	case info.PausedIn:
		paused = "in"
	case info.PausedOut:
		paused = "out"
	}
	c := &info.Counters
	return ui.Queue{
		Name: name, Ready: info.Ready, Delayed: info.Delayed, Inflight: info.Inflight, Dead: info.Dead, Bytes: info.Bytes, Waiters: info.Waiters,
		OldestMS: info.OldestReadyMS, Paused: paused,
		Counts: ui.QueueCounts{
			Pushed: c.Pushed, Popped: c.Delivered, Acked: c.Acked, Failed: c.Nacked + c.LeaseExpired, Released: c.Released,
			LeaseExpired: c.LeaseExpired, Dead: c.Dead, Replayed: c.Replayed, Deleted: c.Deleted, Expired: c.Expired, Dropped: c.Dropped,
		},
	}
}

func (s *source) Queue(name string) (ui.QueueDetail, error) {
	info, err := s.brokers.queue.Info([]byte(name))
	if err != nil {
		return ui.QueueDetail{}, err
	}
	c := info.Counters
	detail := ui.QueueDetail{Queue: queueOf(name, &info), Config: [][2]string{}, Priorities: [][2]int{}, Counters: map[string]uint64{
		"pushed": c.Pushed, "delivered": c.Delivered, "acked": c.Acked, "failed": c.Nacked, "released": c.Released,
		"leaseExpired": c.LeaseExpired,
		"dead":         c.Dead, "replayed": c.Replayed, "deduped": c.Deduped, "deleted": c.Deleted, "expired": c.Expired, "dropped": c.Dropped,
		"movedIn": c.MovedIn, "movedOut": c.MovedOut,
	}}
	for _, field := range info.Config.Fields() {
		detail.Config = append(detail.Config, [2]string{field.Name, field.Value})
	}
	for _, p := range info.Priorities {
		detail.Priorities = append(detail.Priorities, [2]int{int(p.Priority), p.Count})
	}
	return detail, nil
}

var jobStates = map[string]queue.States{"ready": queue.Ready, "delayed": queue.Delayed, "inflight": queue.Inflight, "dead": queue.Dead}

func (s *source) Jobs(name, state string, offset, count int) (rows []ui.Job, total int, err error) {
	wanted, err := jobState(state)
	if err != nil {
		return nil, 0, err
	}
	views, total, _, err := s.brokers.queue.Peek([]byte(name), wanted, offset, count, queue.Match{}, pageBytesMax)
	return jobsOf(views), total, err
}

func (s *source) SearchJobs(name, state, cursor string, count int, match ui.JobMatch) (ui.JobSearch, error) {
	wanted, err := jobState(state)
	if err != nil {
		return ui.JobSearch{}, err
	}
	from, ok := queue.ParseCursor(cursor, wanted)
	if !ok {
		return ui.JobSearch{}, badCursor(cursor)
	}
	page, err := s.brokers.queue.Search([]byte(name), wanted, from, count, queue.Match(match), pageBytesMax)
	found := ui.JobSearch{Rows: jobsOf(page.Jobs), Total: page.Total, Scanned: page.Scanned}
	if page.More {
		found.Next = page.Next.String()
	}
	return found, err
}

func jobState(state string) (queue.States, error) {
	wanted, known := jobStates[state]
	if !known {
		return 0, fmt.Errorf("%q is not a state of jobs", state)
	}
	return wanted, nil
}

func jobsOf(views []queue.View) []ui.Job {
	rows := make([]ui.Job, len(views))
	for i := range views {
		rows[i] = jobOf(&views[i])
	}
	return rows
}

func (s *source) Job(name string, id uint64) (ui.Job, error) {
	view, found, err := s.brokers.queue.Get([]byte(name), id)
	if err == nil && !found {
		err = ui.NotFound("NOJOB", "queue '%s' has no job %d: it was acknowledged or deleted", name, id)
	}
	return jobOf(&view), err
}

func jobOf(v *queue.View) ui.Job {
	return ui.Job{
		ID: v.ID, State: v.State, Payload: ui.NewPayload(v.Body), Priority: int(v.Priority), Attempts: v.Attempts, MaxAttempts: v.MaxAttempts,
		Deliveries: v.Deliveries, PushedAt: v.PushedAt, DueAt: v.DueAt, LeaseUntil: v.LeaseUntil, ExpiresAt: v.ExpiresAt, FailedAt: v.FailedAt,
		Reason: v.Reason, Dedup: v.Dedup,
	}
}

func (s *source) Streams() (list []ui.Stream) {
	workers := s.streams.Workers()
	for after, more := "", true; more; {
		var names []string
		names, more = s.brokers.stream.Names(after, namesPage, func(string) bool { return true })
		for _, name := range names {
			after = name
			if row, _, _, err := s.stream(name, workers); err == nil { // else dropped meanwhile
				list = append(list, row)
			}
		}
		more = more && len(names) > 0
	}
	return list
}

func (s *source) stream(name string, workers map[streams.GroupName]int) (row ui.Stream, groups []ui.Group, config stream.Config,
	err error) {
	stats, err := s.brokers.stream.Stats([]byte(name))
	if err != nil {
		return row, nil, config, err
	}
	row = ui.Stream{
		Name: name, Entries: stats.Entries, First: stats.First, Next: stats.Next, Bytes: stats.Bytes, FirstMS: stats.FirstMs,
		LastMS: stats.LastMs,
		Groups: len(stats.Groups), Chain: stats.Config.Chain, Appended: stats.Appended,
	}
	for _, group := range stats.Groups {
		g, err := s.brokers.stream.GroupStats([]byte(name), []byte(group))
		if err != nil { // dropped meanwhile
			continue
		}
		groups = append(groups, ui.Group{
			Name: group, Lag: g.Lag, Pending: g.Pending, Parked: g.Parked, Floor: g.Floor, Next: g.Next,
			Workers: workers[streams.GroupName{Stream: name, Group: group}], Waiters: g.Waiters, Holders: g.Consumers,
			Epoch: g.Epoch, AckWaitMS: g.Config.AckWait.Milliseconds(), MaxDeliver: g.Config.MaxDeliver, OldestPendingMS: g.OldestPendingMs,
		})
		row.MaxLag = max(row.MaxLag, g.Lag)
		row.Lag += g.Lag
	}
	row.Members = groups
	return row, groups, stats.Config, nil
}

func (s *source) Stream(name string) (ui.StreamDetail, error) {
	row, groups, config, err := s.stream(name, s.streams.Workers())
	return ui.StreamDetail{Stream: row, Config: streams.ConfigFields(config), Groups: groups}, err
}

func (s *source) Entries(name, from string, count int, reverse bool) (rows []ui.Entry, high, next uint64, err error) {
	position, err := streams.ParsePosition(from)
	if err != nil {
		return nil, 0, 0, err
	}
	page, err := s.brokers.stream.Fetch([]byte(name), position, stream.FetchOptions{Count: count, MaxBytes: pageBytesMax, Reverse: reverse},
		nil)
	if err != nil {
		return nil, 0, 0, err
	}
	for i := range page.Entries {
		rows = append(rows, entryOf(&page.Entries[i]))
	}
	if len(rows) == 0 {
		return nil, page.High, 0, nil
	}
	// A page may end early, because it was full of bytes: what tells the end is the last offset of the stream, or its first.
	switch last := rows[len(rows)-1].Offset; {
	case !reverse && last < page.High:
		next = last + 1
	case reverse:
		stats, err := s.brokers.stream.Stats([]byte(name))
		if err != nil {
			return nil, 0, 0, err
		}
		if last > stats.First {
			next = last - 1
		}
	}
	return rows, page.High, next, nil
}

func entryOf(e *stream.Entry) ui.Entry {
	return ui.Entry{Offset: e.Offset, MS: e.Ms, ID: strconv.FormatInt(e.Ms, 10) + "-" + strconv.FormatUint(e.Seq, 10),
		Payload: ui.NewPayload(e.Payload)}
}

func (s *source) Parked(name, group, from string, count int) (rows []ui.ParkedEntry, next uint64, err error) {
	if from == "" {
		from = "first"
	}
	position, err := streams.ParsePosition(from)
	if err != nil {
		return nil, 0, err
	}
	list, next, err := s.brokers.stream.ParkedEntries([]byte(name), []byte(group), position, count, pageBytesMax)
	for i := range list {
		rows = append(rows, ui.ParkedEntry{Entry: entryOf(&list[i].Entry), Deliveries: list[i].Deliveries, ParkedMS: list[i].ParkedMs,
			Reason: list[i].Reason})
	}
	return rows, next, err
}
