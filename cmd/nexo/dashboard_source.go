package main

import (
	"context"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nexobroker/nexo/aof"
	"github.com/nexobroker/nexo/brokers/latency"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/streams"
	"github.com/nexobroker/nexo/resp"
	"github.com/nexobroker/nexo/ui"
)

// source is the server as the dashboard sees it: ui.Source over the brokers for what is read, and over the door for what is
// changed.
type source struct {
	brokers  opened
	commands *commands.Server
	streams  *streams.Family
	door     *resp.Server
	own      *loopback
	journals []*aof.Log
	data     string

	taps tapping
	disk diskUse
}

func (s *source) Run(ctx context.Context, db int, args ...string) (ui.Reply, error) {
	return s.own.run(ctx, db, args)
}

func (s *source) Commands() (list []ui.Command) {
	for _, help := range s.commands.Help() {
		list = append(list, commandOf(help))
	}
	return list
}

func commandOf(h commands.Help) ui.Command {
	return ui.Command{
		Name: h.Name, Summary: h.Summary, Syntax: h.Syntax, Group: h.Group,
		Write: changes(h), ReadOnly: readsOnly(h), Subscribes: h.Flags&commands.Subscribes != 0,
	}
}

// readsOnly is a command that changes nothing, not even the connection's place among the clients.
func readsOnly(h commands.Help) bool {
	return h.Flags&(commands.ReadOnly|commands.Harmless) != 0 && !changes(h)
}

func changes(h commands.Help) bool {
	return h.Flags&commands.Write != 0 || h.Flags&commands.Admin != 0 && h.Flags&commands.Harmless == 0
}

func (s *source) Command(words []string) (ui.Command, bool) {
	help, found := s.commands.HelpFor(words)
	command := commandOf(help)
	command.Blocks = help.Flags&commands.Blocking != 0 && slices.ContainsFunc(words[min(help.Required, len(words)):],
		func(word string) bool { return strings.EqualFold(word, "BLOCK") })
	return command, found
}

func (s *source) Credentials() string { return s.commands.Credentials() }

func (s *source) Login(ctx context.Context, address, user, password string, failedBefore bool) (right, checked bool) {
	return s.commands.Login(ctx, address, user, password, failedBefore)
}

func (s *source) Denies(remote net.Addr) bool { return s.commands.Denies(remote) }

func (s *source) Ready() error {
	for _, journal := range s.journals {
		if err := journal.Ready(); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) Port() int {
	if at, ok := s.door.Addr().(*net.TCPAddr); ok {
		return at.Port
	}
	return 0
}

func (s *source) Totals() ui.Totals {
	activity, counters, bus, door := s.commands.Activity(), s.brokers.store.Counters(), s.brokers.pubsub.Stats(), s.commands.DoorCounters()
	read, acked := s.streams.Activity()
	var fsyncs latency.Counts
	for _, journal := range s.journals {
		for bucket, n := range journal.Fsyncs() {
			fsyncs[bucket] += n
		}
	}
	return ui.Totals{
		Commands: activity.Commands, StoreCommands: activity.Measured, Hits: counters.Hits, Misses: counters.Misses, Keys: counters.Keys,
		StoreLatency: ui.Latency{Counts: activity.Latency[:], Bound: latency.Bound},
		FsyncLatency: ui.Latency{Counts: fsyncs[:], Bound: latency.Bound},
		Published:    bus.Published, Delivered: bus.Delivered, Subscriptions: bus.Subscriptions, Retained: int64(bus.Retained),
		StreamRead: read, StreamAcked: acked,
		Connected: door.Connected, Refused: door.Refused, Errors: activity.Errors, Expired: counters.Expired, Evicted: counters.Evicted,
		Memory: residentMemory(), Disk: s.disk.bytes(s.data, s.brokers.clock.Now()),
		StoreMemory: counters.Memory, StoreMemoryMaximum: counters.MaxMemory,
	}
}

// diskUse adds up the data directory, at most every five seconds.
type diskUse struct {
	mu    sync.Mutex
	at    time.Time
	total int64
}

func (d *diskUse) bytes(dir string, now time.Time) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.at.IsZero() && now.Sub(d.at) < 5*time.Second {
		return d.total
	}
	d.at, d.total = now, 0
	// A file may go while it is looked for; what is gone takes no space.
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				d.total += info.Size()
			}
		}
		return nil
	})
	return d.total
}

func (s *source) Clients() (list []ui.Client) {
	now := s.brokers.clock.Now()
	for _, c := range s.commands.Clients() {
		if c.Own {
			continue
		}
		stats := c.Stats()
		list = append(list, ui.Client{
			ID: strconv.FormatUint(c.ID(), 10), Name: c.Name, Addr: c.RemoteAddr().String(), User: c.User, Command: c.Command, Database: c.Database,
			AgeMS: now.Sub(c.Created()).Milliseconds(), IdleMS: max(0, now.Sub(c.LastCommand()).Milliseconds()),
			Library: strings.TrimSpace(c.LibraryName + " " + c.LibraryVersion), Subs: c.Subscriptions(), Protocol: c.Protocol,
			InBytes: stats.BytesIn, OutBytes: stats.BytesOut,
		})
	}
	return list
}

func (s *source) SlowCommands() (list []ui.SlowCommand) {
	for _, c := range s.commands.SlowLog.Newest(-1) {
		list = append(list, ui.SlowCommand{
			ID: strconv.FormatInt(c.ID, 10), At: c.At.UnixMilli(), Micros: c.Took.Microseconds(), Args: c.Args,
			Client: c.Client, Name: c.Name, Naming: s.commands.NamingWords([]byte(c.Args[0])),
		})
	}
	return list
}

func (s *source) Settings() (list []ui.Setting) {
	for _, setting := range s.commands.Settings.List() {
		list = append(list, ui.Setting{Name: setting.Name, Value: setting.Value, Mutable: setting.Mutable, Note: setting.Note})
	}
	return list
}

// tapping shares the one tap of the command table between the tails that watch it.
type tapping struct {
	mu   sync.Mutex
	last int
	sees map[int]func(ui.CommandSeen)
}

func (s *source) TailCommands(see func(ui.CommandSeen)) (stop func()) {
	t := &s.taps
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sees == nil {
		t.sees = map[int]func(ui.CommandSeen){}
	}
	t.last++
	id := t.last
	t.sees[id] = see
	s.setTapLocked()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.sees, id)
		s.setTapLocked()
	}
}

func (s *source) setTapLocked() {
	if len(s.taps.sees) == 0 {
		s.commands.SetTap(nil)
		return
	}
	var sees []func(ui.CommandSeen)
	for _, see := range s.taps.sees {
		sees = append(sees, see)
	}
	s.commands.SetTap(func(c commands.Tapped) {
		seen := ui.CommandSeen{
			Client: c.Client, Name: c.Name, Addr: c.Addr, Args: c.Args,
			Secret: s.commands.Secret(c.Args), Naming: s.commands.NamingWords(c.Args[0]),
		}
		for _, see := range sees {
			see(seen)
		}
	})
}

// keysSlice is how many keys are visited in one go: the lock of a shard is held for some of them at a time.
const keysSlice = 500

func (s *source) Keys(ctx context.Context, db int, prefix, cursor string, budget int, visit func(ui.KeyRow) bool) (next string, err error) {
	if cursor == "" {
		cursor = "0"
	}
	more, visited := true, 0
	pass := func(item store.Item) store.Verdict {
		visited++
		if more = visit(ui.KeyRow{Key: string(item.Key), Type: item.Kind.String(), TTL: item.TTL, Size: len(item.Value)}); !more {
			return store.Full
		}
		return store.Taken
	}
	// Without a prefix the hash tables are walked, for an order of the keys would have to be made first.
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if prefix == "" {
			at, err := strconv.ParseUint(cursor, 10, 64)
			if err != nil {
				return "", badCursor(cursor)
			}
			cursor = strconv.FormatUint(s.brokers.store.Scan(db, at, keysSlice, pass), 10)
		} else {
			at, ok := store.ParsePrefixCursor(cursor)
			if !ok {
				return "", badCursor(cursor)
			}
			cursor = s.brokers.store.ScanPrefix(db, prefix, at, keysSlice, pass).String()
		}
		switch {
		case cursor == "0":
			return "", nil
		case !more || visited >= budget:
			return cursor, nil
		}
	}
}

func badCursor(cursor string) error {
	return &ui.Problem{Status: 400, Code: "BADCURSOR", Message: "the cursor " + strconv.Quote(cursor) + " is none of this search"}
}

func (s *source) CountKeys(db int) int { return s.brokers.store.Size(db) }

func (s *source) Key(db int, key string) (row ui.KeyRow, value []byte, found bool, err error) {
	info, found := s.brokers.store.Inspect(db, []byte(key))
	if !found {
		return row, nil, false, nil
	}
	row = ui.KeyRow{Key: key, Type: info.Kind.String(), TTL: info.TTL}
	if info.Kind == store.String {
		value, found, err = s.brokers.store.Peek(db, []byte(key))
		row.Size = len(value)
	}
	return row, value, found, err
}

func (s *source) Topics(filter, after string, count int) (rows []ui.Topic, more bool, err error) {
	page, more, err := s.brokers.pubsub.TopicsPage(filter, after, count)
	for _, t := range page {
		rows = append(rows, ui.Topic{Topic: t.Name, Subscribers: t.Subscribers, Retained: t.Retained})
	}
	return rows, more, err
}

func (s *source) Retained(filter, after string, count int) (rows []ui.Retained, more bool, err error) {
	page, more, err := s.brokers.pubsub.RetainedPage(filter, after, count)
	for _, m := range page {
		rows = append(rows, ui.Retained{Topic: m.Topic, Payload: ui.NewPayload(m.Payload), TTL: m.TTLMillis})
	}
	return rows, more, err
}

func (s *source) Wildcards(filter, after string, count int) (rows []ui.Wildcard, more bool, err error) {
	page, more, err := s.brokers.pubsub.WildcardsPage(filter, after, count)
	for _, w := range page {
		rows = append(rows, ui.Wildcard{Name: w.Name, Pattern: w.Glob, Subscribers: w.Subscribers})
	}
	return rows, more, err
}

func (s *source) Subscribers(filter string, exact bool) (rows []ui.Subscriber, err error) {
	line := []string{"NWHO", filter}
	if exact {
		line = append(line, "EXACT")
	}
	reply, err := s.Run(context.Background(), 0, line...)
	if err != nil {
		return nil, err
	}
	if reply.Kind == ui.Failure {
		code, text, _ := strings.Cut(reply.Text(), " ")
		return nil, &ui.Problem{Status: 400, Code: code, Message: text}
	}
	for _, one := range reply.List() {
		if fields := one.List(); len(fields) == 4 {
			rows = append(rows, ui.Subscriber{ID: fields[0].Text(), Name: fields[1].Text(), Addr: fields[2].Text(), Filter: fields[3].Text()})
		}
	}
	return rows, nil
}

// tailRetainedMax is how many retained messages a tail begins with: retained publishes wait meanwhile.
const tailRetainedMax = 1000

func (s *source) TailMessages(filter string, see func(topic, payload []byte, retained bool)) (stop func(), err error) {
	return s.brokers.pubsub.Watch(filter, func(retained *pubsub.Cursor) {
		for range tailRetainedMax {
			topic, payload, ok := retained.Next()
			if !ok {
				return
			}
			see(topic, payload, true)
		}
	}, func(topic, payload []byte) { see(topic, payload, false) })
}
