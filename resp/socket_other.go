//go:build !linux

package resp

import "errors"

const writesNow = false // a timer finds out that a write stands still

func writeNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
func queuedBytes(uintptr) int               { return 0 }
func peerHungUp(uintptr) bool               { return false }
