package main

import (
	"os"
	"runtime"
)

// spareProcessors is how many processors the Go scheduler gets beside those of the machine. A processor of the scheduler stays
// taken for a while by a goroutine that is in a system call, as a journal's writer is in its fsync, and one that has nothing to
// run is what looks at the network at once. Without spare ones a small message waits, on a small machine, for whoever has both.
const spareProcessors = 2

// shareProcessors adds the spare processors, unless the environment sets the number, and returns how many connections may do
// heavy work at a time: one less than the machine has processors, so that one of these is always free for what is light.
func shareProcessors() (heavy int) {
	processors := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors + spareProcessors)
	}
	return max(1, processors-1)
}
