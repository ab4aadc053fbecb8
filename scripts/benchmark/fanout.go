package main

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	fanoutTopic    = "bench/fanout"
	fanoutPipeline = 16
	// What may be on its way to a subscriber: far below the output limit at which both servers cut a slow one.
	fanoutWindow = 2048
)

// fanoutLoad is one publisher and its subscribers. subscribe are the words of a subscription and message is what each of
// them receives, without the payload.
type fanoutLoad struct {
	publish               string
	subscribe, message    []string
	subscribers, messages int
}

var (
	exactly  = fanoutLoad{subscribe: []string{"SUBSCRIBE", fanoutTopic}, message: []string{"message", fanoutTopic}}
	wildcard = fanoutLoad{subscribe: []string{"PSUBSCRIBE", "bench/+"}, message: []string{"pmessage", "bench/+", fanoutTopic}}
	glob     = fanoutLoad{subscribe: []string{"PSUBSCRIBE", "bench/*"}, message: []string{"pmessage", "bench/*", fanoutTopic}}
)

func (b *bench) pubsub() error {
	type kind struct {
		word, name   string
		ours, theirs fanoutLoad
	}
	kinds := []kind{{"NPUB", "exact", exactly, exactly}, {"NPUB", "wildcard", wildcard, glob}, {"PUBLISH", "exact", exactly, exactly}}
	for _, size := range []struct {
		subscribers, messages int
		wanted                float64
	}{{1, 200_000, 1.2}, {100, 20_000, 2}, {1000, 2_000, 2}} {
		for _, k := range kinds {
			for _, l := range []*fanoutLoad{&k.ours, &k.theirs} {
				l.publish, l.subscribers = "PUBLISH", size.subscribers
				l.messages = max(size.messages/b.divide/fanoutPipeline, 1) * fanoutPipeline
			}
			k.ours.publish = k.word
			r, err := runRace(b, k.ours.run, k.theirs.run, b.redis)
			if err != nil {
				return err
			}
			wanted := bar{}
			if k.word == "NPUB" {
				wanted = atLeast(size.wanted)
			}
			work := fmt.Sprintf("%s vs PUBLISH, %s, to %d subscribers, pipeline %d", k.word, k.name, size.subscribers, fanoutPipeline)
			b.report.add(r.row(work, perSecond, rate, wanted))
			b.report.add(r.row("- server CPU of a delivery", processor, microseconds, bar{}))
		}
	}
	return nil
}

// run publishes messages of 128 B and returns the deliveries per second, once every subscriber has received every byte of every
// message, and the server's processor time of one.
func (l fanoutLoad) run(s *server) (throughput, error) {
	clients, err := dialAll(s, l.subscribers)
	if err != nil {
		return throughput{}, err
	}
	defer closeAll(clients)
	if err := each(clients, func(_ int, c *client) error {
		_, err := c.do(l.subscribe...)
		return err
	}); err != nil {
		return throughput{}, err
	}
	publisher, err := dial(s)
	if err != nil {
		return throughput{}, err
	}
	defer publisher.Close()

	in, err := newReceiver(clients, len(encode(nil, append(l.message, payload128)...)), l.messages)
	if err != nil {
		return throughput{}, err
	}
	defer syscall.Close(in.epoll)
	var elapsed time.Duration
	used, err := s.during(func() error {
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- in.run() }()
		err := in.publish(publisher, l.publish)
		if err != nil {
			in.stop.Store(true)
		}
		if problem := <-ended; problem != nil {
			err = fmt.Errorf("%s: %w", s.name, problem)
		}
		elapsed = time.Since(began)
		return err
	})
	deliveries := float64(l.messages) * float64(l.subscribers)
	return throughput{deliveries / elapsed.Seconds(), float64(used.Microseconds()) / deliveries}, err
}

// receiver reads what all subscribers are sent, with one epoll and into one buffer: a goroutine and a buffer for each of a
// thousand would take more of the processors than the server does, and hide what it costs.
type receiver struct {
	epoll       int
	messageSize int
	messages    int
	received    []int64        // bytes, by descriptor
	subscribed  []int          // descriptors
	reached     []atomic.Int64 // messages, by subscriber
	places      []int          // of the subscriber in reached, by descriptor
	stop        atomic.Bool    // the publisher failed
}

func newReceiver(clients []*client, messageSize, messages int) (*receiver, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	in := &receiver{epoll: epoll, messageSize: messageSize, messages: messages, reached: make([]atomic.Int64, len(clients))}
	for place, c := range clients {
		fd := -1
		raw, err := c.Conn.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(descriptor uintptr) { fd = int(descriptor) })
		}
		if err == nil {
			err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
		}
		if err != nil {
			syscall.Close(epoll)
			return nil, err
		}
		for len(in.received) <= fd {
			in.received, in.places = append(in.received, 0), append(in.places, 0)
		}
		in.places[fd] = place
		in.subscribed = append(in.subscribed, fd)
	}
	return in, nil
}

// run reads until each subscriber has everything, and not a byte more.
func (in *receiver) run() error {
	whole := int64(in.messages) * int64(in.messageSize)
	events := make([]syscall.EpollEvent, 256)
	buffer := make([]byte, 256<<10)
	deadline := time.Now().Add(limit)
	for left := len(in.subscribed); left > 0; {
		n, err := syscall.EpollWait(in.epoll, events, 100)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			fd := int(event.Fd)
			size, err := syscall.Read(fd, buffer)
			if err == syscall.EAGAIN || err == syscall.EINTR {
				continue
			}
			if err != nil || size == 0 {
				return fmt.Errorf("a subscriber received %d of %d bytes: %v", in.received[fd], whole, err)
			}
			in.received[fd] += int64(size)
			in.reached[in.places[fd]].Store(in.received[fd] / int64(in.messageSize))
			if in.received[fd] > whole {
				return fmt.Errorf("a subscriber received %d bytes, more than the %d published", in.received[fd], whole)
			}
			if in.received[fd] == whole {
				left--
			}
		}
		if in.stop.Load() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d subscribers did not receive everything within %v", left, limit)
		}
	}
	return nil
}

// publish sends the messages in pipelines and checks that each one reached every subscriber. It stays at most
// fanoutWindow messages ahead of the slowest.
func (in *receiver) publish(c *client, word string) error {
	batch := pipelineOf(fanoutPipeline, word, fanoutTopic, payload128)
	for sent := 0; sent < in.messages; sent += fanoutPipeline {
		for deadline := time.Now().Add(limit); sent-in.slowest() >= fanoutWindow; time.Sleep(50 * time.Microsecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("the slowest subscriber is at %d of %d after %v", in.slowest(), sent, limit)
			}
		}
		if _, err := c.Write(batch); err != nil {
			return err
		}
		for range fanoutPipeline {
			_, receivers, err := c.line()
			if err != nil {
				return err
			}
			if receivers != strconv.Itoa(len(in.reached)) {
				return fmt.Errorf("%s reached %q of %d subscribers", word, receivers, len(in.reached))
			}
		}
	}
	return nil
}

func (in *receiver) slowest() int {
	least := in.reached[0].Load()
	for i := range in.reached {
		least = min(least, in.reached[i].Load())
	}
	return int(least)
}
