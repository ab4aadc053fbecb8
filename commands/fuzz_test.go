package commands_test

import (
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands/commandstest"
)

// fuzzSeeds are commands of all families.
var fuzzSeeds = []string{
	"QMPUSH q 2 a b PRIORITY 3\nQPOP q COUNT 2 META\nQNACK q 1-1 REASON no DEAD\nQDLQ LIST q\nQDLQ REPLAY q ALL\nQINFO q",
	"QPOP q BLOCK 0\nQPUSH q x DEDUP k DELAY 5s\nQPEEK q STATE DELAYED MATCH x",
	"XMAPPEND s 2 a b\nXGCREATE s g START first\nXCONSUME s g c COUNT 1\nXACK s g #1..#2\nXSTAT s g",
	"XADD s 1-1 f v\nXGROUP CREATE s g 0\nXREADGROUP GROUP g c COUNT 1 STREAMS s >\nXAUTOCLAIM s g d 0 0\nXINFO STREAM s FULL",
	"XREAD BLOCK 0 STREAMS s $\nXFETCH s next BLOCK 0\nXAPPEND s v EXPECT 3 DEDUP d",
	"NPUB a/b x RETAIN EX 5\nNSUB a/+ #\nNPUB a/c y NOECHO\nNRETAINED # COUNT 1\nNTOPICS\nNWHO #\nNUNSUB",
	"SUBSCRIBE a b\nPSUBSCRIBE a/+ x*\nSSUBSCRIBE s\nUNSUBSCRIBE\nPUNSUBSCRIBE x*\nPUBLISH a b",
	"NSUB $share/g/a SHARE h\nNMPUB 2 a 1 b 2\nNWILL a x RETAIN PX 1\nNRDEL #\nPUBSUB NUMSUB a\nRESET",
	"HELLO 3 AUTH default x SETNAME me\nCLIENT LIST\nCLIENT KILL ID 5\nCONFIG SET requirepass x\nAUTH x\nINFO ALL\nQUIT",
	"NSET k v EX 5 GET\nNINCR n BYFLOAT 1 EX 5 ENX\nNLIMIT k 5 1s COST 2\nNSCAN 0 PREFIX k WITHTTL",
}

// FuzzCommandTable runs any words at all through dispatch: one reply each, well formed, no panic, and an error changes nothing.
func FuzzCommandTable(f *testing.F) {
	seeds := fuzzSeeds
	for line := range strings.Lines(coreTable) {
		seeds = append(seeds, strings.TrimSpace(line))
	}
	commandstest.RunFuzz(f, seeds, func(string) bool { return true })
}
