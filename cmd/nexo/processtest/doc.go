// Package processtest tests the real nexo binary as a process: it is started, loaded over real connections, killed with
// SIGKILL, starved of disk or fed hostile bytes, and started again, while an oracle in the test keeps what was attempted
// and what was acknowledged.
//
// The binary is taken from NEXO_BIN; without it the tests build one. The number of crash rounds is set with
// NEXO_CRASH_ROUNDS (default 20; scripts/test asks for 100, a long run for 2,000).
package processtest
