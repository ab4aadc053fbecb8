package commands

func (s *Server) busSpecs() []Spec { return nil }

// busSession is the pub/sub state of one connection. Its methods belong to the connection's goroutine and may be called
// on nil, which is a connection that has never used the bus.
type busSession struct{}

// flush hands what the batch has published to its subscribers. It is called when a batch of commands is over.
func (b *busSession) flush(ctx *Context) {}

// closed ends all subscriptions, and publishes the will unless the client said good-bye (clean).
func (b *busSession) closed(ctx *Context, clean bool) {}

// subscribed tells whether the connection holds any subscription; in RESP2 it may then send only few commands.
func (b *busSession) subscribed() bool { return false }

// reset ends all subscriptions and forgets the will, as RESET asks.
func (b *busSession) reset(ctx *Context) {}
