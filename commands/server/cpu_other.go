//go:build !unix

package server

import "time"

// processorTimes are not known here.
func processorTimes() (system, user time.Duration) { return 0, 0 }
