package commands

// sections are what INFO tells of the store.
func (f *Keyspace) sections() []Section {
	return []Section{
		{Name: "memory", Write: f.infoMemory, NeedsBrokers: true},
		{Name: "stats", Write: f.infoStats, NeedsBrokers: true},
		{Name: "keyspace", Title: "Keyspace", Write: f.infoKeyspace, NeedsBrokers: true},
	}
}

func (f *Keyspace) infoMemory(line Line) {
	limit, policy := f.broker.MaxMemory()
	used, peak := f.broker.Memory()
	// What maxmemory bounds, so that the two can be compared; the memory of the whole process is the resident one.
	line("used_memory:%d", used)
	line("used_memory_human:%s", HumanBytes(used))
	line("used_memory_peak:%d", peak)
	line("used_memory_peak_human:%s", HumanBytes(peak))
	line("used_memory_peak_perc:%.2f%%", 100*float64(used)/float64(max(1, peak)))
	line("used_memory_store:%d", used)
	line("maxmemory:%d", limit)
	line("maxmemory_human:%s", HumanBytes(limit))
	line("maxmemory_policy:%s", policy)
}

func (f *Keyspace) infoStats(line Line) {
	c := f.broker.Counters()
	line("expired_keys:%d", c.Expired)
	line("evicted_keys:%d", c.Evicted)
	line("keyspace_hits:%d", c.Hits)
	line("keyspace_misses:%d", c.Misses)
}

func (f *Keyspace) infoKeyspace(line Line) {
	for db, size := range f.broker.Counters().Databases {
		if size.Keys > 0 {
			line("db%d:keys=%d,expires=%d,avg_ttl=0", db, size.Keys, size.Expires)
		}
	}
}
