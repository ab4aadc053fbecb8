// Package resp is the RESP door: it listens, frames commands, hands them to a Handler and writes the replies. It knows
// bytes and connections and nothing of what a command means.
//
//	            an event loop for many plain sockets (Linux)             a goroutine for each connection (TLS, pipes, other systems)
//	in          epoll -> framer -> Handler.Command -> Writer             socket -> framer -> Handler.Command -> Writer
//	out         -> socket, or parked until the journal is there          -> barrier -> socket
//	pushes      Push -> outbox -> mark -> the loop's leader -> socket    Push -> outbox -> writer goroutine -> socket
//
// Conn, framer, Writer, outbox, limits and Handler are the same for both; only who reads, waits and writes is not.
//
// Invariants
//   - A batch is the complete commands of one read. Its replies leave together, in order, after Handler.Flush and after
//     every journal that they await; 64 KiB of replies end a batch early.
//   - A reply batch and a pushed message never interleave: either one goroutine is the only writer, or all output goes through the
//     outbox in the order in which it was appended.
//   - Each byte that comes in is looked at once (a header line of at most 32 bytes may be looked at again), and memory for
//     an announced size is taken only as its bytes come.
//   - Heavy commands (Admit) run on one processor less than there are, the others of them wait in line: what is light is served at
//     once however many clients send what is heavy. So do ends that take long (AdmitEnd), one at a time and in a line of their own:
//     as a goroutine each, those of a thousand clients that vanish together would be ready to run before whoever sends a PING.
//   - A loop waits for nothing but the kernel's word: not for a journal, a client, a slot of the gate or another connection. A
//     connection takes at most one read, one batch and 256 KiB of writing of a turn.
//   - Progress decides, not a clock. While a client does not read its replies its commands are not run any further, so what it is owed
//     is bounded; but what it sends is read on into memory (ahead), since it may be in the middle of writing all it has to say. It is
//     cut when not one byte moves either way for WriteTimeout. The same reads notice a client that leaves while its command blocks.
//   - What a client can make grow has a limit of its own (the command, its arguments, what it sends ahead, pushes not read), and all
//     clients together have one (MemoryMax): when it is used up those who hold most go, and first those who do not move.
//
// # A connection on a loop
//
// The loop's goroutine is its leader. A connection is in one of these states, of which the fields of looped tell:
//
//	new        registered and marked; the next takeMarks adopts it: Handler.Open, and epoll watches the socket from here to its end
//	served     the leader reads, runs the batch, and writes what the socket takes; in between it is idle and holds no buffer
//	parked     its batch awaits a journal. The replies stay in the Writer, and nothing is read, until the journal's Watch wakes the loop
//	helped     its last batch had many commands and others wait in line: the leader reads, a helper runs the batch, writes what the socket
//	           takes and lets go. What the leader is told of the connection meanwhile he leaves in looped.handed; a helper that finds
//	           something there, or leaves something to do (a journal to be awaited, output, more input), has the leader look. Who is in
//	           line, since there was more output than a turn's share, is not handed over: the leader would come to it
//	aside      a command waits or is heavy (Aside, in Block, Admit and FlushReplies). The goroutine that was the leader goes on with this
//	           connection to the end of the batch, and a new one leads; one that was a helper goes on too, and counts as none any more.
//	           The leader still has the socket, or has it again: it reads ahead, and writes what the connection's goroutine puts into
//	           the outbox. markBack makes it served again
//	held up    more than 256 KiB of replies are not written: the leader reads ahead and runs nothing
//	ending     the client has sent its end, or a command or an error has closed it, or the server drains: what is to be written is,
//	           then the socket is closed; after a protocol error the client's last words are read and dropped for a moment (lingering)
//	closed     the descriptor is closed, and a goroutine tells the handler (Closed), gives back what was held and forgets it
//
// An end without a kill leaves only a state in which no command runs: one that is parked or aside comes back first.
//
// Who owns what. The leader alone reads and closes sockets, and writes to all but those that are helped: a descriptor that was closed
// elsewhere is one day somebody else's socket. It owns looped but for the atomics, the loop's lists, and the buffers that it lends; while
// a connection is helped looped is its helper's but for handed. The framer, the Writer and the awaited spans belong to whoever runs the
// connection's commands: the leader, a helper or, while it is aside, its own goroutine; handOver and letGo, stepAside and the mark with
// which it comes back, hand them over. Any other goroutine (Push, Kill, the sweeper, a journal) only marks the connection, or says that a
// journal has moved, and wakes the loop: one eventfd write at most while the leader sleeps, whatever the number of those marked. The
// leader looks for marks after it has said that it sleeps, so no mark is missed.
//
// In a turn come first those who have sent, or are marked for more than output; then some of those who have only been pushed to, and the
// others of these in the turns that follow (writeSome). Who sends while it is among the latter keeps that place.
//
// Buffers belong to the loop: input, replies, room for arguments and for awaited replies are lent to the connection that is served and
// taken back with its batch. A connection has its own only in half a command (what is left of the input, or the whole of a large one),
// while it is parked or aside, or with output that is not written.
//
// A parked batch waits for its journals one after the other, in one line per loop, journal and level. The lines are looked through from
// the front when a journal has moved: numbers grow, so the first that is not there yet ends the look (the few that a helper's batch has
// brought in out of turn wait for it). An entry whose connection has gone on, or is closed, is known by its ticket.
//
// # A connection with a goroutine
//
// Its goroutine reads, runs, waits for journals and writes. From the first Push on a writer goroutine has the output, and while a
// command blocks or the client does not read, a third one reads ahead. Kill closes the socket, which ends all three.
//
// # What a kill does
//
// Kill, from any goroutine, at any time and any number of times, ends the connection; the client sees the end at once. With a loop:
//
//	new or served     the leader closes the socket when it takes the mark; replies not written are undelivered
//	helped            the helper runs the batch to its end, which is near; then the same
//	parked            the same at once, whatever the journal does later: its replies are undelivered, its entry in the line is stale
//	blocked           Block returns Gone, by the channel that Kill closes; the leader has closed the socket; what the command answers
//	                  is undelivered
//	aside, running    the socket is closed at once, the command runs to its end: its replies are undelivered. Closed comes after it
//	waiting for room  the leader closes the socket and lets it go
//	output waiting    the rest is undelivered, a source (PullPushes) is not asked again, pushes are forgotten
//	lingering         the lingering ends
//
// With a goroutine it is the same but for who closes the socket, and for a batch that waits for its journal: that is waited for first.
// In every case OnUndelivered's functions run once, Handler.Closed is called once and after all of the connection's commands, and all
// that it holds of MemoryMax comes back. Open is followed by Closed in any case.
//
// # Locks
//
// Server.mu guards the registry of connections, outbox.mu one connection's output, ahead.mu what it sent ahead, loop.mu the marks of a loop
// and what its helpers give back, loop.ringing its bell. None is held while a Handler runs or while a socket is used (ringing is, while
// eight bytes go into the eventfd). Order: Server.relieving before any; outbox.mu before ahead.mu, loop.mu and ringing, which are leaves.
//
// Numbers that others may ask for are atomics, stored once per batch. One sweeper per server enforces the time
// limits from a clock that ticks with it, so that no batch asks for the time or sets a socket deadline.
//
// A panic below Handler is logged with its stack, answered with "-ERR internal error" and ends that connection only.
package resp
