package main

import (
	"runtime/debug"
	"sync/atomic"
)

// handBack returns memory to the system that much data has left. The runtime by itself would collect it when the heap has grown past
// what was live at the last collection, which after a purge may be never, and at the latest two minutes later.
type handBack struct{ busy atomic.Bool }

// begin collects and hands back in the background, unless that is under way.
func (h *handBack) begin() {
	if !h.busy.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer h.busy.Store(false)
		debug.FreeOSMemory()
	}()
}
