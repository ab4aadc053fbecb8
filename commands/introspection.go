package commands

func (s *Server) introspectionSpecs() []Spec { return nil }
