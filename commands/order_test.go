package commands_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/commands/commandstest"
)

// TestOwnMessagesComeBeforeTheEnd sends everything in one write: what a connection publishes to itself is delivered before it ends
// the subscription, in the order of Redis.
func TestOwnMessagesComeBeforeTheEnd(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	redisAddr := commandstest.OpenRedis(t)
	script := func(addr string, lines []string, replies int) (all []string) {
		c := commandstest.Dial(t, addr, 3)
		c.Conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c.Conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
			t.Fatal(err)
		}
		for range replies {
			reply, err := commandstest.ReadReply(c.In)
			if err != nil {
				t.Fatalf("%q: %v after %q", lines, err, all)
			}
			all = append(all, reply)
		}
		return all
	}
	for _, lines := range [][]string{
		{"SUBSCRIBE x", "PUBLISH x hi", "UNSUBSCRIBE x"},
		{"SUBSCRIBE x", "PUBLISH x hi", "UNSUBSCRIBE"},
		{"PSUBSCRIBE x*", "PUBLISH x hi", "PUNSUBSCRIBE x*"},
		{"PSUBSCRIBE x*", "PUBLISH x hi", "PUNSUBSCRIBE"},
		{"SSUBSCRIBE x", "SPUBLISH x hi", "SUNSUBSCRIBE x"},
		{"SUBSCRIBE x", "PUBLISH x hi", "RESET"},
		{"SUBSCRIBE x", "PUBLISH x hi", "QUIT"},
	} {
		want, got := script(redisAddr, lines, 4), script(addr, lines, 4)
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%q\n redis %q\n nexo  %q", lines, want, got)
		}
	}
	got := script(addr, []string{"NSUB x/+", "NPUB x/1 hi", "NUNSUB x/+"}, 4)
	if !strings.HasPrefix(got[1], ">5\r\n$8\r\nnmessage") || got[2] != ":1\r\n" {
		t.Errorf("%q", got)
	}
}

// TestWhatIsAnsweredIsSeen: once a connection has its answer, every command that another one sends afterwards sees the effect, while
// others keep the server busy with batches of their own.
func TestWhatIsAnsweredIsSeen(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	stop := make(chan struct{})
	var noise sync.WaitGroup
	for i := range 3 {
		c := commandstest.Dial(t, addr, 3)
		noise.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				lines := strings.Repeat(fmt.Sprintf("SET noise%d %d\r\nPUBLISH noise x\r\nGET k\r\n", i, n), 20)
				fmt.Fprint(c.Conn, lines)
				for range 60 {
					if _, err := commandstest.ReadReply(c.In); err != nil {
						t.Error(err)
						return
					}
				}
				c.Conn.SetDeadline(time.Now().Add(10 * time.Second))
			}
		})
	}
	a, b := commandstest.Dial(t, addr, 3), commandstest.Dial(t, addr, 3)
	expect := func(c *commandstest.Client, want string, words ...string) {
		t.Helper()
		if got := c.Do(words...); got != want {
			t.Fatalf("%q: %q, want %q", words, got, want)
		}
	}
	for n := range 500 {
		value, channel := fmt.Sprint(n), fmt.Sprintf("only/c%d", n%7)
		expect(a, "+OK\r\n", "SET", "k", value)
		expect(b, fmt.Sprintf("$%d\r\n%s\r\n", len(value), value), "GET", "k")
		for _, family := range [][4]string{{"SUBSCRIBE", "UNSUBSCRIBE", channel, "PUBLISH"}, {"PSUBSCRIBE", "PUNSUBSCRIBE", "only/*", "PUBLISH"},
			{"PSUBSCRIBE", "PUNSUBSCRIBE", "only/+", "PUBLISH"}, {"SSUBSCRIBE", "SUNSUBSCRIBE", channel, "SPUBLISH"}} {
			a.Do(family[0], family[2])
			expect(b, ":1\r\n", family[3], channel, value)
			// What was published is there, too, before the confirmation of the end.
			event, err := commandstest.ReadReply(a.In)
			if err != nil || !strings.HasPrefix(event, ">") || !strings.HasSuffix(event, "\r\n"+value+"\r\n") {
				t.Fatalf("%s: %v, %q", family[0], err, event)
			}
			a.Do(family[1], family[2])
			expect(b, ":0\r\n", family[3], channel, value)
		}
		expect(b, ":1\r\n", "DEL", "k")
		expect(a, "_\r\n", "GET", "k")
	}
	close(stop)
	noise.Wait()
}
