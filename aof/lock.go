package aof

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Lock is the right to use a data directory. The kernel takes it back when the process dies.
type Lock struct {
	file    *os.File
	listing listing
}

// LockDirectory creates the directory if need be and takes its lock, without waiting: when another process has it the
// answer is an *InUseError. The locks of some old NFS servers hold only on one machine.
func LockDirectory(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	held, err := tryFlock(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	if held {
		pid := readPID(file)
		file.Close()
		return nil, &InUseError{Directory: dir, PID: pid}
	}
	if err := writePID(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("write lock file: %w", err)
	}
	return &Lock{file: file}, nil
}

// Unlock gives the directory back. The file stays: removing it would let two processes lock two files of one name.
func (l *Lock) Unlock() error {
	if err := l.file.Truncate(0); err != nil {
		l.file.Close()
		return err
	}
	return l.file.Close()
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readPID(file *os.File) int {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}
