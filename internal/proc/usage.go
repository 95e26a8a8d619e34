package proc

import "time"

// Usage is what the system accounts to a process.
type Usage struct {
	CPU          time.Duration // user and system time, to 10 ms
	RSS, PeakRSS int64         // resident memory in bytes, now and at most
}
