package commands

func (s *Server) queueSpecs() []Spec { return nil }

// queueSession is the queue state of one connection.
type queueSession struct{}

// queueClosed gives back what the connection still holds: jobs leased with BIND return to their queues at once,
// uncounted. The dispatcher calls it once, when the connection has closed.
func (s *Server) queueClosed(ctx *Context) {}
