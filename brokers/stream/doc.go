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
// Lock order: notifying (the journal's writer alone), sealing, tidying, world, Broker.mu, Stream.mu, the journal's own. No
// lock is held while a file is read or written. Payloads are immutable once appended, so a reader takes slices under the
// lock and uses them after it.
//
// # Where entries are
//
// The newest entries are in memory (hot) and in the journal. When the log has grown past CompactBytes it is sealed: its
// entries go to a segment file, sorted by stream and offset, everything else to a snapshot, and then they leave memory.
// So memory holds about as much of the streams as the log holds, whatever their length; one fsync serves all streams;
// and a stream has a file only together with the others. Of the cold entries memory has 72 bytes for each block of about
// 64 KiB. Segment files are merged in the background (segments.go), so they stay few and at least half in use.
//
// The list of segment files is in the journal: snapshots hold it, and a merge appends a record that replaces some files by
// a new one. A file that is not listed is what a crash has left, and a start removes it, if the journal knows all its entries;
// if it does not, the journal is lost or older, and the start is refused with every file where it was (openSegments).
// Between the files, and up to where the journal's entries begin, nothing may be missing but what a repair has given up,
// which the journal tells of (holes.go).
//
// # Groups
//
// Every offset below a group's next is in one of three states: pending (delivered, with a deadline), parked, or acknowledged,
// which is being in neither list. A delivery is journaled lazily and an acknowledgement with the stream's durability;
// since both are in one log, a durable acknowledgement implies its delivery. A crash before the delivery reached the
// disk delivers the entry once more.
//
// A pending entry is held by a consumer or was given back; MAXPENDING counts those that are held. A seek moves next: what was
// pending is forgotten, and what is parked stays parked until it is unparked, or delivered again because the seek went back
// behind it. Its epoch fences what consumers knew before; epoch.go tells why a crash cannot make one mean two states.
//
// # Time
//
// Ids hold the wall's time and never go back. Waits (ACKWAIT, delays, dedup windows) are measured in steady time, which no
// step of the wall clock moves; records hold them with the wall's time, and a restart takes at most the whole wait from its
// start. MAXAGE compares an entry's id with the earlier of both times, so that a step removes nothing early.
//
// # A crash
//
// A torn append was never acknowledged and never shown at its level; whole ones come back with the offsets they had.
//
//   - Before the record of a seek is on disk: the group is where it was, and nobody was told the epoch.
//   - While a segment file is written or before the snapshot that lists it counts: the old log has all its entries, the file
//     is removed.
//   - After that: the file is listed, and the log begins behind its entries.
//   - During a merge, before its record is durable: the new file is removed. After it: the old ones are.
//   - A file that is listed and missing, that is of another log, that lacks entries, or whose directory of blocks is damaged,
//     keeps the broker from starting. A damaged
//     block fails the reads of its entries, and a merge of its file; the other entries are served.
//   - A repair of the log may take any record out of it, and what is left starts: entries keep their offsets, a stream whose
//     state is lost goes on behind the entries it has, one whose creation is lost gets a new name (Salvage), and files
//     that no list names any more are listed anew. Holes are told before the first merge of the next life: a crash
//     before that finds the files that tell of them still there.
package stream
