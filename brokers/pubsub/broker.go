package pubsub

// Broker is replaced by its owner.
type Broker struct{}
