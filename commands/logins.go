package commands

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

const (
	// wrongLoginsPerSecond is how many wrong passwords an address may try, over all its connections and both doors.
	wrongLoginsPerSecond = 10
	// wrongLoginsAtOnce are not slowed down: who mistypes does not notice.
	wrongLoginsAtOnce = 10
	// freshTurns is how many first attempts may pass one that is not.
	freshTurns = 9
	// loginAddressesMax is how many addresses have a rate of their own at once; those past it share one.
	loginAddressesMax = 10_000
	// loginPatience is how long a login of the dashboard waits for its turn.
	loginPatience = time.Minute

	notCheckedText = "ERR the password was not checked: too many wrong ones come from this address, " +
		"and this connection did not wait for its turn"
)

// logins bounds the rate at which an address learns that passwords are wrong, whatever the number of its connections. Each attempt
// takes a token of its address before it is checked, and gets it back if it was right, so clients that know the password are never
// slowed down by each other. Without a token attempts wait in a line, where one that was never wrong before on its connection comes
// before those that were: a flood of guesses does not keep the right password out. Only guesses that each come over a new
// connection stand in the same line as it. There the newest and the oldest have turns alternately: who comes into a line that stands is
// served at once, and nobody waits longer than two turns for each that was there before.
//
// An address whose tokens are all there and for which nobody waits is forgotten; it comes back the same.
type logins struct {
	clock brokers.Clock

	mu        sync.Mutex // guards what follows and every address
	byAddress map[netip.Prefix]*loginAddress
	others    *loginAddress // of the addresses that have no place
	swept     time.Time
}

// loginAddress is one address with its tokens and its two lines.
type loginAddress struct {
	prefix netip.Prefix
	tokens float64
	at     time.Time // when tokens was right
	fresh  list.List // of *loginAttempt: first attempts of connections
	again  list.List // of *loginAttempt: after a wrong one
	passed int       // turns that fresh ones had since the last of the others
	newest bool      // the next turn of a fresh one is for the newest
	timer  brokers.Timer
}

// loginAttempt is one login on its way. turn is closed once it may be checked.
type loginAttempt struct {
	turn    chan struct{}
	address *loginAddress
	line    *list.List
	place   *list.Element // nil once it has its turn
}

// loginPrefix is what counts as one address: an IPv6 network of 64 bits is one customer's. Sockets of this machine without an
// address count as one.
func loginPrefix(host string) netip.Prefix {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, _ := ip.Prefix(bits) // fails for a number of bits that is out of range only
	return prefix
}

// enter puts an attempt in line. It must be ended by leave.
func (l *logins) enter(host string, failedBefore bool) *loginAttempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.addressLocked(loginPrefix(host))
	attempt := &loginAttempt{turn: make(chan struct{}), address: a, line: &a.fresh}
	if failedBefore {
		attempt.line = &a.again
	}
	attempt.place = attempt.line.PushBack(attempt)
	l.advanceLocked(a)
	return attempt
}

// leave ends an attempt: wrong tells that a password was checked and was wrong. In every other case the token goes to the next.
func (l *logins) leave(attempt *loginAttempt, wrong bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := attempt.address
	switch {
	case attempt.place != nil:
		attempt.line.Remove(attempt.place)
		attempt.place = nil
	case !wrong:
		a.tokens = min(a.tokens+1, wrongLoginsAtOnce)
	}
	l.advanceLocked(a)
	if a != l.others && a.idle() {
		l.forgetLocked(a)
	}
}

func (l *logins) addressLocked(prefix netip.Prefix) *loginAddress {
	if a := l.byAddress[prefix]; a != nil {
		return a
	}
	now := l.clock.Now()
	if len(l.byAddress) >= loginAddressesMax && now.Sub(l.swept) >= time.Second {
		l.swept = now
		for _, a := range l.byAddress {
			if l.refillLocked(a); a.idle() {
				l.forgetLocked(a)
			}
		}
	}
	made := &loginAddress{prefix: prefix, tokens: wrongLoginsAtOnce, at: now}
	if len(l.byAddress) >= loginAddressesMax {
		if l.others == nil {
			l.others = made
		}
		return l.others
	}
	if l.byAddress == nil {
		l.byAddress = map[netip.Prefix]*loginAddress{}
	}
	l.byAddress[prefix] = made
	return made
}

func (a *loginAddress) idle() bool {
	return a.tokens >= wrongLoginsAtOnce && a.fresh.Len() == 0 && a.again.Len() == 0
}

func (l *logins) forgetLocked(a *loginAddress) {
	if l.byAddress[a.prefix] == a { // else it was forgotten before, with an attempt under way
		delete(l.byAddress, a.prefix)
	}
	if a.timer != nil {
		a.timer.Stop()
	}
}

func (l *logins) refillLocked(a *loginAddress) {
	now := l.clock.Now()
	a.tokens = min(a.tokens+max(now.Sub(a.at).Seconds(), 0)*wrongLoginsPerSecond, wrongLoginsAtOnce)
	a.at = now
}

// advanceLocked gives turns as long as there are tokens, and comes back when the next token is there.
func (l *logins) advanceLocked(a *loginAddress) {
	l.refillLocked(a)
	for a.tokens >= 1 {
		line := &a.fresh
		if line.Len() == 0 || a.passed >= freshTurns && a.again.Len() > 0 { // neither line waits for ever
			line = &a.again
		}
		first := line.Front()
		if first == nil {
			return
		}
		if line == &a.again {
			a.passed = 0
		} else {
			if a.newest {
				first = line.Back()
			}
			a.passed, a.newest = a.passed+1, !a.newest
		}
		a.tokens--
		attempt := line.Remove(first).(*loginAttempt)
		attempt.place = nil
		close(attempt.turn)
	}
	if a.fresh.Len() == 0 && a.again.Len() == 0 {
		return
	}
	next := time.Duration((1-a.tokens)/wrongLoginsPerSecond*float64(time.Second)) + time.Microsecond // rounded up: never just before it
	if a.timer == nil {
		a.timer = l.clock.AfterFunc(next, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.advanceLocked(a)
		})
	} else {
		a.timer.Reset(next)
	}
}
