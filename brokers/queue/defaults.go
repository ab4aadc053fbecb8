package queue

// Check refuses values that no queue may have.
func (c Config) Check() error { return c.check() }

// Defaults is the configuration of queues that are made without a word about it: Options.Defaults, or DefaultConfig.
func (b *Broker) Defaults() Config {
	if b.options.Defaults != (Config{}) {
		return b.options.Defaults
	}
	return DefaultConfig(b.options.Durability)
}
