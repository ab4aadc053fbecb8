// Package slab is memory outside of the garbage collector's heap, for very many small blocks that come and go under locks of their
// own. The collector neither marks nor counts them, what is freed is free at once, and pages without blocks go back to the system.
//
// # Shape
//
//	Pool                     one for all; a lock of its own, taken when pages are needed or given up
//	  chunk 4 MiB            mapped once, never unmapped; cut into runs of one length
//	    run                  1 to 64 pages of 4 KiB that somebody holds; longer runs are chunks by themselves
//	Arena                    one for some owners that lie beside each other; a lock of its own, held for the change of some bits
//	  class [59]             blocks of one size
//	    span                 a run, cut into blocks:  | header 48 B | owner of each block, a byte | block | block | ... |
//
// A block of more than BlockMax bytes is the only one of its span. The blocks of a span are found by their number: the owner keeps
// a Place of two bytes with each, which is all that Free needs.
//
// # Fragmentation
//
// Classes are 8 bytes apart up to 216 and then 21 % at most, 13 % mostly; the end of a span that no block fits into is less than a
// twentieth of it. What an arena has too many of are free blocks in spans that are in use: when sizes change, each span of the old size
// empties by and by. So an arena is loose, as Free then tells, when a class has a span's free blocks and besides those of half a span or a
// thirty-second of all its blocks, whichever is more. Who has no owner locked then takes one span out of use (Begin), and moves its blocks
// to others, those of one owner at a time and with that owner locked (Move), who is told where each is now; when all owners had their turn
// the span is given up (End). Each block that is freed costs about one move at most.
//
// An arena for each owner would need no lock, but the last span of a class is half empty on average: of 256 owners with values of
// forty sizes that is 50 MiB. Sixteen arenas hold it down to 3.
//
// Free runs stay with their chunk: up to a thirty-second of what is held (2 MiB at least) as they are, for whoever needs one next;
// the others are handed back to the system, in the background and with no lock held, and all of them when somebody asks
// (HandBack). A chunk that is free and handed back altogether is cut anew, unless it is one run. So runs of one length leave no holes
// that another length could not use, at the price of addresses.
//
// # What the memory may hold
//
// No pointer into the collector's heap: it would not be seen. And no typed pointer at all: the collector's write barrier reads what
// a pointer overwrites, and what a block held before may be bytes that a client chose. Addresses of blocks are kept as uintptr, and
// Clear zeroes what needs it. Who has the address of a block uses it under the lock of its owner only: nothing else keeps it valid.
//
// A Pool that nobody knows any more hands back its pages; the addresses stay reserved, so that none of them, in a register of a
// goroutine that will not use it, can become one of the collector's.
//
// # Systems
//
// On Linux the memory is mapped. Elsewhere, and in a build with the race detector, which sees nothing outside of the heap, chunks are
// large pointer-free objects of the heap; the rest is the same, but pages that are handed back are only zeroed, and Resident counts them
// no more all the same. With the race detector a block that is freed is overwritten, so that who still reads it is found out.
package slab
