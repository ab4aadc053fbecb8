package commands

func (s *Server) storeSpecs() []Spec { return nil }
