package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
)

// The figures that the dashboard is held to. Each benchmark reports what it is about; ns/op means nothing here.
//
//	go test ./cmd/nexo -run '^$' -bench Dashboard -benchtime 1x

func inMemory(o *options) { o.fsync = brokers.Never }

// percentile99 is the time that one in a hundred takes longer than.
func percentile99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}

func benchFeed(b *testing.B, l *liveServer) *websocket.Conn {
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(l.base, "http", "ws", 1)+"/api/ws?v=1", http.Header{"Origin": {l.base}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	if _, _, err := conn.ReadMessage(); err != nil { // hello
		b.Fatal(err)
	}
	return conn
}

// BenchmarkDashboardWindow asks for windows of 60 of 10,000 queues, sorted and filtered in many ways, while the feed ticks.
func BenchmarkDashboardWindow(b *testing.B) {
	l := startLive(b, inMemory)
	for i := range 10_000 {
		if _, _, err := l.s.source.brokers.queue.Push(fmt.Appendf(nil, "queue-%05d", i), [][]byte{[]byte("job")}, &queue.PushOptions{},
			nil); err != nil {
			b.Fatal(err)
		}
	}
	conn := benchFeed(b, l)
	sorts := []string{"name", "-name", "ready", "-ready", "-dead", "-pushRate", "oldestMs"}
	for b.Loop() {
		var times []time.Duration
		for i := range 500 {
			began := time.Now()
			frame := fmt.Sprintf(`{"t":"sub","id":1,"topic":"queues","q":{"sort":%q,"filter":%q,"from":%d,"n":60}}`, sorts[i%len(sorts)],
				fmt.Sprint(i%10), i*7)
			if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
				b.Fatal(err)
			}
			for {
				_, text, err := conn.ReadMessage()
				if err != nil {
					b.Fatal(err)
				}
				if strings.HasPrefix(string(text), `{"t":"snap"`) {
					break
				}
			}
			times = append(times, time.Since(began))
		}
		b.ReportMetric(float64(percentile99(times).Microseconds())/1000, "p99-ms")
	}
}

// BenchmarkDashboardSearch pushes up to a thousand jobs a second over a connection, alone and while searches that find nothing go
// through a million jobs, one after the other: by the dashboard's cursor and by QPEEK's offset, with the jobs in memory and with
// nearly all of them on disk, and through as many dead letters.
func BenchmarkDashboardSearch(b *testing.B) {
	processors := runtime.GOMAXPROCS(0)
	heavy := shareProcessors()
	defer runtime.GOMAXPROCS(processors)
	for _, fsync := range []brokers.Durability{brokers.Never, brokers.Always} {
		for _, c := range []struct {
			name   string
			memory int64
			state  string
		}{{"memory", 1 << 30, "ready"}, {"disk", 16 << 20, "ready"}, {"dead", 1 << 30, "dead"}} {
			b.Run(strings.ToLower(fsync.String())+"/"+c.name, func(b *testing.B) {
				l := startLive(b, func(o *options) { o.fsync, o.queueMemory, o.heavyMax = fsync, c.memory, heavy })
				benchJobs(b, l, c.state == "dead")
				client, err := (&demo{address: l.s.door.Addr().String()}).dial(context.Background(), "bench")
				if err != nil {
					b.Fatal(err)
				}
				defer client.conn.Close()
				searcher, err := (&demo{address: l.s.door.Addr().String()}).dial(context.Background(), "searcher")
				if err != nil {
					b.Fatal(err)
				}
				defer searcher.conn.Close()
				for b.Loop() {
					alone, _ := pushDuring(b, client, func() { time.Sleep(time.Second) })
					b.ReportMetric(milliseconds(alone), "alone-p99-ms")
					for name, search := range map[string]func() int{
						"cursor": func() int { return searchByCursor(l, c.state) },
						"offset": func() int { return searchByOffset(b, searcher, c.state) },
					} {
						searches := 0
						p99, took := pushDuring(b, client, func() {
							for began := time.Now(); time.Since(began) < time.Second; searches++ {
								if scanned := search(); scanned < benchedJobs {
									b.Errorf("%d jobs were scanned", scanned)
								}
							}
						})
						b.ReportMetric(milliseconds(p99), name+"-p99-ms")
						b.ReportMetric(took.Seconds()/float64(searches), name+"-s")
					}
				}
			})
		}
	}
}

const benchedJobs = 1_000_000

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// benchJobs fills the queue big, and lets all its jobs die.
func benchJobs(b *testing.B, l *liveServer, dead bool) {
	broker, name := l.s.source.brokers.queue, []byte("big")
	payloads := make([][]byte, queue.MaxBatch)
	for first := 0; first < benchedJobs; first += len(payloads) {
		for i := range payloads {
			payloads[i] = fmt.Appendf(nil, `{"job":%d,"pad":%q}`, first+i, strings.Repeat("y", 60))
		}
		_, receipt, err := broker.Push(name, payloads, &queue.PushOptions{}, nil)
		if err == nil {
			err = receipt.Wait()
		}
		for dead && err == nil {
			var jobs []queue.Delivery
			if jobs, _, err = broker.Pop(name, &queue.PopOptions{Count: len(payloads)}, nil); len(jobs) == 0 {
				break
			}
			handles := make([]queue.Handle, len(jobs))
			for i := range jobs {
				handles[i] = queue.Handle{ID: jobs[i].ID, Delivery: jobs[i].Number}
			}
			_, _, err = broker.Nack(name, &queue.NackOptions{Dead: true}, handles, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// pushDuring pushes job after job as long as something else goes on. It returns the p99 of a push, and how long the other took.
func pushDuring(b *testing.B, client *demoClient, work func()) (p99, took time.Duration) {
	ended := make(chan time.Duration, 1)
	go func() {
		began := time.Now()
		work()
		ended <- time.Since(began)
	}()
	var times []time.Duration
	for {
		select {
		case took = <-ended:
			return percentile99(times), took
		default:
		}
		time.Sleep(time.Millisecond)
		began := time.Now()
		if _, err := client.do("QPUSH", "big", "another"); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
}

// searchByCursor goes through the jobs as the web application does, and returns how many there were.
func searchByCursor(l *liveServer, state string) (scanned int) {
	for cursor := ""; ; {
		page := l.get(200, "jobs", "queue", "big", "state", state, "match", "not there", "cursor", cursor)
		scanned += int(page["scanned"].(float64))
		next, more := page["next"].(string)
		if !more {
			return scanned
		}
		cursor = next
	}
}

// searchByOffset goes through the jobs as a client does.
func searchByOffset(b *testing.B, client *demoClient, state string) (scanned int) {
	for offset := int64(0); offset >= 0; {
		reply, err := client.do("QPEEK", "big", "STATE", state, "MATCH", "not there", "OFFSET", fmt.Sprint(offset))
		if err != nil {
			b.Fatal(err)
		}
		list := reply.List()
		offset, scanned = list[1].Int(), int(list[0].Int())
	}
	return scanned
}

// BenchmarkDashboardTail publishes 50,000 messages a second, and then as fast as one connection does, with and without a tail that
// shows every one, in turns.
func BenchmarkDashboardTail(b *testing.B) {
	l := startLive(b, inMemory)
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(context.Background(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer client.conn.Close()
	batch := make([]byte, 0, 1<<16)
	const pipeline = 100
	for i := range pipeline {
		batch = appendCommand(batch, "NPUB", fmt.Sprintf("sensors/%d", i), `{"celsius":21.5}`)
	}
	rate := func(wanted float64) float64 { // 0: as fast as it goes
		began, sent := time.Now(), 0
		for time.Since(began) < time.Second {
			if wanted > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(float64(sent) / wanted * float64(time.Second)))))
			}
			if _, err := client.conn.Write(batch); err != nil {
				b.Fatal(err)
			}
			for range pipeline {
				client.replies.room = repliesMax
				if _, err := client.replies.read(0); err != nil {
					b.Fatal(err)
				}
			}
			sent += pipeline
		}
		return float64(sent) / time.Since(began).Seconds()
	}
	conn := benchFeed(b, l)
	go func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	for _, topic := range []string{"tail:pubsub", "tail:commands"} {
		for name, wanted := range map[string]float64{"50k": 50_000, "full": 0} {
			var ratios, rates []float64
			for range 5 {
				without := rate(wanted)
				if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"t":"sub","id":1,"topic":"`+topic+`","q":{}}`)); err != nil {
					b.Fatal(err)
				}
				with := rate(wanted)
				if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"t":"unsub","id":1}`)); err != nil {
					b.Fatal(err)
				}
				ratios, rates = append(ratios, with/without), append(rates, without)
			}
			slices.Sort(ratios)
			slices.Sort(rates)
			b.ReportMetric(ratios[2], topic[5:]+"-"+name+"-ratio")
			b.ReportMetric(rates[2], topic[5:]+"-"+name+"-msg/s")
		}
	}
}
