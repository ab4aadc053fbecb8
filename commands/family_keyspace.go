package commands

import (
	"slices"

	"github.com/nexobroker/nexo/brokers/store"
)

// KeyspaceOptions are what CONFIG tells of the store at the start.
type KeyspaceOptions struct {
	MaxMemory     int64
	MaxMemoryRule string // maxmemory-policy; "" is noeviction
}

// Keyspace is the family of commands on the keys of the store.
type Keyspace struct {
	broker  *store.Broker // nil until Serve
	options KeyspaceOptions
}

// NewKeyspace is the family without its broker.
func NewKeyspace(options KeyspaceOptions) *Keyspace { return &Keyspace{options: options} }

// Serve gives it the broker, before the first command runs that needs it.
func (f *Keyspace) Serve(broker *store.Broker) { f.broker = broker }

// Both say how many keyspaces there are.
const _ = uint(store.Databases-Databases) + uint(Databases-store.Databases)

// Family is what the server is made of.
func (f *Keyspace) Family() *Family {
	return &Family{
		Specs:    slices.Concat(f.genericSpecs(), f.stringSpecs(), f.storeSpecs(), Described([]Spec{memorySpec(f)}, "server", "0.1.0", "")),
		MakeRoom: func() error { return f.broker.MakeRoom() }, Measured: true,
		Settings: f.settings(), Sections: f.sections(), ResetStatistics: func() { f.broker.ResetCounters() },
	}
}
