package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	fanoutPipeline = 16
	// What may be on its way to a subscriber: far below the output limit at which both servers cut a slow one.
	fanoutWindow = 2048
)

func (b *bench) pubsub() error {
	for _, load := range []struct{ subscribers, messages int }{{1, 200_000}, {100, 20_000}, {1000, 2_000}} {
		messages := max(load.messages/b.scale, fanoutPipeline)
		for _, word := range []string{"NPUB", "PUBLISH"} {
			nexo, redis, ratio, err := paired(b.rounds,
				func() (float64, error) { return fanout(b.nexo, word, load.subscribers, messages) },
				func() (float64, error) { return fanout(b.redis, "PUBLISH", load.subscribers, messages) })
			if err != nil {
				return err
			}
			b.report.add(fmt.Sprintf("%s vs PUBLISH to %d subscribers, pipeline %d, deliveries", word, load.subscribers, fanoutPipeline),
				rate(nexo), rate(redis), fmt.Sprintf("%.2f", ratio), ">= 1.0")
		}
	}
	return nil
}

// fanout publishes messages of 128 B to a number of subscribers and returns the deliveries per second, once every
// subscriber has received every byte of every message.
func fanout(s *server, word string, subscribers, messages int) (float64, error) {
	payload := strings.Repeat("x", 128)
	messages = messages / fanoutPipeline * fanoutPipeline
	clients, err := dialAll(s, subscribers)
	if err != nil {
		return 0, err
	}
	defer closeAll(clients)
	if err := each(clients, func(_ int, c *client) error {
		_, err := c.do("SUBSCRIBE", "bench/fanout")
		return err
	}); err != nil {
		return 0, err
	}
	publisher, err := dial(s)
	if err != nil {
		return 0, err
	}
	defer publisher.Close()

	size := len(encode(nil, "message", "bench/fanout", payload))
	received := make([]atomic.Int64, subscribers) // messages
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		ended <- each(clients, func(i int, c *client) error { return receive(c, messages*size, size, &received[i]) })
	}()
	if err := publish(publisher, word, payload, messages, received); err != nil {
		return 0, err
	}
	select {
	case err = <-ended:
	case <-time.After(limit):
		err = fmt.Errorf("%s: subscribers did not receive everything within %v", s.name, limit)
	}
	return float64(messages) * float64(subscribers) / time.Since(began).Seconds(), err
}

// receive reads exactly size bytes, and counts the messages in them.
func receive(c *client, size, message int, received *atomic.Int64) error {
	buffer := make([]byte, 64<<10)
	for read := 0; read < size; {
		n, err := c.r.Read(buffer)
		read += n
		received.Store(int64(read / message))
		if err != nil && read < size {
			return fmt.Errorf("a subscriber received %d of %d bytes: %w", read, size, err)
		}
		if read > size {
			return fmt.Errorf("a subscriber received %d bytes, more than the %d published", read, size)
		}
	}
	return nil
}

// publish sends the messages in pipelines and checks that each one reached every subscriber. It stays at most
// fanoutWindow messages ahead of the slowest.
func publish(c *client, word, payload string, messages int, received []atomic.Int64) error {
	var batch []byte
	for range fanoutPipeline {
		batch = encode(batch, word, "bench/fanout", payload)
	}
	for sent := 0; sent < messages; sent += fanoutPipeline {
		for deadline := time.Now().Add(limit); sent-int(slowest(received)) >= fanoutWindow; time.Sleep(50 * time.Microsecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("the slowest subscriber is at %d of %d after %v", slowest(received), sent, limit)
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
			if receivers != strconv.Itoa(len(received)) {
				return fmt.Errorf("%s reached %q of %d subscribers", word, receivers, len(received))
			}
		}
	}
	return nil
}

func slowest(received []atomic.Int64) int64 {
	least := received[0].Load()
	for i := range received {
		least = min(least, received[i].Load())
	}
	return least
}
