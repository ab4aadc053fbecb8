//go:build linux && !race

package slab

import (
	"os"
	"syscall"
	"unsafe"
)

// mapMemory maps memory that becomes resident page by page as it is used. Huge pages are declined: one page in use would
// make 2 MiB resident, and handing back a single page would be undone by the kernel.
func mapMemory(size int) ([]byte, error) {
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	_ = syscall.Madvise(memory, syscall.MADV_NOHUGEPAGE) // a kernel without huge pages does not know the word
	return memory, nil
}

// handBack gives the pages of the memory to the system; false when it does not take them, as of a process that is locked in memory.
func handBack(memory []byte) bool {
	page := os.Getpagesize()
	address := int(uintptr(unsafe.Pointer(&memory[0])) % uintptr(page))
	first := (page - address) % page
	end := len(memory) - (address+len(memory))%page
	return first >= end || syscall.Madvise(memory[first:end], syscall.MADV_DONTNEED) == nil
}
