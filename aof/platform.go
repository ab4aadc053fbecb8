//go:build unix

package aof

import (
	"errors"
	"os"
	"syscall"
)

// tryFlock takes the lock of a file; held tells that another open file has it.
func tryFlock(file *os.File) (held bool, err error) {
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return false, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return true, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}

// fileSystemSpace tells how much of the file system under path is free to us and how big it is.
func fileSystemSpace(path string) (free, total int64, err error) {
	var stat syscall.Statfs_t
	for {
		err = syscall.Statfs(path, &stat)
		if err == nil {
			block := int64(stat.Bsize)
			return int64(stat.Bavail) * block, int64(stat.Blocks) * block, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return 0, 0, err
		}
	}
}

// fillWithZeros makes file really occupy size bytes.
func fillWithZeros(file *os.File, size int64) error {
	zeros := make([]byte, 256<<10)
	for offset := int64(0); offset < size; offset += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), size-offset)], offset); err != nil {
			return err
		}
	}
	return file.Sync()
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
