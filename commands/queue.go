package commands

func (s *Server) queueSpecs() []Spec { return nil }
