package main

import (
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
)

// stateful are the packages that hold data and locks. A panic that has passed through one of them may have left a lock held,
// or memory that differs from the journal.
var stateful = []string{"github.com/nexobroker/nexo/brokers/", "github.com/nexobroker/nexo/aof."}

// fence decides what a panic costs. One in parsing or in writing a reply costs its connection, which the door closes. One below
// a broker ends the process: the journal is the truth, and the next start reads it. A panic on a goroutine of a broker's own
// ends the process without this function, with the same exit code.
func fence(logger *slog.Logger, exit func(code int)) func(reason any) {
	return func(reason any) {
		function := statefulFrame()
		if function == "" {
			return
		}
		logger.Error("BUG: panic inside a broker, stopping; the next start recovers from the journal", "panic", reason, "in", function,
			"stack", string(debug.Stack()))
		exit(exitPanic)
	}
}

// statefulFrame is the innermost function of a stateful package on this goroutine's stack; "" if there is none.
func statefulFrame() string {
	var counters [256]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(1, counters[:])])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		for _, prefix := range stateful {
			if strings.HasPrefix(frame.Function, prefix) {
				return frame.Function
			}
		}
	}
	return ""
}
