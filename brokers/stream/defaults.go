package stream

// Defaults is the configuration of streams that are made without a word about it: Options.Defaults, or DefaultConfig.
func (b *Broker) Defaults() Config {
	if b.options.Defaults != (Config{}) {
		return b.options.Defaults
	}
	return DefaultConfig(b.options.Durability)
}

// GroupDefaults is the same for groups: Options.GroupDefaults, or DefaultGroupConfig.
func (b *Broker) GroupDefaults() GroupConfig {
	if b.options.GroupDefaults != (GroupConfig{}) {
		return b.options.GroupDefaults
	}
	return DefaultGroupConfig()
}
