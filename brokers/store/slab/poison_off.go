//go:build !race

package slab

// poisoned says that blocks are overwritten when they are freed: not where speed counts.
const poisoned = false
