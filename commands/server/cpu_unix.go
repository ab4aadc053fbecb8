//go:build unix

package server

import (
	"syscall"
	"time"
)

// processorTimes are how long the process has been on a processor, in the kernel and outside.
func processorTimes() (system, user time.Duration) {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0, 0
	}
	return time.Duration(usage.Stime.Nano()), time.Duration(usage.Utime.Nano())
}
