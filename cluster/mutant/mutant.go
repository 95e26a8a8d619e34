//go:build !mutant

// Package mutant switches bugs on that are seeded in the cluster on purpose, to see
// that the simulator finds them (make mutants). The linker names one, in a build
// with the tag mutant; in every other build nothing of what On guards is there.
package mutant

// On reports whether the bug of that name is switched on.
func On(string) bool { return false }
