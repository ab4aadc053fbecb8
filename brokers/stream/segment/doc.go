// Package segment is the file format of the entries that a stream no longer keeps in memory: immutable files, sorted by
// stream and offset, with a directory of their blocks at the end. FORMAT.md draws them.
//
// A file is written under a temporary name, fsynced, renamed and its directory fsynced; one that has its name is whole.
// Nothing is ever changed in it. It is removed once no list of segments names it.
//
// The directory of a file is kept in memory (72 bytes for each block of about 64 KiB); a block is read with one pread and
// its checksum verified each time it comes from the disk. Readers of a file that was removed meanwhile get ErrGone and
// look the offset up again.
package segment
