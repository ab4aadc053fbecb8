package store

// Broker is replaced by its owner.
type Broker struct{}
