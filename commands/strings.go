package commands

func (s *Server) stringSpecs() []Spec { return nil }
