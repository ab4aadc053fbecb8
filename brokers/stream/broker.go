package stream

// Broker is replaced by its owner.
type Broker struct{}
