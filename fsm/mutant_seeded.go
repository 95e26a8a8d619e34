//go:build mutant

package fsm

import "time"

// mutant names the seeded bug; the linker sets it.
var mutant string

func mutated(name string) bool { return mutant == name }

// ownClock is this machine's, which is another's on every master.
func ownClock() int64 { return time.Now().UnixNano() }
