// Package queue is the job broker: named queues of jobs that are pushed, leased to consumers, acknowledged, retried with
// backoff, and set aside as dead letters. It knows nothing of RESP; it is given a journal and a clock.
//
// # A job's life
//
//	push ─► pending ─► ready ◄──────────┐            pending: the record of the push is not yet durable at the queue's
//	           │         │ lease        │ due        level; nobody can see the job
//	           └► delayed┼──► delayed ──┘            delayed: waits for its time (DELAY, backoff)
//	                     ▼                           in flight: leased to a consumer under a handle
//	                 in flight ─► gone (acked)       dead: MAXATTEMPTS used up or given up by the consumer
//	                     └──────► dead ─► ready (replay)
//
// # Invariants
//
//   - A job is in exactly one container, the one of its state; an in-flight job has exactly one lease end. So ready +
//     delayed + in flight + dead + pending = pushed - acked - deleted - expired - dropped (+ moved in - moved out).
//   - Order of delivery is priority, high first, then id, low first, also for jobs that came back. Every priority has a
//     list in id order, in blocks; what returns goes to its place there, or, when that lies within what is on disk, to a
//     tree beside the list, and a pop takes the lower of the two heads. Past a budget of memory the middle of the list is on
//     disk, and so are delayed, in-flight and dead jobs, by their times; DESIGN.md says how.
//   - A job is shown only when its push is durable at its queue's level: synced for ALWAYS, written for INTERVAL.
//   - An id is never given twice and a handle (id and delivery number) never names two deliveries; see below.
//   - Attempts count towards MAXATTEMPTS and are given back by a release; deliveries only grow.
//   - A job's TTL is the end of its first life: it holds while the job waits, also after a failed attempt, a release or the end of
//     a lease. A dead letter that is replayed has none, and its attempts begin at 0: who asks for it back wants it done.
//   - A duplicate inside the dedup window is answered with the first id; entries hold their absolute end, so the window
//     outlives the job and a restart. A key protects work that waits, runs, was done, is a dead letter or was moved to another
//     queue. The end of a job that was thrown away (deleted, purged, expired, pushed out, given up without dead letters)
//     is the end of its key, in the same record. At most Options.DedupKeys are held per queue.
//
// # What a queue holds
//
// There may be 100,000 queues, so a queue holds what it uses: its trees are made with the first job that needs one, its first
// priority has the bucket that is part of it, up to 32 jobs are indexed by a slice, its configuration is shared with queues
// made alike, and records are made in buffers of the broker. Ten jobs of 100 bytes in a queue take 2.7 KB with it, 1.9 KB of
// which are the jobs.
//
// # Numbers survive a crash
//
// Ids and delivery numbers are reserved ahead by mark records that are always fsynced. A number above the last synced
// reservation may still be given, but the change that gives it then waits for an fsync that covers the reservation,
// whatever the level of its queue. After a stop without a clean mark (the last record of Close) the next life starts
// ids above the reservation, so an id whose record was lost is never given again. A lease is not waited for: its
// record may be lost in a crash although the client has its handle. Every such handle has a delivery number at or
// below the reservation, so jobs older than the life are next delivered above it ("floor"). A lost handle can
// therefore never equal a later one, and it does not equal the last journaled one either, as numbers of one job
// only grow: it counts 0. Jobs born in this life start at 1, for no handle with their id was ever given before.
//
// # The journal
//
// Records are effects with final ids and absolute times (FORMAT.md). The code that applies a change to a job is the same
// for a live command and for replay. A push of n jobs, a lease of n, and an acknowledgement of n that are in RAM are one record each.
// What follows from time alone (a delayed job coming due) has no record: replay sees the same times.
//
//	crash before a push is durable      the push was not answered; the job is gone
//	crash after a push is durable       the job is there
//	lease record lost                   the job is ready with the attempts journaled before; the handle counts 0
//	ack record lost                     the job is delivered again: at least once
//	lease of a bound consumer           its connection died with the process: the job is ready, uncounted
//	crash during a compaction           the old log is the truth until the snapshot is complete
//	move to or from the dead letters    one record: the job is in one place
//
// # Locks, in the order they are taken
//
//   - Broker.world: read-held by every change, write-held by Cut for the moment in which a snapshot is pinned.
//   - Broker.directory.mu: names to queues. Held while a queue is made or dropped.
//   - Queue.mu: everything of one queue. Two queues at once (a replay into another queue) are taken in order of number.
//   - Owner.mu, Broker.dirty.mu, spill.mu, numbers.mu: leaves for a few instructions; numbers.mu is held over Journal.Append.
//
// No lock is held while waiting for the disk. Long work (expiry of many leases, purge, replay of all dead letters) runs
// in slices of 1,000 jobs per lock hold; a search takes 256 jobs per hold and matches them with no lock held.
//
// # Compaction
//
// The log is replaced by a snapshot when Options.CompactBytes have been written or have died since the last one, and
// snapshot and log together hold 7/4 of what lives: then the disk never holds three times the live bytes, the new snapshot included, and the log of a growing
// backlog, which is all alive, is not rewritten. After a failure the next try comes with more log, twice as much each
// time. On a disk that is full whatever frees room is compacted (brokers.Relief). What is on disk in files of its own is listed by
// the snapshot, not copied (DESIGN.md): there a backlog lives once, and such a log is compacted at 11/4 of what is in RAM.
//
// # Time
//
// In memory every time is steady (brokers.Instant), so a step of the wall clock neither ends nor prolongs a lease, a delay, a TTL, a
// dedup window or a pause. Records and answers hold the wall's times; a record also says when it was made, so that a restart
// takes a wait at most from its beginning again. Only AT is a date: its jobs are kept apart, and moved when the wall is found to have
// been set, at which a queue looks at least once a minute.
package queue
