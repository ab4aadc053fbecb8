package commands

import (
	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
)

// Deps is what the commands work on.
type Deps struct {
	Store  *store.Broker
	PubSub *pubsub.Broker
	Queue  *queue.Broker
	Stream *stream.Broker
	Clock  brokers.Clock
}

// Server holds the command table and what all connections share. It implements resp.Handler.
type Server struct {
	Deps
	table map[string]*Spec
}

// Session is the state of one connection that commands know of.
type Session struct {
	Database int    // SELECT
	Name     string // CLIENT SETNAME
	User     string
	bus      *busSession   // pub/sub state of the connection; nil until it is first needed
	queue    *queueSession // queue state of the connection; nil until it is first needed
}

// fail writes an error reply: a *brokers.Error as it is, anything else under ERR.
func (ctx *Context) fail(err error) {
	if e, ok := err.(*brokers.Error); ok {
		ctx.W.Error(e.Error())
		return
	}
	ctx.W.Error("ERR " + err.Error())
}

// await makes the reply of the current command wait until the change is as durable as its object asks.
func (ctx *Context) await(r brokers.Receipt) {
	if r.Journal == nil || r.Seq == 0 || r.Durability == brokers.Never {
		return
	}
	ctx.Conn.Await(r.Journal, r.Seq, r.Durability == brokers.Always)
}
