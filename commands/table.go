package commands

// specs lists every command of the server, family by family.
func (s *Server) specs() []Spec {
	var all []Spec
	for _, family := range [][]Spec{
		s.connectionSpecs(), s.serverSpecs(), s.introspectionSpecs(), s.diagnosisSpecs(),
		s.genericSpecs(), s.stringSpecs(), s.storeSpecs(),
		s.pubsubSpecs(), s.busSpecs(),
		s.queueSpecs(), s.streamSpecs(),
	} {
		all = append(all, family...)
	}
	return all
}
