package commands

import (
	"math"
	"strconv"

	"github.com/nexobroker/nexo/brokers/store"
)

// settings are the parameters of the store.
func (f *Keyspace) settings() []Setting {
	policy := f.options.MaxMemoryRule
	if policy == "" {
		policy = store.NoEviction.String()
	}
	number := func(name string, value int, most int64, least int64, apply func(n int)) Setting {
		return Setting{Name: name, Value: strconv.Itoa(value), Check: WholeNumber(least, most), Apply: func(_ *Server, value string) {
			apply(Parsed(value))
		}}
	}
	return []Setting{
		{Name: "maxmemory", Value: strconv.FormatInt(f.options.MaxMemory, 10), Check: ByteCount, Apply: func(_ *Server, value string) {
			f.broker.SetMaxMemory(int64(Parsed(value)))
		}},
		{Name: "maxmemory-policy", Value: policy, Check: OneWordOf("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
			"allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"), Apply: func(_ *Server, value string) {
			if err := f.broker.SetMaxMemoryPolicy(value); err != nil {
				panic("BUG: the store does not know a policy that was checked: " + err.Error())
			}
		}},
		number("maxmemory-samples", store.SamplesDefault, store.SamplesMax, 1, func(n int) { f.broker.SetSampling(n) }),
		number("lfu-log-factor", store.LogFactorDefault, math.MaxInt32, 0, func(n int) { f.broker.SetLogFactor(n) }),
		number("lfu-decay-time", store.DecayMinutesDefault, math.MaxInt32, 0, func(n int) { f.broker.SetDecayMinutes(n) }),
	}
}
