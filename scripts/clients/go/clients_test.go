// Package clients runs the common Go client libraries, each with its defaults, against the real server.
package clients

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

func TestLibraries(t *testing.T) {
	for name, open := range libraries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			client, err := open(s.addr)
			if err != nil {
				t.Fatalf("connect: %v", err)
			}
			defer client.Close()
			for _, step := range []struct {
				name string
				run  func(*testing.T, library)
			}{
				{"set and get", setAndGet}, {"pipeline", pipeline}, {"wildcards and retained values", wildcards},
				{"queue", queue}, {"blocking pop", blockingPop}, {"stream", stream},
			} {
				if !t.Run(step.name, func(t *testing.T) { step.run(t, client) }) {
					return
				}
			}
			t.Run("restart", func(t *testing.T) { restart(t, s, client) })
		})
	}
}

func setAndGet(t *testing.T, client library) {
	value := "v\r\n\x00\xff " + strings.Repeat("x", 100_000)
	if err := client.Set("client:key", value); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get("client:key")
	if err != nil || got != value {
		t.Fatalf("GET: %d bytes, %v; want the %d bytes that were set", len(got), err, len(value))
	}
	if reply, err := client.Do("GET", "client:missing"); err != nil || reply != nil {
		t.Fatalf("GET of a missing key: %v, %v; want nil", reply, err)
	}
	if _, err := client.Do("GET"); err == nil || !strings.Contains(err.Error(), "wrong number of arguments for 'get'") {
		t.Fatalf("GET without a key: error %v", err)
	}
}

func pipeline(t *testing.T, client library) {
	values, err := client.Pipeline("client:counter", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range values {
		if value != int64(i+1) {
			t.Fatalf("reply %d of the pipeline is %d", i, value)
		}
	}
}

func wildcards(t *testing.T, client library) {
	must(t, client, "NPUB", "client/oven/temperature", "213", "RETAIN")
	must(t, client, "NPUB", "client/oven/zone/temperature", "300", "RETAIN")
	next, stop, err := client.Subscribe("client/+/temperature")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	expect := func(topic, payload string) {
		t.Helper()
		want := message{"client/+/temperature", topic, payload}
		if got, err := next(); err != nil || got != want {
			t.Fatalf("received %+v, %v; want %+v", got, err, want)
		}
	}
	expect("client/oven/temperature", "213")
	if receivers := must(t, client, "NPUB", "client/press/temperature", "71"); receivers != int64(1) {
		t.Fatalf("NPUB: %v receivers, want 1", receivers)
	}
	must(t, client, "PUBLISH", "client/press/other/temperature", "not for us")
	must(t, client, "PUBLISH", "client/saw/temperature", "55")
	expect("client/press/temperature", "71")
	expect("client/saw/temperature", "55")
}

func queue(t *testing.T, client library) {
	id := must(t, client, "QPUSH", "client-jobs", "payload", "PRIORITY", "3")
	handle, payload, attempt := pop(t, must(t, client, "QPOP", "client-jobs", "BLOCK", "1s"))
	if payload != "payload" || attempt != 1 || !strings.HasPrefix(handle, fmt.Sprint(id)+"-") {
		t.Fatalf("QPOP: handle %q, payload %q, attempt %d after QPUSH answered %v", handle, payload, attempt, id)
	}
	if n := must(t, client, "QACK", "client-jobs", handle); n != int64(1) {
		t.Fatalf("QACK: %v", n)
	}
	if n := must(t, client, "QACK", "client-jobs", handle); n != int64(0) {
		t.Fatalf("second QACK: %v", n)
	}
	if reply := must(t, client, "QPOP", "client-jobs"); reply != nil {
		t.Fatalf("QPOP of an empty queue: %v", reply)
	}
	if _, err := client.Do("QPUSH", "client-jobs", "x", "BOGUS"); err == nil || !strings.Contains(err.Error(), "syntax error near 'BOGUS'") {
		t.Fatalf("QPUSH with an unknown option: %v", err)
	}
}

func blockingPop(t *testing.T, client library) {
	type result struct {
		reply any
		err   error
	}
	must(t, client, "QCREATE", "client-later")
	popped := make(chan result, 1)
	go func() {
		reply, err := client.Do("QPOP", "client-later", "BLOCK", "4s")
		popped <- result{reply, err}
	}()
	must(t, client, "QPUSH", "client-later", "late", "DELAY", "300ms")
	r := <-popped
	if r.err != nil {
		t.Fatal(r.err)
	}
	handle, payload, _ := pop(t, r.reply)
	if payload != "late" {
		t.Fatalf("payload %q", payload)
	}
	must(t, client, "QACK", "client-later", handle)
}

func stream(t *testing.T, client library) {
	for i := 1; i <= 5; i++ {
		if offset := must(t, client, "XAPPEND", "client-events", fmt.Sprint("event ", i)); offset != int64(i) {
			t.Fatalf("XAPPEND %d answered %v", i, offset)
		}
	}
	reply, _ := must(t, client, "XCONSUME", "client-events", "group", "consumer", "COUNT", "3", "MK").([]any)
	if len(reply) != 3 {
		t.Fatalf("XCONSUME answered %v", reply)
	}
	epoch, entries := reply[0], reply[2].([]any)
	if len(entries) != 3 {
		t.Fatalf("XCONSUME COUNT 3 gave %v", entries)
	}
	for i, entry := range entries {
		fields := entry.([]any)
		if fields[0] != int64(i+1) || fields[2] != int64(1) || fields[3] != fmt.Sprint("event ", i+1) {
			t.Fatalf("entry %d is %v", i, fields)
		}
	}
	if n := must(t, client, "XACK", "client-events", "group", "#1..#3", "EPOCH", fmt.Sprint(epoch)); n != int64(3) {
		t.Fatalf("XACK: %v", n)
	}
	reply, _ = must(t, client, "XFETCH", "client-events", "first", "COUNT", "10").([]any)
	if len(reply) != 4 || len(reply[3].([]any)) != 5 {
		t.Fatalf("XFETCH answered %v", reply)
	}
}

// again is must for a client whose connections have died: each of those it holds may fail one command before it is
// replaced.
func again(t *testing.T, client library, args ...string) any {
	t.Helper()
	var reply any
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if reply, err = client.Do(args...); err == nil {
			return reply
		}
	}
	t.Fatalf("%v: the client did not reconnect: %v", args, err)
	return nil
}

// restart checks that the client finds the server again by itself, and that what was acknowledged is still there.
func restart(t *testing.T, s *server, client library) {
	must(t, client, "QPUSH", "client-durable", "kept")
	must(t, client, "XAPPEND", "client-events", "event 6")
	s.restart(func() {
		// Once it is connected again a library either passes the error on or waits until the load is over.
		outcome := make(chan error, 1)
		go func() {
			var err error
			for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
				if err = client.Set("client:early", "call"); err == nil || strings.HasPrefix(err.Error(), "LOADING Nexo is loading its logs: ") {
					break
				}
			}
			outcome <- err
		}()
		select {
		case err := <-outcome:
			if err == nil || !strings.HasPrefix(err.Error(), "LOADING Nexo is loading its logs: ") {
				t.Errorf("SET while the logs are loaded: %v", err)
			}
		case <-time.After(3 * time.Second):
			t.Log("the library waits while the logs are loaded")
		}
	})
	_, payload, _ := pop(t, again(t, client, "QPOP", "client-durable"))
	if payload != "kept" {
		t.Fatalf("after the restart the job is %q", payload)
	}
	reply, _ := again(t, client, "XCONSUME", "client-events", "group", "consumer").([]any)
	if len(reply) != 3 || len(reply[2].([]any)) != 3 {
		t.Fatalf("after the restart the group gets %v; want events 4 to 6", reply)
	}
}

// TestTimedOutPopLosesNothing has go-redis give up on QPOP BLOCK and send it again: the connection that was given up
// must not be handed the job.
func TestTimedOutPopLosesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ctx := context.Background()
	impatient := goredis.NewClient(&goredis.Options{Addr: s.addr, ReadTimeout: 300 * time.Millisecond})
	defer impatient.Close()
	producer := goredis.NewClient(&goredis.Options{Addr: s.addr})
	defer producer.Close()
	if err := producer.Do(ctx, "QCREATE", "impatient", "LEASE", "10m").Err(); err != nil {
		t.Fatal(err)
	}

	// By the time it reports the timeout, go-redis has sent QPOP four times, each on a new connection.
	if err := impatient.Do(ctx, "QPOP", "impatient", "BLOCK", "0").Err(); !timedOut(err) {
		t.Fatalf("QPOP on an empty queue: %v; want a timeout of the client", err)
	}
	if err := producer.Do(ctx, "QPUSH", "impatient", "job").Err(); err != nil {
		t.Fatal(err)
	}
	reply, err := producer.Do(ctx, "QPOP", "impatient", "BLOCK", "2s").Result()
	if err != nil {
		t.Fatalf("the job went to a client that is gone: %v", err)
	}
	handle, payload, attempt := pop(t, reply)
	if payload != "job" || attempt != 1 {
		t.Fatalf("payload %q at attempt %d; want the job at attempt 1", payload, attempt)
	}
	producer.Do(ctx, "QACK", "impatient", handle)
}

// TestImpatientConsumers pushes jobs at all times while consumers keep timing out. A job may meet a client in the very
// moment in which it gives up; its lease then brings it back. Every job must be acknowledged exactly once.
func TestImpatientConsumers(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	const jobs, consumers = 60, 3
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	producer := goredis.NewClient(&goredis.Options{Addr: s.addr})
	defer producer.Close()
	if err := producer.Do(ctx, "QCREATE", "hasty", "LEASE", "1s", "MAXATTEMPTS", "100", "BACKOFF", "NONE").Err(); err != nil {
		t.Fatal(err)
	}
	acked := make(chan string, jobs)
	var running sync.WaitGroup
	consuming, stop := context.WithCancel(ctx)
	for i := range consumers {
		// The timeouts differ, so that they meet the pushes at different times.
		client := goredis.NewClient(&goredis.Options{Addr: s.addr, ReadTimeout: time.Duration(40+17*i) * time.Millisecond})
		defer client.Close()
		running.Go(func() {
			for consuming.Err() == nil {
				reply, err := client.Do(consuming, "QPOP", "hasty", "BLOCK", "5s").Result()
				if err != nil {
					continue // a timeout: ask again
				}
				job := reply.([]any)[0].([]any)
				// By a patient client: whether an acknowledgement that timed out was counted, nobody could tell.
				if n, err := producer.Do(ctx, "QACK", "hasty", job[0]).Int(); err == nil && n == 1 {
					acked <- job[1].(string)
				}
			}
		})
	}
	for i := range jobs {
		if err := producer.Do(ctx, "QPUSH", "hasty", fmt.Sprint("job ", i), "DELAY", fmt.Sprint(i*37)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for len(got) < jobs {
		select {
		case payload := <-acked:
			got = append(got, payload)
		case <-ctx.Done():
			info, _ := producer.Do(context.Background(), "QLEN", "hasty", "INFLIGHT").Result()
			t.Fatalf("%d of %d jobs acknowledged; %v in flight", len(got), jobs, info)
		}
	}
	stop()
	running.Wait()
	sort.Strings(got)
	for i := 1; i < len(got); i++ {
		if got[i] == got[i-1] {
			t.Fatalf("%q was acknowledged twice", got[i])
		}
	}
}

// must runs a command that may not fail.
func must(t *testing.T, client library, words ...string) any {
	t.Helper()
	reply, err := client.Do(words...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return reply
}

// pop takes apart the reply of a QPOP of one job.
func pop(t *testing.T, reply any) (handle, payload string, attempt int64) {
	t.Helper()
	jobs, _ := reply.([]any)
	if len(jobs) != 1 {
		t.Fatalf("QPOP answered %v; want one job", reply)
	}
	job, _ := jobs[0].([]any)
	if len(job) != 3 {
		t.Fatalf("a job is %v; want handle, payload, attempt", jobs[0])
	}
	attempt, ok := job[2].(int64)
	if !ok {
		t.Fatalf("the attempt is %#v; want an integer", job[2])
	}
	return job[0].(string), job[1].(string), attempt
}
