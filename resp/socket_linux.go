package resp

import (
	"syscall"
	"unsafe"
)

func queuedBytes(fd uintptr) int {
	var n int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

func peerHungUp(fd uintptr) bool {
	const pollRDHUP, pollHUP, pollERR = 0x2000, 0x10, 0x8
	entry := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollRDHUP}
	var atOnce syscall.Timespec
	n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&entry)), 1, uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0)
	return errno == 0 && n == 1 && entry.revents&(pollRDHUP|pollHUP|pollERR) != 0
}
