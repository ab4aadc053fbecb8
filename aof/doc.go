// Package aof makes the changes of one broker durable: a journal of records on tidwall/wal, snapshots that replace the
// log's past, recovery after any crash, and the offline check and repair of the files. It knows only bytes.
//
// FORMAT.md draws every byte. The words: a record is what a broker appends; a frame packs records under one checksum and
// is one entry of tidwall/wal; a segment is one file of frames; a generation is a directory of segments; a snapshot
// replaces all generations before its own.
//
// # Why tidwall/wal is wrapped
//
// Alone it has no checksums, fails to open on a torn tail, takes a tail of zeros for entries, goes on after a failed
// write or fsync as if nothing had happened, panics on concurrent reads and never fsyncs a directory. So here:
//
//   - Frames carry a CRC-32C seeded with the log's id and generation, their index, and the highest index that was known
//     to be fsynced when they were written (the durable mark).
//   - The files are scanned and healed before wal.Open sees them; the log is never read or truncated through the wal.
//   - One goroutine owns the wal and calls it without its own sync. After any error that wal object is never called
//     again, except to close it.
//
// # Invariants
//
//   - What Replay feeds is a prefix of what was appended: never a hole, never part of a record, never a record twice.
//   - A record that WaitSynced answered nil for is in that prefix after a power loss; one that WaitWritten answered nil
//     for is in it after the death of the process.
//   - Memory and log never disagree: Append never fails, and a record that could not be written for want of space stays
//     queued, in order, and is written when space returns. Ready is how new data is refused meanwhile.
//   - A failed fsync or an I/O error is never retried, the WATERMARK's no less than a segment's. The journal answers
//     IOERR for good and a restart finds out what is on disk.
//   - Nothing is thrown away because it is damaged or because its description is missing: Open refuses with a
//     CorruptionError, and what it cuts (an unfinished write at the very end) is kept in quarantine/.
//
// # The list of logs
//
// A log alone cannot know that its whole directory is missing, or is an older copy of itself. LOGS, in the data directory,
// says of each log which one it is and a place that it has reached (FORMAT.md). It is read before anything is made or
// changed, and refuses what contradicts it: brokers that keep files beside their log must not meet a log that is not the
// right one. Inspect reads a log and changes nothing, Start makes whole what it has read: the owner of several logs
// inspects all of them before the first is started, so that one that is refused leaves the others as they were.
//
// LOGS is written by Start once the log is recovered, by the writer when a Cut has switched generations, and by Close;
// always behind the fsync of what it claims, so no crash and no snapshot of the file system makes it wrong. A full disk
// leaves an older place in it. Logs that are open at the same time change it one after the other (Options.Lock).
//
// WATERMARK-name stands beside the log's directory, too. It is written behind each fsync and not fsynced itself: an older
// copy of a log is noticed up to the log's last fsync when the process has died, and after a power loss as far as the kernel
// had written the mark back, at least up to what LOGS says.
//
// # Who owns what
//
// Append, Cut and Close touch the pending batch under Log.mu, a short mutex under which nothing blocks. The writer
// goroutine (writer.go) owns the wal, the current generation, the WATERMARK, BALLAST, RESERVE and the disk-full state.
// MANIFEST belongs to the writer until it has switched generations for a Cut, then to the finish of that Cut, then to
// the writer again; there is one Cut at a time, so no lock is needed. Results are published under Log.waiting, after
// Notify has been called with no lock held. Lock order: Log.mu and Log.waiting are never held together.
//
// # Commit
//
// The writer takes everything that queued while the last fsync ran, writes it with WriteBatch, fsyncs the directory if a
// segment appeared, fsyncs if any record of the batch asked for it (else within SyncInterval), stores the WATERMARK
// (which must succeed: a file system that has given up answers 0 to fsync and refuses only the next write), calls
// Notify, wakes the waiters. There is no timer in that path: batching comes from the time an fsync takes.
//
// # A crash at each step
//
//	creating     wal-1 is made before MANIFEST; without MANIFEST and without a byte of data a directory is new, unless
//	             LOGS names the log. LOGS comes after MANIFEST: a crash between leaves a log that is put on it next time.
//	listing      LOGS.tmp is written over by the next change; the old LOGS or the new one is there, and both are right.
//	writing      The frames cut off in the last segment were never acked as written or, after a power loss, as synced.
//	             They are cut, kept in quarantine/ and logged. Damage that the WATERMARK, a durable mark, a later
//	             segment or a later generation proves to have been durable is corruption: Open refuses.
//	stopping     A CLOSE frame ends a clean life. Without it the last segment is copied, fsynced and renamed before it
//	             is served, because the page cache may show bytes of which the fsync had failed.
//	cutting      wal-N is created, its directory fsynced, then MANIFEST names it, then LOGS does, then it is written to.
//	             Unnamed and empty it is removed by the next Open.
//	snapshot     snap-N.tmp is removed; snap-N that MANIFEST does not name yet is removed; the generations it would
//	             have replaced are still there and named.
//	forgetting   MANIFEST names snap-N and the generations from N on; older files are removed now or by the next Open.
//	repairing    The old files, and those beside the log that a Salvager names, are linked into quarantine/ before
//	             MANIFEST changes and removed after; LOGS comes last, and what it said before is less.
//
// # Full disk
//
// When a write fails with ENOSPC, EDQUOT or EFBIG (or a segment cannot be created with EMFILE), the segments are
// truncated to the end of the last whole batch, the ballast file is dropped to make room for what is queued, the wal
// is opened anew and the same frames are written again, every 100 ms until it works. Ready answers DISKFULL until free
// space is over 110% of the limit and everything set aside is back. A Wait that has lasted 5 s meanwhile gives up with
// IOERR: the outcome is unknown, since the record is still queued.
//
// The broker is called (Notify) each second while the disk is full, also when nothing is written, and decides with
// brokers.Relief whether a compaction would free room: a small log may be what fills a small disk. A Cut on a full disk
// gets RESERVE, which nothing else takes, so that records alone can never make a compaction impossible. Open needs no
// room on a full disk: it drops the ballast for what recovery has to write, and a last segment that cannot be copied is
// written over itself, the same bytes in the same place.
//
// # Repair
//
// Every frame that proves itself is kept, in a snapshot too, whatever is damaged before it: its checksum covers the log,
// the generation and its own index. A Salvager reads the kept records as the broker means them: it tells by name what is
// kept, puts records in front of them where the one that named a thing is lost, and finds a log that is whole and older
// than the files beside it.
//
// # Errors
//
// Ready and the Waits answer *Error: Code() is the code word (IOERR or DISKFULL), Error() starts with it. Open answers
// *CorruptionError when the files contradict themselves; LockDirectory answers *InUseError.
//
// What it does not do: no replication, no encryption, no reading while serving, no protection from a second process that
// ignores LockDirectory.
package aof
