// Package ui is the second door of the server: the dashboard's pages, its HTTP API, its live feed over WebSockets, and what
// watches the server from outside (/livez, /readyz, /metrics). API.md is the contract of both halves of the dashboard;
// testdata/frames holds an example of every frame.
//
//	browser ── GET  /api/...        ─► Source (typed reads, in slices, without side effects)
//	        ── POST /api/...        ─► Source.Run: a command of the command table, as any client would send it
//	        ── GET  /api/ws         ─► feed: one snapshot and its deltas per topic, tails four times a second
//	        ── GET  /, /assets/...  ─► the embedded build of ui/web, or a plain page with live counts without it
//
// It stores nothing and knows no broker: what it shows comes from the Source that it is given, and every change goes through the
// command table, so that limits, errors and durability are those of a client.
//
// # Invariants
//
//   - Every request names an allowed Host, whatever it asks; an upgrade comes from the very same origin; a POST never comes
//     from another site; a GET changes nothing.
//   - A read-only dashboard refuses every change here, not in the browser.
//   - Without a subscriber nothing is collected. What is collected once a second is collected once for all subscribers, and a
//     topic is encoded once for all that watch the same window of it.
//   - A tail never waits: what it does not take at once is counted as dropped.
//   - A socket that does not read is skipped, then given a fresh snapshot, and closed after five seconds.
//
// # Locks
//
// feed.mu guards topics, subscriptions and the ring of points; it is held over a collection, which takes the brokers' locks, but
// never over a write to a socket. sessions.mu, tasks.mu and a tail's ring are leaves.
package ui
