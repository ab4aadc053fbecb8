package main

import (
	"fmt"
	"strconv"
	"time"
)

const (
	filtersOfAClient = 1000
	// redisFiltersMost is how many patterns redis-server is given: it tries each for each publish, and looks for one that goes among all of
	// its client.
	redisFiltersMost = 300_000
)

// scaleFilters publishes to new topics beside wildcard filters that match none of them, and then takes the filters down in the ways that
// they go, while somebody else sends PING.
func (b *bench) scaleFilters() error {
	n := b.sized(1_000_000, 200_000) / filtersOfAClient * filtersOfAClient
	if err := wantFiles(n/filtersOfAClient + 200); err != nil {
		return err
	}
	rows := []scaleRow{
		{work: fmt.Sprintf("publish to %s new topics beside %s filters: rate by that beside none", thousands(n), thousands(n)),
			format: times, bar: atLeast(0.9)},
		{work: "- the same by server CPU", format: times},
		{work: "- a subscription, connections included", format: plainBytes},
	}
	for _, way := range teardowns {
		rows = append(rows, scaleRow{work: fmt.Sprintf("%s filters: %s: p99 of PING", thousands(n), way.name(n)), format: milliseconds,
			bar: below(5).named("< 5 ms")}, scaleRow{work: "- the longest PING", format: milliseconds},
			scaleRow{work: "- server CPU while a PING waits, p99", format: milliseconds})
	}
	nexo := func(c contender) ([]float64, error) { return b.filters(c, n, nexoFilters) }
	redis := func(c contender) ([]float64, error) { return b.filters(c, n, redisFilters) }
	if n > redisFiltersMost {
		redis = nil
	}
	return b.contest(rows, nexo, redis)
}

// filterWords are how a server is asked for wildcards. redis-server tries each pattern for each publish, so it publishes less.
type filterWords struct {
	subscribe, unsubscribe, publish string
	filter                          func(i int) string
	divide                          int
}

var (
	nexoFilters = filterWords{"PSUBSCRIBE", "PUNSUBSCRIBE", "NPUB", func(i int) string { return "site/" + strconv.Itoa(i) + "/+/state" }, 1}
	// Patterns of the same width, which redis-server can tell from the topics by their first byte behind the site.
	redisFilters = filterWords{"PSUBSCRIBE", "PUNSUBSCRIBE", "PUBLISH", func(i int) string { return "site/" + strconv.Itoa(i) + "/*/state" },
		5000}
)

// teardown is a way in which all subscriptions go.
type teardown struct {
	text string
	each int // subscriptions of a client
	end  func(clients []*client, words filterWords) error
}

func (t teardown) name(n int) string {
	return fmt.Sprintf(t.text, thousands(n/t.each), thousands(t.each))
}

var teardowns = []teardown{
	{"%s clients with %s each vanish", filtersOfAClient, vanish},
	{"%s clients with %s each vanish", 10 * filtersOfAClient, vanish},
	{"%s clients with %s each send PUNSUBSCRIBE", 10 * filtersOfAClient, unsubscribeAll},
}

func vanish(clients []*client, _ filterWords) error {
	closeAll(clients)
	return nil
}

func unsubscribeAll(clients []*client, words filterWords) error {
	command := encode(nil, words.unsubscribe)
	for _, c := range clients {
		if _, err := c.Write(command); err != nil {
			return err
		}
	}
	return nil
}

// subscribed makes n subscriptions of so many clients, some clients at a time; it reads the confirmations.
func (s *server) subscribed(n, per int, words filterWords) ([]*client, error) {
	const together, atATime = 250, 8
	clients, err := dialAll(s, n/per)
	if err != nil {
		return nil, err
	}
	subscribe := func(at int, c *client) error {
		for i := 0; i < per; i += together {
			command := []string{words.subscribe}
			for k := range together {
				command = append(command, words.filter(at*per+i+k))
			}
			if _, err := c.Write(encode(nil, command...)); err != nil {
				return err
			}
			if err := c.skip(together); err != nil {
				return err
			}
		}
		return nil
	}
	err = each(clients[:min(atATime, len(clients))], func(first int, _ *client) error {
		for at := first; at < len(clients); at += atATime {
			if err := subscribe(at, clients[at]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		closeAll(clients)
	}
	return clients, err
}

// newTopics publishes to topics that nobody has published to, and returns the rate and the server's processor time of one.
func (f *field) newTopics(from, n int, words filterWords) (throughput, error) {
	began := time.Now()
	used, err := f.during(func() error {
		return f.pour(1, n, 64, func(buf []byte, i int) []byte {
			return encode(buf, words.publish, "site/"+strconv.Itoa(i)+"/door/"+strconv.Itoa(from+i), "payload")
		})
	})
	return throughput{float64(n) / time.Since(began).Seconds(), float64(used.Microseconds()) / float64(n)}, err
}

func (b *bench) filters(c contender, n int, words filterWords) ([]float64, error) {
	flags := []string{"--maxclients", strconv.Itoa(n/filtersOfAClient + 100)}
	if !c.redis() {
		flags = append(flags, "--maxmemory-clients", "8gb") // which counts what subscriptions take
	}
	f, err := b.open(c, flags...)
	if err != nil {
		return nil, err
	}
	defer f.close()
	publishes := n / words.divide
	alone, beside, held, err := f.publishBeside(n, publishes, words)
	if err != nil {
		return nil, err
	}
	values := []float64{beside.perSecond / alone.perSecond, alone.processor / beside.processor, held}
	for _, way := range teardowns {
		seen, err := f.tearDown(n, way, words)
		if err != nil {
			return nil, err
		}
		values = append(values, seen.p99, seen.most, seen.busy)
	}
	return values, nil
}

// publishBeside publishes with and without the filters in turn, so that neither has the warmer server, and returns what they took, and the
// memory of a subscription.
func (f *field) publishBeside(n, publishes int, words filterWords) (alone, beside throughput, held float64, err error) {
	fresh := 0
	publish := func(count int) (throughput, error) {
		fresh += count
		return f.newTopics(fresh, count, words)
	}
	if _, err := publish(n); err != nil { // warms up
		return alone, beside, 0, err
	}
	empty, err := f.settledMemory(time.Second)
	if err != nil {
		return alone, beside, 0, err
	}
	var without, with []throughput
	const rounds = 3
	for round := range rounds {
		took, err := publish(n)
		if err != nil {
			return alone, beside, 0, err
		}
		without = append(without, took)
		clients, err := f.subscribed(n, filtersOfAClient, words)
		if err != nil {
			return alone, beside, 0, err
		}
		if round == 0 {
			resident, err := f.settledMemory(2 * time.Second)
			if err != nil {
				return alone, beside, 0, err
			}
			held = (resident - empty) / float64(n)
		}
		took, err = publish(publishes)
		closeAll(clients)
		if err == nil {
			err = f.allGone()
		}
		if err != nil {
			return alone, beside, 0, err
		}
		with = append(with, took)
	}
	middle := func(of []throughput) throughput {
		return throughput{median(pick(of, perSecond)), median(pick(of, processor))}
	}
	return middle(without), middle(with), held, nil
}

// tearDown makes the subscriptions and watches a PING each millisecond until they are gone.
func (f *field) tearDown(n int, way teardown, words filterWords) (seen waits, err error) {
	clients, err := f.subscribed(n, way.each, words)
	if err != nil {
		return seen, err
	}
	defer closeAll(clients)
	return watch(f.server, "ping", func() error {
		if err := way.end(clients, words); err != nil {
			return err
		}
		return f.allGone()
	})
}

// allGone waits until no pattern is subscribed to any more.
func (f *field) allGone() error {
	c, err := dial(f.server)
	if err != nil {
		return err
	}
	defer c.Close()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		left, err := c.do("PUBSUB", "NUMPAT")
		if err != nil || left == int64(0) {
			return err
		}
	}
	return fmt.Errorf("subscriptions are left after %v", limit)
}
