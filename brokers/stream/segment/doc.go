// Package segment is the file format of the entries that a stream no longer keeps in memory: immutable files, sorted by
// stream and offset, with a directory of their blocks at the end. FORMAT.md draws them.
//
// A file is written under a temporary name, fsynced, renamed and its directory fsynced; one that has its name is whole.
// Its checksums begin with the id of the stream log that it belongs to, so that the file of another data directory is not
// taken for one of this; files of the first version, which know no log, are read. Nothing is ever changed in it. It is removed once no list of segments names it.
//
// The directory of a file is kept in memory (72 bytes for each block of about 64 KiB); a block is read with one pread and
// its checksum verified each time it comes from the disk. Readers of a file that was removed meanwhile get ErrGone and
// look the offset up again.
//
// What is side by side in a file is mostly of different streams, so the kernel's own read-ahead would read megabytes of them for
// a block of one. ReadRandomly ends it; then a run of blocks that a reader takes is read with one pread, the kernel is asked for
// what a reader goes on with, and only where 16 MiB of one stream lie side by side does it read ahead by itself.
package segment
