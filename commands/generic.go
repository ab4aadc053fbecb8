package commands

func (s *Server) genericSpecs() []Spec { return nil }
