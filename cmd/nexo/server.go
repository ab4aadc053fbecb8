package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/aof"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/brokers/stream/segment"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

// drainTimeout is how long batches under way may take to finish after SIGTERM.
const drainTimeout = 10 * time.Second

func runServer(c *cli.Context) error {
	o, err := readOptions(c)
	if err != nil {
		return usageError("%v", err)
	}
	logger, level, err := newLogger(o.logLevel)
	o.level = level
	if err != nil {
		return usageError("%v", err)
	}
	tellPassedOver(o.passedOver, logger)
	o.heavyMax = shareProcessors()
	o.collector = relaxCollector()
	s, err := openDoors(o, logger)
	if err != nil {
		return refusal(err, o.data)
	}
	return refusal(s.run(), o.data)
}

// refusal gives damage its exit code and says what to do about it.
func refusal(err error, data string) error {
	var damage *aof.CorruptionError
	var segmentDamage *segment.Damage
	var jobsDamage *queue.DamageError
	switch {
	case errors.As(err, &damage):
		return cli.Exit(err, exitCorrupted)
	case errors.As(err, &segmentDamage) && segmentDamage.Missing != 0:
		return cli.Exit(fmt.Sprintf("%v\nput it back, or give its entries up with: nexo repair --missing-segment=%d --apply %s",
			err, segmentDamage.Missing, data), exitCorrupted)
	case errors.As(err, &segmentDamage):
		return cli.Exit(fmt.Sprintf("%v\nrun: nexo repair %s", err, data), exitCorrupted)
	case errors.As(err, &jobsDamage):
		return cli.Exit(fmt.Sprintf("%v\nor run: nexo repair %s", err, data), exitCorrupted)
	}
	return err
}

// newLogger makes the process' log, and what changes its level while it runs.
func newLogger(word string) (*slog.Logger, *slog.LevelVar, error) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(word)); err != nil {
		return nil, nil, fmt.Errorf("--log-level: %q is not debug, info, warn or error", word)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), level, nil
}

// server is everything that runs, in the order it was opened; it is closed the other way round. What has no note is there when
// openDoors has returned, and not changed after; the rest belongs to load until that has ended.
type server struct {
	options  options
	logger   *slog.Logger
	loading  *loading
	lock     *aof.Lock // of the data directory
	families families
	table    *commands.Server
	door     *resp.Server
	own      *loopback
	pages    *dashboard    // nil when there is none
	stop     chan struct{} // SHUTDOWN was given

	source   *source        // load's: what the dashboard shows
	journals []*aof.Log     // load's
	closes   []func() error // load's, from openDoors on
}

// openDoors locks the data directory and opens the doors, before a log is touched: a port that is taken changes nothing, and
// who asks while the logs are loaded is told so. On an error everything opened is closed again.
func openDoors(o options, logger *slog.Logger) (s *server, err error) {
	s = &server{options: o, logger: logger, own: newLoopback(), stop: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return s, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := aof.LockDirectory(o.data)
	if err != nil {
		return s, err
	}
	s.lock = lock
	s.closes = append(s.closes, func() error { lock.Unlock(); return nil })
	if s.loading, err = newLoading(o.data, logsOf(o)); err != nil {
		return s, err
	}
	if o.profiles != "" {
		at, closer, err := openProfiles(o.profiles, logger)
		if err != nil {
			return s, err
		}
		s.closes = append(s.closes, closer)
		logger.Info("profiles are served", "address", "http://"+at.String()+"/debug/pprof/")
	}
	s.families = newFamilies(o, func() {
		select {
		case s.stop <- struct{}{}:
		default:
		}
	})
	s.table = s.families.table(commands.Config{Password: o.password, ProtectedMode: o.protected, Loading: s.loading.progress})
	s.door, err = resp.Listen(resp.Options{
		Listeners: []net.Listener{s.own},
		Addr:      net.JoinHostPort(o.host, strconv.Itoa(o.port)), MaxClients: o.maxClients, IdleTimeout: o.timeout, Logger: logger,
		TLSConfig: o.tls, UnixSocket: o.unixSocket, WriteTimeout: o.writeTimeout, QueryBufferMax: int(o.queryBuffer),
		MemoryMax: o.clientMemory, BulkMax: int(o.bulkMax), ArgumentsMax: o.argumentsMax,
		Panicked: fence(logger, os.Exit), HeavyMax: o.heavyMax,
	}, s.table)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another program has the port; choose one with --port", err)
	}
	if err != nil {
		return s, err
	}
	s.table.Attach(s.door)
	if o.dashboard.enabled {
		s.pages, err = openDashboard(o.dashboard, s.table, s.loading, logger)
	}
	return s, err
}

// load opens the brokers and lets in who waits for them.
func (s *server) load() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.loading.tell(ctx, s.logger)
	opened, err := s.openBrokers(s.options)
	if err != nil {
		return err
	}
	if s.options.collector != nil {
		s.options.collector.watch(opened.store)
	}
	s.source = &source{brokers: opened, commands: s.table, streams: s.families.streams, door: s.door, own: s.own, journals: s.journals,
		data: s.options.data}
	if s.pages != nil {
		if err := s.pages.show(s.source); err != nil {
			return err
		}
	}
	s.families.serve(opened)
	s.table.Loaded()
	s.logger.Info("nexo serves", "version", commands.Version, "resp", s.door.Addr().String(), "data", s.options.data,
		"fsync", s.options.fsync.String(), "started_in", time.Since(s.loading.began).Round(time.Millisecond))
	return nil
}

// logsOf names the logs in the order in which they are loaded.
func logsOf(o options) []string {
	logs := []string{"retained", "queue", "stream"}
	if o.storeJournaled {
		logs = append([]string{"store"}, logs...)
	}
	return logs
}

// inspectLogs reads all logs before any is touched: a start that one of them refuses leaves every file as it was.
func (s *server) inspectLogs(o options) (map[string]*aof.Log, error) {
	logs := map[string]*aof.Log{}
	for _, name := range logsOf(o) {
		log, err := aof.Inspect(aof.Options{
			Dir: o.data, Name: name, Lock: s.lock, SyncInterval: o.fsyncInterval, MinFreeBytes: o.minFreeDisk, Logger: s.logger,
			Loading: s.loading.of(name),
		})
		if err != nil {
			return nil, err
		}
		logs[name] = log
	}
	return logs, nil
}

func (s *server) startLog(log *aof.Log) error {
	if err := log.Start(); err != nil {
		return err
	}
	s.closes = append(s.closes, log.Close)
	s.journals = append(s.journals, log)
	return nil
}

// openBrokers gives each broker a journal of its own, so that none waits for another's.
func (s *server) openBrokers(o options) (b opened, err error) {
	b.clock = s.table.Clock
	logs, err := s.inspectLogs(o)
	if err != nil {
		return b, err
	}
	journal := func(name string) (*aof.Log, error) { return logs[name], s.startLog(logs[name]) }
	keep := func(closer func() error) { s.closes = append(s.closes, closer) }

	freed := new(handBack).begin
	storeOptions := store.Options{Clock: b.clock, Durability: o.storeDurability, MaxMemory: o.maxMemory,
		MaxMemoryPolicy: o.maxMemoryPolicy, DefaultTTL: o.storeDefaultTTL, Freed: freed}
	if o.storeJournaled {
		if storeOptions.Journal, err = journal("store"); err != nil {
			return b, err
		}
	}
	if b.store, err = store.Open(storeOptions); err != nil {
		return b, err
	}
	keep(b.store.Close)

	log, err := journal("retained")
	if err != nil {
		return b, err
	}
	b.pubsub, err = pubsub.Open(pubsub.Options{Journal: log, Clock: b.clock, Durability: o.fsync, MaxPayload: o.maxPayload})
	if err != nil {
		return b, err
	}
	keep(b.pubsub.Close)

	if log, err = journal("queue"); err != nil {
		return b, err
	}
	b.queue, err = queue.Open(queue.Options{Journal: log, Clock: b.clock, Durability: o.fsync, Defaults: o.queueDefaults,
		MaxPayload: o.maxPayload, CompactBytes: o.compactSize,
		JobMemory: o.queueMemory, MaxMemory: o.queueMaxMemory, SpillDirectory: backlogDirectory(o.data),
		Failed: func(err error) {
			s.logger.Error("background work of the queues failed and will be tried again; nothing is lost", "error", err)
		}, Freed: freed})
	if err != nil {
		return b, err
	}
	keep(b.queue.Close)
	if n := b.queue.PassedOver(); n > 0 {
		s.logger.Warn("the log tells of jobs or queues that a repair has lost; these changes were passed over", "changes", n)
	}

	if log, err = journal("stream"); err != nil {
		return b, err
	}
	id := log.ID()
	b.stream, err = stream.Open(stream.Options{Journal: log, Log: segment.Log(id[:]), Directory: segmentDirectory(o.data), Clock: b.clock,
		Durability: o.fsync, MaxPayload: o.maxPayload, CompactBytes: o.compactSize,
		Defaults: o.streamDefaults, GroupDefaults: o.groupDefaults,
		Failed: func(err error) {
			s.logger.Error("work on the stream's files failed; what they hold stays as it was", "error", err)
		}})
	if err != nil {
		return b, err
	}
	keep(b.stream.Close)
	return b, nil
}

// backlogDirectory is where the ready jobs of long queues are.
func backlogDirectory(data string) string { return filepath.Join(data, "queue-backlog") }

// segmentDirectory is where the stream entries are that have left the journal.
func segmentDirectory(data string) string { return filepath.Join(data, "segments") }

// run serves until SIGTERM, SIGINT or SHUTDOWN, then drains: clients under way get their replies, journals their fsync. A
// second signal ends the process at once.
func (s *server) run() error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	failed, loaded := make(chan error, 1), make(chan error, 1)
	go func() { failed <- s.door.Serve() }()
	if s.pages != nil {
		go s.pages.serve()
	}
	go func() { loaded <- s.load() }()
	var err error
	for isLoading, stopping := true, false; !stopping; {
		stopping = true
		select {
		case err = <-loaded:
			isLoading, stopping = false, err != nil
		case sig := <-signals:
			s.logger.Info("stopping", "signal", sig.String())
		case <-s.stop:
			s.logger.Info("stopping", "reason", "SHUTDOWN")
		case err = <-failed:
		}
		if stopping {
			go func() {
				sig := <-signals
				s.logger.Warn("stopping at once", "signal", sig.String())
				os.Exit(exitError)
			}()
			if isLoading && !s.stopLoading(loaded) {
				return err
			}
		}
	}
	return errors.Join(err, s.close())
}

// loadingStopTimeout is how long the loading of logs may take to come to where it can be stopped.
const loadingStopTimeout = 2 * time.Second

// stopLoading ends load. It is false when load hangs, on a disk that does not answer or in the middle of much work: then
// nothing of its may be closed, and the process ends as by kill -9, which the logs are made for: nobody was told anything yet.
func (s *server) stopLoading(loaded <-chan error) bool {
	s.loading.stopped.Store(true)
	select {
	case err := <-loaded:
		if err != nil && !errors.Is(err, errStopped) {
			s.logger.Warn("loading had failed", "error", err)
		}
		return true
	case <-time.After(loadingStopTimeout):
		s.logger.Warn("the logs were being loaded and are left as after a crash; the next start will make them whole")
		return false
	}
}

func (s *server) close() error {
	var problems []error
	if s.pages != nil {
		if err := s.pages.close(); err != nil {
			problems = append(problems, err)
		}
	}
	if s.door != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		if err := s.door.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("drain: %w", err))
		}
		cancel()
	}
	for i := len(s.closes) - 1; i >= 0; i-- {
		if err := s.closes[i](); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
