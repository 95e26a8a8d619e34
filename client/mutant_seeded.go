//go:build mutant

package client

// mutant names the seeded bug; the linker sets it.
var mutant string

func mutated(name string) bool { return mutant == name }
