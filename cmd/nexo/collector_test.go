package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, headroom uint64
		want           int
	}{
		{0, 0, 400},
		{10 * mib, 0, 100},          // a machine that does not say how much it has
		{10 * mib, 1024 * mib, 400}, // a small heap on a big machine
		{256 * mib, 1024 * mib, 400},
		{300 * mib, 1024 * mib, 325}, // 341 in steps of 25
		{512 * mib, 1024 * mib, 200},
		{2048 * mib, 1024 * mib, 100},
		{1 << 40, 1 << 36, 100},
	} {
		if got := percentFor(c.live, c.headroom); got != c.want {
			t.Errorf("live %d, headroom %d: %d, want %d", c.live, c.headroom, got, c.want)
		}
	}
}

func TestMemoryOf(t *testing.T) {
	write := func(root, name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(root string, memory uint64) {
		t.Helper()
		if got := memoryOf(root); got != memory {
			t.Errorf("%d bytes, want %d", got, memory)
		}
	}
	root := t.TempDir()
	want(root, 0)
	write(root, "proc/meminfo", "MemTotal:        4194304 kB\nMemFree:          100 kB\n")
	want(root, 4<<30)
	write(root, "proc/self/cgroup", "0::/system.slice/nexo.service\n")
	want(root, 4<<30)
	write(root, "sys/fs/cgroup/system.slice/nexo.service/memory.max", "max\n")
	want(root, 4<<30)
	write(root, "sys/fs/cgroup/system.slice/memory.max", "1073741824\n")
	want(root, 1<<30)
	write(root, "sys/fs/cgroup/system.slice/nexo.service/memory.max", "536870912\n")
	want(root, 512<<20)
	write(root, "proc/self/cgroup", "0::/\n")
	want(root, 4<<30)
	write(root, "sys/fs/cgroup/memory.max", "268435456\n")
	want(root, 256<<20)
}

// TestCollectorFollowsTheHeap grows a heap past the headroom and lets it go again.
func TestCollectorFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(collectorMin)
	defer debug.SetGCPercent(before)
	c := &collector{headroom: 64 << 20, percent: collectorMin}
	c.live[0].Name = "/gc/heap/live:bytes"
	c.adjust()
	becomes := func(want uint64) {
		t.Helper()
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		for deadline := time.Now().Add(10 * time.Second); ; {
			runtime.GC()
			metrics.Read(sample)
			if got := sample[0].Value.Uint64(); got == want {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("the percentage is %d, want %d", got, want)
			}
		}
	}
	becomes(collectorMax)
	held := make([]byte, 128<<20)
	becomes(collectorMin)
	runtime.KeepAlive(held)
	becomes(collectorMax)
}
