package commands

func (s *Server) pubsubSpecs() []Spec { return nil }
