//go:build unix && !linux

package aof

import "os"

// preallocate makes file occupy size bytes of the disk.
func preallocate(file *os.File, size int64) error { return fillWithZeros(file, size) }
