package cluster

import "sync/atomic"

// counters of the engine since the process started, for Status and metrics.
type counters struct {
	entries, commands atomic.Uint64 // proposed
	assigns, assigned atomic.Uint64 // commands, and tasks that they gave
	reports           atomic.Uint64 // completions, failures and releases of streams
	ticks, rounds     atomic.Uint64
	attaches, expired atomic.Uint64
	heartbeats        atomic.Uint64
	overloaded, slow  atomic.Uint64
	mismatches        atomic.Uint64
	unobserved        atomic.Uint64 // steps that Config.Steps did not hear of
}

// counters returns the engine's counters by name.
func (e *engine) counters() map[string]uint64 {
	c := &e.count
	return map[string]uint64{
		"entries":              c.entries.Load(),
		"commands":             c.commands.Load(),
		"assign_commands":      c.assigns.Load(),
		"assigned":             c.assigned.Load(),
		"reports":              c.reports.Load(),
		"ticks":                c.ticks.Load(),
		"read_rounds":          c.rounds.Load(),
		"attaches":             c.attaches.Load(),
		"sessions_expired":     c.expired.Load(),
		"heartbeats":           c.heartbeats.Load(),
		"proposals_overloaded": c.overloaded.Load(),
		"slow_consumers":       c.slow.Load(),
		"attach_again":         c.mismatches.Load(),
		"steps_unobserved":     c.unobserved.Load(),
	}
}
