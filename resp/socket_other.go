//go:build !linux

package resp

func queuedBytes(uintptr) int { return 0 }
func peerHungUp(uintptr) bool { return false }
