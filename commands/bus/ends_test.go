package bus

import (
	"fmt"
	"net"
	"testing"

	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

// countingConn counts what a session asks of its connection.
type countingConn struct {
	held, heavy, ends, pushed int
	inLine                    func()
}

func (c *countingConn) ID() uint64              { return 1 }
func (c *countingConn) RemoteAddr() net.Addr    { return &net.TCPAddr{} }
func (c *countingConn) FlushReplies()           {}
func (c *countingConn) Push(*resp.Message) bool { c.pushed++; return true }
func (c *countingConn) Hold(n int)              { c.held += n }
func (c *countingConn) TryHold(n int) bool      { c.held += n; return true }
func (c *countingConn) Admit()                  { c.heavy++ }
func (c *countingConn) AdmitEnd() {
	c.ends++
	if c.inLine != nil {
		c.inLine()
	}
}
func (c *countingConn) PullPushes(func([]byte) (_ []byte, _ bool)) {}
func (c *countingConn) Kill()                                      {}

// TestManySubscriptionsEndInLine: what ends more subscriptions than a light command may name asks for a slot first, and gives back all
// that they took.
func TestManySubscriptionsEndInLine(t *testing.T) {
	broker, err := pubsub.Open(pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	for _, test := range []struct {
		name                       string
		subscriptions, heavy, ends int
		end                        func(*busSession)
	}{
		{"few, reset", endsAtOnce, 0, 0, func(b *busSession) { b.reset() }},
		{"few, gone", endsAtOnce, 0, 0, func(b *busSession) { b.closed(true) }},
		{"many, reset", endsAtOnce + 1, 1, 0, func(b *busSession) { b.reset() }},
		{"many, gone", endsAtOnce + 1, 0, 1, func(b *busSession) { b.closed(true) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := &countingConn{}
			b := newBusSession(broker, &commands.Session{}, conn)
			b.filters = map[string]*interest{}
			for n := range test.subscriptions {
				request := filterRequest{filter: fmt.Sprintf("site/%d/+", n/2)}
				if n%2 == 1 {
					request.group = "workers"
				}
				i := b.newFilterInterest(request, false)
				if err := b.take(i.memory); err != nil {
					t.Fatal(err)
				}
				b.filters[request.key()] = i
				b.share(i, request.key())
				broker.Subscribe(&i.Subscription, nil)
			}
			test.end(b)
			if conn.heavy != test.heavy || conn.ends != test.ends {
				t.Errorf("asked for %d slots and %d of ends, not %d and %d", conn.heavy, conn.ends, test.heavy, test.ends)
			}
			if left := broker.Stats(); left.Subscriptions != 0 || left.Patterns != 0 || conn.held != 0 || len(b.shared) != 0 {
				t.Errorf("left: %+v, %d bytes, %d shared", left, conn.held, len(b.shared))
			}
		})
	}
}

// TestLastWordsAreNotInLine: who leaves many subscriptions and a will behind is heard before they are taken back.
func TestLastWordsAreNotInLine(t *testing.T) {
	broker, err := pubsub.Open(pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	conn := &countingConn{}
	b := newBusSession(broker, &commands.Session{}, conn)
	b.filters = map[string]*interest{}
	for n := range endsAtOnce + 1 {
		i := b.newFilterInterest(filterRequest{filter: fmt.Sprintf("site/%d/+", n)}, false)
		b.filters[i.Name] = i
		broker.Subscribe(&i.Subscription, nil)
	}
	if err := b.setWill(&will{topic: []byte("last"), payload: []byte("words")}); err != nil {
		t.Fatal(err)
	}
	conn.inLine = func() {
		if n := broker.Stats().Published; n != 1 {
			t.Errorf("%d messages are published when the line begins", n)
		}
	}
	if b.closed(false); conn.ends != 1 {
		t.Errorf("%d ends were asked for", conn.ends)
	}
}

// TestWhoHasClosedGetsNothing: although its socket may still take something, a connection in line for its end is passed over, by its own
// will and by the messages to a shared group that it is a member of.
func TestWhoHasClosedGetsNothing(t *testing.T) {
	broker, err := pubsub.Open(pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	member := func(conn *countingConn, filters int) *busSession {
		b := newBusSession(broker, &commands.Session{}, conn)
		b.filters = map[string]*interest{}
		for n := range filters {
			request := filterRequest{filter: "work", group: fmt.Sprint("group", n)}
			i := b.newFilterInterest(request, false)
			b.filters[request.key()] = i
			b.share(i, request.key())
			broker.Subscribe(&i.Subscription, nil)
		}
		return b
	}
	closing, other := &countingConn{}, &countingConn{}
	b, left := member(closing, endsAtOnce+1), member(other, 1)
	if err := b.setWill(&will{topic: []byte("work"), payload: []byte("mine")}); err != nil {
		t.Fatal(err)
	}
	const messages = 10
	closing.inLine = func() {
		for range messages {
			left.batch.Publish([]byte("work"), []byte("more"), false)
			left.batch.Flush()
		}
	}
	b.closed(false)
	if closing.pushed != 0 || other.pushed != messages+1 {
		t.Errorf("%d messages to the one that has closed, %d of %d to the other", closing.pushed, other.pushed, messages+1)
	}
	left.closed(true)
}
