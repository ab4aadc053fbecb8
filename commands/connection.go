package commands

func (s *Server) connectionSpecs() []Spec { return nil }
