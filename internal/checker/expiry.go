package checker

import (
	"slices"
	"time"
)

const (
	// sessionTTL is how long a silent worker keeps its tasks in these runs.
	sessionTTL = 10 * time.Second
	// heartbeat is how long before a fault the last heartbeat may have come at most.
	heartbeat = sessionTTL / 4
	// settled is what measuring costs: masters apply an entry one after the other.
	settled = 200 * time.Millisecond
)

// expiries looks at when, by the clock on the wall, sessions expired (S7): never
// within a TTL of the first entry of a leader's term, and only those of workers that
// a fault had silenced, a TTL after their last heartbeat.
func (r *Report) expiries(h *History, log []Entry) {
	at := firstApplied(h)
	ready := make(map[uint64]int64) // by term: when its first entry was applied
	workers := make(map[uint64]string)
	for _, run := range h.Runs {
		workers[run.Fence] = run.Worker
	}
	opened := make(map[uint64]int64)   // by session
	holders := make(map[uint64]uint64) // session by fence
	for _, e := range log {
		when := at[e.Index]
		if when == 0 {
			continue // recorded before taps had a clock
		}
		if ready[e.Term] == 0 {
			ready[e.Term] = when
		}
		for _, v := range e.Events {
			switch v.Kind {
			case "session_opened":
				opened[v.Session] = when
			case "assigned":
				holders[v.Fence] = v.Session
			}
			if v.Cause != "expired" || v.Fence == 0 || v.Kind != "ready" && v.Kind != "assigned" {
				continue
			}
			r.Counts["expiry with a time"]++
			if reign := time.Duration(when - ready[e.Term]); reign < sessionTTL-settled {
				r.add("S7", "entry %d: task %d is taken from its worker %v after the first entry of term %d, less than a TTL", e.Index, v.Task, reign, e.Term)
			}
			worker, ran := workers[v.Fence]
			if v.Kind == "assigned" || !ran {
				continue // given back to who had lost it; or it never began
			}
			if silent, hit := silence(h.Faults, worker, opened[holders[v.Fence]], when); !hit {
				r.add("S7", "entry %d: task %d is taken from %s, whom no fault had hit", e.Index, v.Task, worker)
			} else if silent < sessionTTL-heartbeat-settled {
				r.add("S7", "entry %d: task %d is taken from %s %v after a fault hit it, less than a TTL after its last heartbeat", e.Index, v.Task, worker, silent)
			}
		}
	}
}

// firstApplied returns when each entry was applied by the first master to do so.
func firstApplied(h *History) map[uint64]int64 {
	at := make(map[uint64]int64)
	for _, tap := range h.Taps {
		for _, e := range tap {
			if old := at[e.Index]; e.At != 0 && (old == 0 || e.At < old) {
				at[e.Index] = e.At
			}
		}
	}
	return at
}

// ends are the faults after which a worker's process is another, with another session.
var ends = []string{"kill worker", "lose worker"}

// silence returns for how long a worker had been silent in a session that was opened at
// one time and expired at another, and whether a fault had hit it at all. A killed
// process never speaks again in its session; one that was frozen may have, until the
// newest fault.
func silence(faults []Fault, worker string, opened, when int64) (silent time.Duration, hit bool) {
	for _, f := range faults {
		if f.Target != worker || f.Start > when {
			continue
		}
		since := time.Duration(when - f.Start)
		if f.Start > opened && slices.Contains(ends, f.Kind) {
			return since, true
		}
		if !hit || since < silent {
			silent, hit = since, true
		}
	}
	return silent, hit
}
