// Package keyspace is the commands on the keys of the store: Redis' own and ours. Specs stand above their handlers.
package keyspace

import (
	"math"
	"slices"
	"strconv"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands"
)

// Options are what CONFIG tells of the store at the start.
type Options struct {
	MaxMemory     int64
	MaxMemoryRule string // maxmemory-policy; "" is noeviction
}

// Keyspace is the family of commands on the keys of the store.
type Family struct {
	broker  *store.Broker // nil until Serve
	options Options
}

// NewKeyspace is the family without its broker.
func New(options Options) *Family { return &Family{options: options} }

// Serve gives it the broker, before the first command runs that needs it.
func (f *Family) Serve(broker *store.Broker) { f.broker = broker }

// Both say how many keyspaces there are.
const _ = uint(store.Databases-commands.Databases) + uint(commands.Databases-store.Databases)

// Family is what the server is made of.
func (f *Family) Family() *commands.Family {
	return &commands.Family{
		Specs: slices.Concat(f.genericSpecs(), f.stringSpecs(), f.storeSpecs(),
			commands.Described([]commands.Spec{memorySpec(f)}, "server", "0.1.0", "")),
		MakeRoom: func() error { return f.broker.MakeRoom() }, Measured: true,
		Settings: f.settings(), Sections: f.sections(), ResetStatistics: func() { f.broker.ResetCounters() },
	}
}

// settings are the parameters of the store.
func (f *Family) settings() []commands.Setting {
	policy := f.options.MaxMemoryRule
	if policy == "" {
		policy = store.NoEviction.String()
	}
	number := func(name string, value int, most int64, least int64, apply func(n int)) commands.Setting {
		return commands.Setting{Name: name, Value: strconv.Itoa(value), Check: commands.WholeNumber(least, most),
			Apply: func(_ *commands.Server, value string) {
				apply(commands.Parsed(value))
			}}
	}
	return []commands.Setting{
		{Name: "maxmemory", Value: strconv.FormatInt(f.options.MaxMemory, 10), Check: commands.ByteCount,
			Apply: func(_ *commands.Server, value string) {
				f.broker.SetMaxMemory(int64(commands.Parsed(value)))
			}},
		{Name: "maxmemory-policy", Value: policy, Check: commands.OneWordOf("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
			"allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"), Apply: func(_ *commands.Server, value string) {
			if err := f.broker.SetMaxMemoryPolicy(value); err != nil {
				panic("BUG: the store does not know a policy that was checked: " + err.Error())
			}
		}},
		number("maxmemory-samples", store.SamplesDefault, store.SamplesMax, 1, func(n int) { f.broker.SetSampling(n) }),
		number("lfu-log-factor", store.LogFactorDefault, math.MaxInt32, 0, func(n int) { f.broker.SetLogFactor(n) }),
		number("lfu-decay-time", store.DecayMinutesDefault, math.MaxInt32, 0, func(n int) { f.broker.SetDecayMinutes(n) }),
	}
}

// sections are what INFO tells of the store.
func (f *Family) sections() []commands.Section {
	return []commands.Section{
		{Name: "memory", Write: f.infoMemory, NeedsBrokers: true},
		{Name: "stats", Write: f.infoStats, NeedsBrokers: true},
		{Name: "keyspace", Title: "Keyspace", Write: f.infoKeyspace, NeedsBrokers: true},
	}
}

func (f *Family) infoMemory(line commands.Line) {
	limit, policy := f.broker.MaxMemory()
	used, peak := f.broker.Memory()
	// What maxmemory bounds, so that the two can be compared; the memory of the whole process is the resident one.
	line("used_memory:%d", used)
	line("used_memory_human:%s", commands.HumanBytes(used))
	line("used_memory_peak:%d", peak)
	line("used_memory_peak_human:%s", commands.HumanBytes(peak))
	line("used_memory_peak_perc:%.2f%%", 100*float64(used)/float64(max(1, peak)))
	line("used_memory_store:%d", used)
	line("used_memory_store_rss:%d", f.broker.Resident())
	ratio := 1.0 // of what the store has to what it counts; an empty one has some pages in hand
	if used > 0 {
		ratio = float64(f.broker.Resident()) / float64(used)
	}
	line("mem_fragmentation_ratio:%.2f", ratio)
	line("maxmemory:%d", limit)
	line("maxmemory_human:%s", commands.HumanBytes(limit))
	line("maxmemory_policy:%s", policy)
}

func (f *Family) infoStats(line commands.Line) {
	c := f.broker.Counters()
	line("expired_keys:%d", c.Expired)
	line("evicted_keys:%d", c.Evicted)
	line("keyspace_hits:%d", c.Hits)
	line("keyspace_misses:%d", c.Misses)
}

func (f *Family) infoKeyspace(line commands.Line) {
	for db, size := range f.broker.Counters().Databases {
		if size.Keys > 0 {
			line("db%d:keys=%d,expires=%d,avg_ttl=0", db, size.Keys, size.Expires)
		}
	}
}
