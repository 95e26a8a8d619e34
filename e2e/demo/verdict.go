package main

import (
	"fmt"
	"time"
)

// verdict is what the demo ends with.
type verdict struct {
	submitted   int // acknowledged submits
	completed   int // different tasks with a completion in a worker's journal
	wrong       int // results that differ from the ones computed here
	lost        int // acknowledged, but in no journal
	duplicates  int // tasks whose completion was recorded more than once
	leaderKills int
	gap         time.Duration // longest time between two completions
}

// good reports whether all is as promised.
func (v verdict) good() bool {
	return v == verdict{submitted: tasks, completed: tasks, leaderKills: 1, gap: v.gap}
}

func (v verdict) String() string {
	return fmt.Sprintf("demo: submitted=%d completed=%d wrong=%d lost=%d duplicate_completions=%d leader_kills=%d gap_ms=%d",
		v.submitted, v.completed, v.wrong, v.lost, v.duplicates, v.leaderKills, v.gap.Milliseconds())
}
