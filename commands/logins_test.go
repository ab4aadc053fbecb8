package commands

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// loginWorld is a line of logins over a clock that stands still.
type loginWorld struct {
	clock *brokertest.Clock
	*logins
}

func newLoginWorld() *loginWorld {
	clock := brokertest.NewClock(time.UnixMilli(1_700_000_000_000))
	return &loginWorld{clock, &logins{clock: clock}}
}

func hasTurn(a *loginAttempt) bool {
	select {
	case <-a.turn:
		return true
	default:
		return false
	}
}

// guesser is a connection that tries one wrong password after the other; reconnects tells that it does so over a new one each time.
type guesser struct {
	attempt    *loginAttempt
	reconnects bool
	wrong      int
}

func (g *guesser) step(w *loginWorld) {
	if g.attempt == nil {
		g.attempt = w.enter("10.0.0.1", g.wrong > 0 && !g.reconnects)
	}
	for hasTurn(g.attempt) {
		w.leave(g.attempt, true)
		g.wrong++
		g.attempt = w.enter("10.0.0.1", !g.reconnects)
	}
}

func flood(n int, reconnects bool) []*guesser {
	list := make([]*guesser, n)
	for i := range list {
		list[i] = &guesser{reconnects: reconnects}
	}
	return list
}

// run lets the guessers go on for a while.
func (w *loginWorld) run(guessers []*guesser, d time.Duration) {
	for range d / (10 * time.Millisecond) {
		for _, g := range guessers {
			g.step(w)
		}
		w.clock.Advance(10 * time.Millisecond)
	}
}

func TestGuessesDoNotGrowWithConnections(t *testing.T) {
	for _, connections := range []int{1, 20, 200, 5000} {
		for _, reconnects := range []bool{false, true} {
			w := newLoginWorld()
			guessers := flood(connections, reconnects)
			w.run(guessers, 30*time.Second)
			total := 0
			for _, g := range guessers {
				total += g.wrong
			}
			if want := wrongLoginsAtOnce + 30*wrongLoginsPerSecond; total > want || total < want-2 {
				t.Errorf("%d connections (reconnecting: %v) guessed %d times in 30 s, want %d", connections, reconnects, total, want)
			}
		}
	}
}

func TestRightPasswordGetsInDuringAFlood(t *testing.T) {
	for _, c := range []struct {
		reconnects bool
		after      time.Duration // that the flood has gone on
		bound      time.Duration
	}{
		{false, time.Second, 300 * time.Millisecond}, // the first attempts of all stand in line
		{false, 30 * time.Second, 300 * time.Millisecond},
		{true, time.Second, 2*200*time.Second/wrongLoginsPerSecond + 300*time.Millisecond},
		{true, 30 * time.Second, 2*200*time.Second/wrongLoginsPerSecond + 300*time.Millisecond},
	} {
		w := newLoginWorld()
		guessers := flood(200, c.reconnects)
		w.run(guessers, c.after)
		for try := range 10 {
			began := w.clock.Now()
			right := w.enter("10.0.0.1", false)
			for !hasTurn(right) {
				w.run(guessers, 10*time.Millisecond)
				if w.clock.Now().Sub(began) > c.bound {
					t.Fatalf("reconnecting %v, try %d: not in after %v", c.reconnects, try, c.bound)
				}
			}
			w.leave(right, false)
		}
	}
}

func TestRightPasswordsAreNotSlowedDown(t *testing.T) {
	w := newLoginWorld()
	for i := range 10_000 {
		a := w.enter("10.0.0.1", false)
		if !hasTurn(a) {
			t.Fatalf("login %d waits", i)
		}
		w.leave(a, false)
	}
	for range wrongLoginsAtOnce - 1 { // a client that mistypes beside clients that do not
		a := w.enter("10.0.0.1", true)
		if !hasTurn(a) {
			t.Fatal("one of the first wrong logins waits")
		}
		w.leave(a, true)
	}
	var waiting []*loginAttempt
	for range 1000 {
		waiting = append(waiting, w.enter("10.0.0.1", false))
	}
	for len(waiting) > 0 { // they pass the one token from one to the next, at once
		next := slices.IndexFunc(waiting, hasTurn)
		if next < 0 {
			t.Fatalf("%d logins wait for none", len(waiting))
		}
		w.leave(waiting[next], false)
		waiting = slices.Delete(waiting, next, next+1)
	}
}

func TestAttemptsThatGiveUpLeaveTheLine(t *testing.T) {
	w := newLoginWorld()
	w.run(flood(1, false), time.Second)
	for range 100_000 {
		w.leave(w.enter("10.0.0.1", false), false)
	}
	last := w.enter("10.0.0.1", false)
	w.clock.Advance(200 * time.Millisecond)
	if !hasTurn(last) {
		t.Error("those who went away are waited for")
	}
	w.leave(last, false)
	w.clock.Advance(time.Minute)
	w.leave(w.enter("10.0.0.1", false), false)
	if len(w.byAddress) > 1 { // the guesser's own attempt stays in line
		t.Errorf("%d addresses are remembered", len(w.byAddress))
	}
}

func TestLoginAddresses(t *testing.T) {
	same := [][2]string{{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"}, {"::ffff:10.0.0.1", "10.0.0.1"}, {"fe80::1%eth0", "fe80::2"}, {"", "@"}}
	for _, pair := range same {
		if a, b := loginPrefix(pair[0]), loginPrefix(pair[1]); a != b {
			t.Errorf("%q is %v, %q is %v", pair[0], a, pair[1], b)
		}
	}
	for _, pair := range [][2]string{{"2001:db8:1:2::1", "2001:db8:1:3::1"}, {"10.0.0.1", "10.0.0.2"}, {"::1", "127.0.0.1"}} {
		if a, b := loginPrefix(pair[0]), loginPrefix(pair[1]); a == b {
			t.Errorf("%q and %q are both %v", pair[0], pair[1], a)
		}
	}
}

func TestMemoryOfLoginsIsBounded(t *testing.T) {
	w := newLoginWorld()
	turns := 0
	const more = 5000
	for i := range loginAddressesMax + more {
		a := w.enter(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), false)
		if hasTurn(a) {
			turns++
			w.leave(a, true)
		} else {
			w.leave(a, false)
		}
	}
	if len(w.byAddress) != loginAddressesMax {
		t.Errorf("%d addresses are remembered", len(w.byAddress))
	}
	if want := loginAddressesMax + wrongLoginsAtOnce; turns != want { // those without a place share one rate
		t.Errorf("%d passwords were checked, want %d", turns, want)
	}
	w.clock.Advance(time.Second)
	w.leave(w.enter("192.0.2.1", false), false)
	if len(w.byAddress) != 0 {
		t.Errorf("a second later %d addresses are remembered", len(w.byAddress))
	}
}
