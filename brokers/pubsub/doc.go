// Package pubsub is the message bus: live messages go from publishers to the subscriptions that match their topic, and
// one retained message per topic is kept, durably, for those who come later.
//
// # Names
//
// A topic is levels split on '/'; empty levels count. A filter's '+' fills exactly one level and its '#' is last and
// matches the parent too, after section 4.7 of MQTT 3.1.1 and 5, with the rule that a leading wildcard never matches a
// topic that starts with '$'. Glob patterns are Redis' own. A channel may be any bytes; only one that is also a valid
// topic is matched by filters. Shard channels live in a space of their own, without patterns.
//
// # How a publish finds its subscriptions
//
//	topic -> channel shard (of 256) -> channel { exact roster, cached wildcard result + its generation }
//	                                                           | stale or absent
//	                                      shapes of filters (one look for each: mostly "none matches")
//	                                                           | maybe
//	                                      filter trie (one step per level) and globs (by literal prefix or suffix)
//
// A roster is the set of subscriptions with one filter; what a publisher gets of it is an immutable view. The wildcard
// result of a topic is computed once and stays with the channel until a wildcard subscription comes or goes, so the cost
// of a publish does not grow with filters that do not match. The trie is changed in place under a read-write lock
// rather than copied: a copied path costs the width of its nodes (a level with 100,000 devices), a lock only
// the cache misses.
//
// # How messages travel
//
// A publisher owns a Batch. Publishes that go to the same subscriptions, one after the other, form a Run; when
// the batch is flushed every subscriber gets one Deliver per run, in the publisher's goroutine, and must not block.
// A run carries a slot per form of encoding, so that what is encoded for the first subscriber is shared by all others.
// The broker itself encodes nothing. Delivery is at most once; order holds per publisher.
//
// A watch looks on without taking part: it is shown what is published, in the publisher's goroutine, and no figure of the bus counts it.
//
// # Retained messages
//
// They are kept in one ordered map from topic (with '/' stored as NUL, which no topic holds, so that a subtree is a
// contiguous range) to message. A subscription's replay is a Cursor over a copy-on-write snapshot of that map; it seeks
// from branch to branch and visits only those that match. The snapshot is taken, the replay begun and the subscription
// registered under the retained lock, which is also held while a retained publish is stored, matched and
// delivered: every retained message reaches a subscriber either by replay or live, never both and never neither.
//
// # Durability
//
// Each change of a retained message is one journal record with its date of expiry, or its time to live and when that began
// (FORMAT.md). A time to live is measured in steady time, a date is compared with the wall clock. After a crash the surviving
// prefix of the records is the state. What expired while the server was down is not loaded, and a delete is written for it.
// Expiry runs off one timer for the earliest time. When the log has outgrown the live messages, or the disk is full and it
// would free room (brokers.Relief), it is compacted: a snapshot of the map is dumped in the background. Live messages and
// subscriptions are never written.
//
// # Locks
//
//	retained.mu    the retained map, its expiry order and bytes, the order of its records; held over delivery of retained publishes
//	shard.mu       the channels of one shard and their rosters
//	wild.mu        trie, shapes, globs and their rosters
//	Subscription's owner has its own locks, taken in Deliver
//
// Order: retained.mu, then shard.mu or wild.mu (never both), or a subscriber's lock. No shard or wild lock is held over Deliver.
package pubsub
