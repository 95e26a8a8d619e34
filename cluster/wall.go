//go:build !chaos

package cluster

import "time"

// wallClock is the machine's clock; it may step.
func wallClock() time.Time { return time.Now() }
