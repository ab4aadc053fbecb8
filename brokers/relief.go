package brokers

import (
	"sync"
	"time"
)

// Relief decides when a log is compacted for its disk's sake, however short the log is by the broker's own measure: on a
// disk that is full, once a compaction would free something worth having; and before that, while the disk still has
// room for the log twice. What would not fit, or frees nothing, is not begun, so that the room that is left stays for
// acks and deletes. The zero Relief is ready; its methods may be called from any goroutine.
type Relief struct {
	mu       sync.Mutex
	next     time.Time // from which to look again
	known    bool      // live is that of a snapshot of this process
	live     int64     // what the broker held when the last snapshot was made
	failures int       // in a row
}

const (
	reliefLook = 250 * time.Millisecond // between two looks: each asks the file system
	reliefWait = time.Second            // after a failure, doubled with each further one
	reliefMin  = 64 << 10               // less is not worth a snapshot
	reliefSlop = 256 << 10              // for what is written beside the snapshot
)

// Due tells whether to compact now. live is about what a snapshot of the present state would take; it is only called when
// the disk gives cause.
func (r *Relief) Due(journal Journal, live func() int64) bool {
	now := time.Now() // of the disk, not of the data: it does not follow the broker's clock
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.next) {
		return false
	}
	r.next = now.Add(reliefLook)
	short, room, before := journal.Space()
	log := journal.LogBytes()
	if !short && room >= 2*(log+before)+reliefSlop {
		return false
	}
	size := live()
	needed := size + size/8 + reliefSlop
	if r.known {
		before = r.live // measured as size is
	}
	freed := log + before - size
	if short {
		return needed <= room && freed >= max(reliefMin, size/4)
	}
	return needed <= room && freed >= max(4*reliefMin, size/2)
}

// Ended tells how a compaction went that the broker began when it held live, for whatever reason.
func (r *Relief) Ended(live int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.live, r.known, r.failures = live, true, 0
		return
	}
	r.next = time.Now().Add(reliefWait << min(r.failures, 5))
	r.failures++
}
