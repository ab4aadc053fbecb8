//go:build race

package slab

// poisoned says that blocks are overwritten when they are freed. Who reads one under a later lock is in no race, so the detector alone
// would not find it out.
const poisoned = true
