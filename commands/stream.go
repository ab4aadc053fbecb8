package commands

func (s *Server) streamSpecs() []Spec { return nil }
