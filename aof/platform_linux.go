package aof

import (
	"errors"
	"os"
	"syscall"
)

// preallocate makes file occupy size bytes of the disk.
func preallocate(file *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(file.Fd()), 0, 0, size)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fillWithZeros(file, size)
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}
