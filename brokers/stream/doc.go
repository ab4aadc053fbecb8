// Package stream is the event log: many streams of immutable entries, consumer groups over them, one journal for all.
//
// An entry has a dense offset, from 1, never reused, and an id <ms>-<seq> that never goes back. Readers see only entries
// that are durable at their stream's level: high is the last of them, and nothing above it is shown.
//
// # State and who owns it
//
//   - Broker.mu guards the map of streams. A stream is found under it and used under its own lock.
//   - Stream.mu guards everything of one stream: its entries, its groups, who waits. Appends take their offset and their
//     place in the journal under it, so the order of the log is the order of the offsets.
//   - Broker.world is held shared by every change and alone by the cut of a compaction, so that a snapshot stands at
//     one place of the log.
//
// Lock order: notifying (the journal's writer alone), world, Broker.mu, Stream.mu, the journal's own. Payloads are immutable once appended, so a reader takes
// slices under the lock and uses them after it.
//
// # Groups
//
// Every offset below a group's next is in one of three states: pending (delivered, with a deadline), parked, or acknowledged,
// which is being in neither list. A delivery is journaled lazily and an acknowledgement with the stream's durability;
// since both are in one log, a durable acknowledgement implies its delivery. A crash before the delivery reached the
// disk delivers the entry once more.
//
// # A crash
//
// The journal is the only file. A torn append was never acknowledged and never shown at its level; whole ones come back
// with the offsets they had. A snapshot holds the streams, their entries and their groups, and replaces the log before the
// cut when it is complete; until then the old log counts.
package stream
