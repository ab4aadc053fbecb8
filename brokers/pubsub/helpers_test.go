package pubsub

import (
	"sync"
	"testing"
)

func open(t testing.TB, options Options) *Broker {
	t.Helper()
	b, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// collector is a subscriber that keeps what it gets.
type collector struct {
	mu   sync.Mutex
	got  []string // topic=payload
	runs int
	gone bool
}

func (c *collector) Deliver(run *Run, sub *Subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.runs++
	for _, m := range run.Messages {
		c.got = append(c.got, string(m.Topic)+"="+string(m.Payload))
	}
	return true
}

func (c *collector) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got, c.runs = nil, 0
	return got
}
