package processtest

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOnePushWakesOneOfTenThousand blocks 10,000 consumers on one queue over sockets: a push is delivered to one of them, the one
// that has waited longest first, and the others go on waiting until there is a job for each.
func TestOnePushWakesOneOfTenThousand(t *testing.T) {
	const consumers = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < consumers+200 {
		t.Skipf("the limit of %d open files is too low for %d connections: raise it with ulimit -n", limit.Cur, consumers)
	}
	s := start(t, t.TempDir(), "--maxclients", fmt.Sprint(consumers+100), "--log-level", "error")
	s.await(t)
	admin, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	do := func(words ...any) any {
		t.Helper()
		reply, err := admin.do(words...)
		if err != nil {
			t.Fatalf("%v: %v", words[0], err)
		}
		return reply
	}
	blocked := func() int {
		t.Helper()
		found := regexp.MustCompile(`blocked_clients:(\d+)`).FindStringSubmatch(do("INFO", "clients").(string))
		n, _ := strconv.Atoi(found[1])
		return n
	}
	awaitBlocked := func(want int) {
		t.Helper()
		got := 0
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if got = blocked(); got == want {
				return
			}
		}
		t.Fatalf("%d clients are blocked, want %d", got, want)
	}
	do("QCREATE", "q")

	type delivery struct {
		consumer int
		reply    string
	}
	deliveries := make(chan delivery, consumers) // no reader ever waits
	request := appendCommand(nil, "QPOP", "q", "BLOCK", "0")
	for n := range consumers {
		conn, err := net.DialTimeout("tcp", s.addr, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			awaitBlocked(1) // it is the first in line, whatever the order of the others
		}
		go func() {
			buf := make([]byte, 128)
			for total := 0; ; {
				n0, err := conn.Read(buf[total:])
				if total += n0; total > 0 && (err != nil || strings.Count(string(buf[:total]), "\r\n") >= 7) {
					deliveries <- delivery{n, string(buf[:total])}
					total = 0
				}
				if err != nil {
					return
				}
			}
		}()
	}
	awaitBlocked(consumers)

	served := map[int]bool{}
	jobs := map[string]bool{}
	next := func() (consumer int) {
		t.Helper()
		select {
		case d := <-deliveries:
			part := strings.Split(d.reply, "\r\n") // *1 *3 $n handle $n payload :attempt
			if len(part) != 8 || part[0] != "*1" || part[6] != ":1" {
				t.Fatalf("consumer %d got %q", d.consumer, d.reply)
			}
			if served[d.consumer] || jobs[part[5]] {
				t.Fatalf("consumer %d got %s: a second job, or one that another has", d.consumer, part[5])
			}
			served[d.consumer], jobs[part[5]] = true, true
			return d.consumer
		case <-time.After(30 * time.Second):
			t.Fatalf("no delivery after %d", len(served))
			return 0
		}
	}
	const single = 100
	began := time.Now()
	for n := range single {
		do("QPUSH", "q", fmt.Sprint("job ", n))
		if consumer := next(); n == 0 && consumer != 0 {
			t.Errorf("consumer %d was served before the one that waited longest", consumer)
		}
		awaitBlocked(consumers - n - 1) // nobody else was woken
	}
	t.Logf("a push, its delivery and the count took %v with %d blocked, resident %d MiB", time.Since(began)/single, consumers,
		s.residentBytes(t)>>20)
	if len(deliveries) != 0 {
		t.Errorf("%d more were served", len(deliveries))
	}
	for pushed := single; pushed < consumers; {
		command := []any{"QMPUSH", "q", min(1000, consumers-pushed)}
		for range command[2].(int) {
			command = append(command, fmt.Sprint("job ", pushed))
			pushed++
		}
		do(command...)
	}
	for len(served) < consumers {
		next()
	}
	awaitBlocked(0)
	if n := do("QLEN", "q", "INFLIGHT"); n != int64(consumers) {
		t.Errorf("%v jobs are in flight", n)
	}
}
