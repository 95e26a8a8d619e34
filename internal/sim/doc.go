// Package sim runs the state machine in a world that is worse than any real one,
// as often as the processor can: workers that die, freeze, come back and report
// late, submitters that repeat calls, a network that loses, doubles and delays
// messages, leaders that die with entries under way, clocks that jump, tables
// that are written to a snapshot and read again between two entries.
//
// All of a world is one goroutine, one clock that it turns itself and one stream
// of random numbers, so a seed is a whole run and can be looked at again. Each
// seed also draws which faults there are and how often (a swarm: some seeds lose
// no message and kill every second worker, others the other way around).
//
// After every entry the results and every touched task are compared with package
// model, which shares no code with the machine. Every so often the whole table is,
// and a second machine that follows by log and by snapshots must have the same
// bytes (C1, C3). At the end the faults stop, and everything must come to its end
// (L1); what was acknowledged must be there (S1).
//
// What no seed of a run ever reached is reported: a simulator that never sees a
// stale fence proves nothing about stale fences.
package sim
