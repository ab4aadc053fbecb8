package commands

func (s *Server) busSpecs() []Spec { return nil }

// busSession is the pub/sub state of one connection.
type busSession struct{}
