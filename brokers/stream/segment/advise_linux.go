//go:build amd64 || arm64

package segment

import (
	"os"
	"syscall"
)

const (
	adviceRandom   = 1
	adviceWillNeed = 3
)

// adviseRandom tells whether the kernel has taken the advice.
func adviseRandom(file *os.File) bool { return advise(file, 0, 0, adviceRandom) }

// adviseNeeded changes nothing but the speed, so nobody asks whether the kernel has taken it.
func adviseNeeded(file *os.File, position, length int64) {
	advise(file, position, length, adviceWillNeed)
}

func advise(file *os.File, position, length int64, advice uintptr) bool {
	_, _, problem := syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), uintptr(position), uintptr(length), advice, 0, 0)
	return problem == 0
}
