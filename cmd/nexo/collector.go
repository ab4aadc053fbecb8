package main

import (
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers/store"
)

// While the garbage collector marks, what is light waits behind its workers: nearly every publish that takes over a millisecond
// beside a flood of pushes falls into a collection. A heap that may grow further before the next one is collected less often,
// so the server lets it, as far as the machine has the memory.
const (
	collectorMin   = 100 // percent of what is live that may be added before the next collection; Go's own setting
	collectorMax   = 400
	collectorStep  = 25
	collectorShare = 16        // above collectorMin, what may be added is at most this part of the machine's memory,
	collectorMost  = 256 << 20 // and at most so many bytes
	collectorLimit = 16        // and at most this part of maxmemory: who limits the store to little wants a small process
)

// collector sets the garbage collector's percentage anew after each collection.
type collector struct {
	headroom uint64 // bytes that may be added before the next collection, where collectorMin allows less
	percent  int
	live     [1]metrics.Sample
	store    atomic.Pointer[store.Broker] // nil before it is open
}

// relaxCollector begins, unless the environment sets the percentage.
func relaxCollector() *collector {
	c := &collector{headroom: min(memoryOf("/")/collectorShare, collectorMost), percent: collectorMin}
	if os.Getenv("GOGC") == "" {
		c.live[0].Name = "/gc/heap/live:bytes"
		c.adjust()
	}
	return c
}

// watch tells the collector of the store, from its next collection on.
func (c *collector) watch(b *store.Broker) { c.store.Store(b) }

// adjust is called by the collection itself: as the finalizer of an object that nobody holds.
func (c *collector) adjust() {
	metrics.Read(c.live[:])
	headroom := c.headroom
	if b := c.store.Load(); b != nil {
		if limit, _ := b.MaxMemory(); limit > 0 {
			headroom = min(headroom, uint64(limit)/collectorLimit)
		}
	}
	if percent := percentFor(c.live[0].Value.Uint64(), headroom); percent != c.percent {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
	// It holds a pointer: the small objects without one are freed in groups, and late.
	runtime.SetFinalizer(&struct{ *collector }{c}, func(*struct{ *collector }) { c.adjust() })
}

// percentFor goes in steps, so that the percentage, for which the world is stopped, is not set for little.
func percentFor(live, headroom uint64) int {
	if live == 0 {
		return collectorMax
	}
	return int(min(max(headroom*100/live/collectorStep*collectorStep, collectorMin), collectorMax))
}

// memoryOf is how much memory the process may use on a machine whose files stand under root: all there is, or what the
// control groups (version 2) of the process allow; 0 when the machine does not say.
func memoryOf(root string) uint64 {
	memory := uint64(0)
	text, _ := os.ReadFile(path.Join(root, "proc/meminfo"))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kibibytes, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			memory = kibibytes << 10
		}
	}
	text, _ = os.ReadFile(path.Join(root, "proc/self/cgroup"))
	_, group, _ := strings.Cut(strings.TrimSpace(string(text)), "0::")
	for group = path.Join("/", group); ; group = path.Dir(group) {
		text, _ := os.ReadFile(path.Join(root, "sys/fs/cgroup", group, "memory.max"))
		if limit, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			memory = min(memory, limit)
		}
		if group == "/" {
			return memory
		}
	}
}
