// Command budget is what `make bench-budget` runs: where the CPU time of one
// lifecycle goes, in microseconds, on the leader, the followers and the clients.
//
//	main.go     runs `taskraft bench` and, while it measures, perf
//	stacks.go   the stacks that perf script prints
//	account.go  which stage a stack belongs to, and the table
//
// The arguments are those of `taskraft bench`. It needs perf (the package
// linux-perf), the right to use it, and a binary with its symbols.
package main
