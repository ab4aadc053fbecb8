package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// tick is the unit of times in /proc/<pid>/stat: Linux tells them in hundredths of a second on every machine that Go runs on.
const tick = 10 * time.Millisecond

// processorTime is what the process has used of the processors, in itself and in the kernel, with its children that have
// ended (redis-server rewrites its append-only file in one).
func (s *server) processorTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseProcessorTime(string(text))
}

// parseProcessorTime adds utime, stime, cutime and cstime, the 14th to the 17th word. The second word is the name of the program in
// brackets, and may itself hold spaces and brackets.
func parseProcessorTime(stat string) (time.Duration, error) {
	words := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const first = 14 - 3 // the words begin with the third
	if len(words) < first+4 {
		return 0, fmt.Errorf("/proc tells of the process only %q", stat)
	}
	ticks := int64(0)
	for _, word := range words[first : first+4] {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc tells of the process %q: %w", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// usedBy is the processor time of a process by its own clock, which is exact where /proc tells of hundredths of a second.
func usedBy(pid int) (time.Duration, error) {
	var used syscall.Timespec
	clock := uint32(^pid)<<3 | 2 // as clock_getcpuclockid makes it
	if _, _, problem := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(int32(clock)), uintptr(unsafe.Pointer(&used)), 0); problem != 0 {
		return 0, fmt.Errorf("the processor time of process %d: %w", pid, problem)
	}
	return time.Duration(used.Nano()), nil
}

// during runs work and returns the processor time that the server used meanwhile.
func (s *server) during(work func() error) (time.Duration, error) {
	before, err := s.processorTime()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := s.processorTime()
	return after - before, err
}

// resident is the memory of the process that is in RAM, in bytes.
func (s *server) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc does not tell the resident memory of %s", s.name)
}

// settledMemory gives the server time to put its buffers away (redis-server takes two seconds, a Go program until its next collections),
// and returns the median of the resident memory during the second after. It need not stand still: a server looks
// at its clients and its clocks while nobody asks for anything.
func (s *server) settledMemory(settling time.Duration) (float64, error) {
	const step, samples = 100 * time.Millisecond, 10
	time.Sleep(settling)
	var sizes []float64
	for range samples {
		now, err := s.resident()
		if err != nil {
			return 0, err
		}
		sizes = append(sizes, float64(now))
		time.Sleep(step)
	}
	return median(sizes), nil
}
