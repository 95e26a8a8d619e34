package clustersim

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Plan says which seeds are played: First and those that follow, for a time and at
// least so many, Jobs at once, until too many Failures. With Again, First is played
// every time.
type Plan struct {
	First, Least uint64
	For          time.Duration
	Jobs         int
	Failures     int
	Again        bool
}

// Sum is what many seeds showed.
type Sum struct {
	Plan            Plan
	Seeds, Entries  uint64
	Tasks           int
	Simulated, Took time.Duration
	Failures        []Report
	Cover           map[string]uint64
	Missed          []string // situations that no seed was in and one should have been
}

// enoughSeeds together have nearly always been in all of mustMeet, and plentySeeds by
// far: a run of enough goes on while it was not, and fails at plenty.
const (
	enoughSeeds = 60
	plentySeeds = 4 * enoughSeeds
)

// hangLimit is how long a seed, which takes seconds, may play before it is named: one
// that never ends could not say which it was.
const hangLimit = time.Minute

// PlayMany plays seeds by play until the plan is done or too many have failed.
func PlayMany(p Plan, play func(seed uint64) Report) *Sum {
	began := time.Now()
	sum := &Sum{Plan: p, Cover: map[string]uint64{}}
	var mu sync.Mutex
	next := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		done := sum.Seeds >= p.Least && time.Since(began) >= p.For
		if len(sum.Failures) >= p.Failures || done && (sum.Seeds >= plentySeeds || len(sum.missed()) == 0) {
			return 0, false
		}
		sum.Seeds++
		if p.Again {
			return p.First, true
		}
		return p.First + sum.Seeds - 1, true
	}
	var playing sync.WaitGroup
	for range max(1, p.Jobs) {
		playing.Go(func() {
			for {
				seed, ok := next()
				if !ok {
					return
				}
				slow := time.AfterFunc(hangLimit, func() {
					fmt.Fprintf(os.Stderr, "sim-cluster: seed %d is at it for %v already: does it hang?\n", seed, hangLimit)
				})
				r := play(seed)
				slow.Stop()
				mu.Lock()
				sum.add(r)
				mu.Unlock()
			}
		})
	}
	playing.Wait()
	sum.Took = time.Since(began)
	sum.Missed = sum.missed()
	return sum
}

// missed returns the situations that were not met, once enough seeds were played.
func (s *Sum) missed() (names []string) {
	for _, name := range mustMeet {
		if s.Cover[name] == 0 && s.Seeds >= enoughSeeds && !s.Plan.Again {
			names = append(names, name)
		}
	}
	return names
}

func (s *Sum) add(r Report) {
	s.Entries += r.Entries
	s.Tasks += r.Tasks
	s.Simulated += r.Simulated
	for name, n := range r.Cover {
		s.Cover[name] += n
	}
	if len(r.Problems) > 0 {
		s.Failures = append(s.Failures, r)
	}
}

// Failed reports whether something did not hold, or was never put to the test.
func (s *Sum) Failed() bool { return len(s.Failures)+len(s.Missed) > 0 }

// Print writes what was played, and how to play again what failed.
func (s *Sum) Print(w io.Writer, cover bool) {
	if cover {
		for _, name := range slices.Sorted(maps.Keys(s.Cover)) {
			fmt.Fprintf(w, "  %-48s %d\n", name, s.Cover[name])
		}
	}
	fmt.Fprintf(w, "sim-cluster: %d seeds in %.1f s (%.2f seeds/s), %d entries, %d tasks, %.1f simulated hours, %d of %d situations met\n",
		s.Seeds, s.Took.Seconds(), float64(s.Seeds)/s.Took.Seconds(), s.Entries, s.Tasks, s.Simulated.Hours(),
		len(mustMeet)-len(s.Missed), len(mustMeet))
	for _, r := range s.Failures {
		fmt.Fprintf(w, "sim-cluster: FAILED seed %d: %s\n", r.Seed, strings.Join(r.Problems, "; "))
		fmt.Fprintf(w, "sim-cluster:   again: go test ./internal/sim/clustersim -run TestSeeds -v -args -seed %d -times 20\n", r.Seed)
	}
	if s.Plan.Again {
		fmt.Fprintf(w, "sim-cluster: seed %d failed in %d of %d plays\n", s.Plan.First, len(s.Failures), s.Seeds)
	}
	if len(s.Missed) > 0 {
		fmt.Fprintf(w, "sim-cluster: FAILED: never met: %s\n", strings.Join(s.Missed, ", "))
	}
}

// mustMeet are the situations that a run of many seeds must have been in.
var mustMeet = []string{
	"fault: kill", "fault: power cut", "fault: kill all", "fault: long away", "fault: stop in order", "fault: hand over", "fault: cut off",
	"fault: one-way", "fault: no majority", "fault: one link", "fault: reject", "fault: short reject", "fault: clog", "fault: disk stalls",
	"fault: disk hangs", "fault: all disks hang", "fault: disk fails", "fault: disk full", "fault: disk low", "fault: bit flip",
	"fault: clock jump", "fault: worker kill", "fault: worker freeze", "fault: caller apart", "fault: disk lost", "fault: member removed",
	"leader killed", "leader cut off", "leadership handed over", "master stopped in order", "master ended by its disk",
	"unsynced write lost", "flipped bit refused", "wiped master refused", "lost master replaced", "removed member ended by itself", "member removed and taken in again", "leader removed and taken in again", "disk hung for longer than its deadline", "disk hung for good",
	"table read from a snapshot", "node counted snapshots", "node counted snapshots_installed", "node counted snapshots_spared", "node counted observed_death_failovers",
	"entry compared", "session expired",
	"SDK: answer lost", "SDK: submit ok", "SDK: submit maybe", "leader asked that was deposed unawares", "unsynced name lost",
	"alarm CLOCK_SKEW", "submit refused, disk low", "outcome unknown", "call lost", "call doubled", "stream broken",
	"schedule fired", "misfire caught up",
	"worker attached", "poll got tasks", "poll got what was unheard of", "read of a follower", "completion accepted",
	"report answered STALE_REASSIGNED", "report answered STALE_TIMED_OUT", "report answered ALREADY_TERMINAL", "report answered TASK_CANCELLED",
}
