package commands_test

import (
	"context"
	"testing"
	"time"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

// The two doors take from the same tokens.
func TestBothDoorsShareTheRate(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{Password: "right"}, nil)
	began := time.Now()
	wrong := make(chan int, 40)
	for i := range 40 {
		go func() {
			n := 0
			defer func() { wrong <- n }()
			if i%2 == 0 {
				for time.Since(began) < 2*time.Second {
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second-time.Since(began))
					if _, checked := server.Login(ctx, "127.0.0.1", "default", "guess", n > 0); checked {
						n++
					}
					cancel()
				}
				return
			}
			c := commandstest.Dial(t, addr, 2)
			for time.Since(began) < 2*time.Second {
				if c.Do("AUTH", "guess") == "-"+commands.WrongPassText+"\r\n" {
					n++
				}
			}
		}()
	}
	time.Sleep(500 * time.Millisecond) // the flood has used up what is free
	for range 5 {
		began := time.Now()
		if right, checked := server.Login(context.Background(), "127.0.0.1", "default", "right", false); !right || !checked {
			t.Errorf("the dashboard: right %v, checked %v", right, checked)
		}
		if got := commandstest.Dial(t, addr, 2).Do("AUTH", "right"); got != "+OK\r\n" {
			t.Errorf("RESP: %q", got)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("two right logins took %v", took)
		}
	}
	total := 0
	for range 40 {
		total += <-wrong
	}
	if most := commands.LoginsAtOnce + int(time.Since(began).Seconds()*commands.LoginsPerSecond) + 1; total > most {
		t.Errorf("%d wrong passwords were tried in %v, at most %d may", total, time.Since(began), most)
	}
}
