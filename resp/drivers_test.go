package resp

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// loopsInTests is Options.Loops of the servers under test: more than one, whatever the machine has, and none in the second run.
var loopsInTests = 2

// TestMain runs every test twice: with event loops, and with a goroutine for each connection, as on systems that have none.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if code == 0 && !isSet("test.fuzz") && !isSet("test.bench") && !isSet("test.list") {
		fmt.Println("once more, with a goroutine for each connection")
		loopsInTests = -1
		code = m.Run()
	}
	os.Exit(code)
}

func isSet(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}
