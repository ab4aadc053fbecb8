package commands

func (s *Server) streamSpecs() []Spec { return nil }

// streamClosed gives back what the connection had taken from groups.
func (s *Server) streamClosed(ctx *Context) {}
