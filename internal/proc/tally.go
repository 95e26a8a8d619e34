package proc

import (
	"slices"
	"time"
)

// Tally counts completions from the workers' own journals.
type Tally struct {
	fences   map[uint64]map[uint64]int // task → fence → times ACCEPTED was answered
	times    []time.Time               // of the first confirmation of each fence
	outcomes map[string]int
}

// NewTally returns an empty tally.
func NewTally() *Tally {
	return &Tally{fences: make(map[uint64]map[uint64]int), outcomes: make(map[string]int)}
}

// Add counts lines of any journal, in any order.
func (t *Tally) Add(lines ...Settled) {
	for _, s := range lines {
		t.outcomes[s.Outcome]++
		if !s.Counts() {
			continue
		}
		fences := t.fences[uint64(s.Task)]
		if fences == nil {
			fences = make(map[uint64]int)
			t.fences[uint64(s.Task)] = fences
		}
		if _, seen := fences[uint64(s.Fence)]; !seen {
			fences[uint64(s.Fence)] = 0
			t.times = append(t.times, s.Time)
		}
		if s.Outcome == "ACCEPTED" {
			fences[uint64(s.Fence)]++
		}
	}
}

// Completed returns how many different tasks have a recorded completion.
func (t *Tally) Completed() int { return len(t.fences) }

// Has reports whether the task has a recorded completion.
func (t *Tally) Has(task uint64) bool { return t.fences[task] != nil }

// Outcomes returns how often each outcome was confirmed. Do not change it.
func (t *Tally) Outcomes() map[string]int { return t.outcomes }

// Duplicates returns the tasks whose completion was recorded more than once
// (S4): under two fences, or accepted twice under one.
func (t *Tally) Duplicates() []uint64 {
	var tasks []uint64
	for task, fences := range t.fences {
		twice := len(fences) > 1
		for _, accepted := range fences {
			twice = twice || accepted > 1
		}
		if twice {
			tasks = append(tasks, task)
		}
	}
	slices.Sort(tasks)
	return tasks
}

// Gap returns the longest time without a completion that touches from…to:
// between two neighbours of which the second is after from and the first is
// before to. Zero times stand for no limit.
func (t *Tally) Gap(from, to time.Time) time.Duration {
	times := slices.SortedFunc(slices.Values(t.times), time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		before, after := times[i-1], times[i]
		if after.Before(from) || (!to.IsZero() && before.After(to)) {
			continue
		}
		longest = max(longest, after.Sub(before))
	}
	return longest
}
