// Command bench measures Taskraft and its peers with the same work on this
// machine, side by side: `make bench-peers`. It is a module of its own, so that
// no peer is a dependency of the product.
//
// Runs alternate between the systems (A B C A B C …). Each starts its system
// fresh, as processes on loopback ports, with its data on a disk, and removes it
// again. What the systems are is in package peer, what is done to them in
// package cells, what comes out in package report. docs/bench/README.md says how
// to read it.
//
//	main.go      start and end
//	options.go   flags
//	run.go       the order of the runs
//	machine.go   what the figures were taken on
package main
