//go:build !mutant

package client

// mutated reports whether a bug is seeded on purpose, to see that the simulator of
// clusters finds it (make mutants). In every product it is false when compiled: nothing
// of what it guards is there.
func mutated(string) bool { return false }
