package commands

func (s *Server) serverSpecs() []Spec { return nil }
