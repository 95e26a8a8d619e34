// Package fsm decides. It is the replicated task table: pure, deterministic,
// without I/O, clock, goroutines, locks or randomness.
package fsm
