//go:build !mutant

package fsm

// mutated reports whether a bug is seeded on purpose, to see that the simulator
// finds it (make mutants). In every product it is false when compiled: nothing of
// what it guards is there.
func mutated(string) bool { return false }

// ownClock is what only a seeded bug reads.
func ownClock() int64 { return 0 }
