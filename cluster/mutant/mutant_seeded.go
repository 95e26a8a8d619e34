//go:build mutant

package mutant

// name of the seeded bug; the linker sets it.
var name string

// On reports whether the bug of that name is switched on.
func On(bug string) bool { return name == bug }
