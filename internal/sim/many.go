package sim

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Plan says which seeds are played: First and those that follow, for a time and
// at least so many, Jobs at once, until too many Failures.
type Plan struct {
	First, Least uint64
	For          time.Duration
	Jobs         int
	Failures     int // stop at so many
}

// Sum is what many seeds showed.
type Sum struct {
	Seeds, Entries uint64
	Simulated      time.Duration
	Took           time.Duration
	Failures       []Report
	Cover          Coverage
	Complete       bool // enough seeds to expect that everything was reached
}

// enoughSeeds is how many seeds together have, by far, reached all of mustReach.
const enoughSeeds = 200

// PlayMany plays seeds until the plan is done or too many have failed.
func PlayMany(p Plan) *Sum {
	began := time.Now()
	sum := &Sum{Cover: make(Coverage)}
	var mu sync.Mutex
	next := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(sum.Failures) >= p.Failures || (sum.Seeds >= p.Least && time.Since(began) >= p.For) {
			return 0, false
		}
		sum.Seeds++
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
				r := Run(seed, nil)
				mu.Lock()
				sum.add(r)
				mu.Unlock()
			}
		})
	}
	playing.Wait()
	sum.Took, sum.Complete = time.Since(began), sum.Seeds >= enoughSeeds
	return sum
}

func (s *Sum) add(r Report) {
	s.Entries += r.Entries
	s.Simulated += time.Duration(r.Simulated)
	for name, n := range r.Cover {
		s.Cover[name] += n
	}
	if r.Err != nil {
		s.Failures = append(s.Failures, r)
	}
}

// Missed returns what no seed reached and some should have.
func (s *Sum) Missed() (names []string) {
	if !s.Complete {
		return nil
	}
	for _, name := range mustReach {
		if s.Cover[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// Failed reports whether something did not hold, or was never put to the test.
func (s *Sum) Failed() bool { return len(s.Failures)+len(s.Missed()) > 0 }

// Print writes what was played, and how to play what failed again.
func (s *Sum) Print(w io.Writer, cover bool) {
	if cover {
		for _, name := range slices.Sorted(maps.Keys(s.Cover)) {
			fmt.Fprintf(w, "  %-40s %d\n", name, s.Cover[name])
		}
	}
	fmt.Fprintf(w, "sim: %d seeds in %.1f s (%.1f seeds/s), %d entries, %.1f simulated hours, %d of %d situations reached\n",
		s.Seeds, s.Took.Seconds(), float64(s.Seeds)/s.Took.Seconds(), s.Entries, s.Simulated.Hours(),
		len(mustReach)-len(s.Missed()), len(mustReach))
	for _, r := range s.Failures {
		fmt.Fprintf(w, "sim: FAILED seed %d: %v\n", r.Seed, r.Err)
		fmt.Fprintf(w, "sim:   again: go run ./internal/sim/simulate -seed %d -trace\n", r.Seed)
	}
	if missed := s.Missed(); len(missed) > 0 {
		fmt.Fprintf(w, "sim: FAILED: never reached: %s\n", strings.Join(missed, ", "))
	}
}

// mustReach are the situations that a run of many seeds must have been in.
var mustReach = []string{
	"message lost", "message doubled", "message late", "leader died", "worker died", "worker frozen", "session silent",
	"entry of a dead leader", "table restored", "snapshot installed", "tables compared", "clock jumped", "said again", "call echoed",
	"submit ACCEPTED", "submit EXISTING", "submit REQUEST_ID_CONFLICT", "submit CALL_FORGOTTEN",
	"assign got tasks", "assign NO_SESSION", "update_session got tasks", "update_session NO_SESSION",
	"open_session ACCEPTED", "open_session got tasks", "open_session aborts", "open_session BOOT_REPLACED", "open_session WORKER_ID_IN_USE",
	"close_session ACCEPTED", "expire_session ACCEPTED", "expire_session NO_SESSION",
	"complete ACCEPTED", "complete DUPLICATE", "complete CONFLICT", "complete STALE_TIMED_OUT", "complete STALE_REASSIGNED",
	"complete ALREADY_TERMINAL", "complete TASK_CANCELLED", "complete FORGOTTEN", "complete UNKNOWN_TASK",
	"fail ACCEPTED", "fail DUPLICATE", "fail CONFLICT", "fail STALE_TIMED_OUT", "fail STALE_REASSIGNED", "fail TASK_CANCELLED",
	"release ACCEPTED", "release CONFLICT", "release STALE_TIMED_OUT", "release DUPLICATE",
	"cancel ACCEPTED", "cancel DUPLICATE", "cancel ALREADY_TERMINAL", "cancel FORGOTTEN", "cancel UNKNOWN_TASK",
	"retry ACCEPTED", "retry NOT_TERMINAL", "retry FORGOTTEN", "tick ACCEPTED", "set_queue ACCEPTED",
	"set_schedule ACCEPTED", "set_schedule EXISTING", "set_schedule SCHEDULE_EXISTS",
	"pause_schedule ACCEPTED", "pause_schedule DUPLICATE", "pause_schedule NO_SCHEDULE",
	"delete_schedule ACCEPTED", "delete_schedule NO_SCHEDULE",
	"trigger_schedule ACCEPTED", "trigger_schedule NO_SCHEDULE", "trigger_schedule SCHEDULE_BUSY", "trigger_schedule UNIQUE_KEY_TAKEN",
	"fire ACCEPTED", "fire FIRE_STALE", "fire FIRE_REFUSED", "fire NO_SCHEDULE", "fire SCHEDULE_BUSY", "fire UNIQUE_KEY_TAKEN",
	"fired by a new leader again", "misfire left out", "misfire caught up", "fired at the end of a gap", "cancelled by its schedule",
	"unique key taken", "unique key free at the start", "retry UNIQUE_KEY_TAKEN",
	"submit_batch ACCEPTED", "submit_batch EXISTING", "submit_batch REQUEST_ID_CONFLICT", "submit_batch UNIQUE_KEY_TAKEN",
	"open_batch ACCEPTED", "open_batch EXISTING", "stage_batch ACCEPTED", "stage_batch DUPLICATE", "stage_batch REQUEST_ID_CONFLICT",
	"stage_batch NO_BATCH", "commit_batch ACCEPTED", "commit_batch EXISTING", "commit_batch REQUEST_ID_CONFLICT",
	"commit_batch UNIQUE_KEY_TAKEN", "commit_batch NO_BATCH", "cancel_batch ACCEPTED", "cancel_batch DUPLICATE",
	"cancel_batch ALREADY_TERMINAL", "cancel_batch NO_BATCH", "submit NO_PARENT", "submit_batch NO_PARENT", "submit_batch DEPENDENCY_CYCLE",
	"stage_batch NO_PARENT", "commit_batch DEPENDENCY_CYCLE", "ready after its parents", "cancelled with its parent",
	"delete TASK_AWAITED", "batch finished", "followed a batch", "followed a task",
	"delete ACCEPTED", "delete BATCH_UNFINISHED", "delete NOT_TERMINAL", "delete FORGOTTEN",
	"drain_worker ACCEPTED", "drain_worker DUPLICATE", "drain_worker NO_WORKER",
	"remove_worker ACCEPTED", "remove_worker WORKER_BUSY", "remove_worker NO_WORKER",
	"swept", "retried in bulk", "left dead by a bulk retry",
	"broadcast opened", "broadcast opened when its time had come", "broadcast in a batch", "broadcast of a schedule",
	"broadcast acknowledged", "broadcast acknowledged by enough", "broadcast acknowledged by all at its deadline",
	"broadcast dead of no_targets", "broadcast dead of too_few_targets", "broadcast dead of not_acknowledged", "broadcast dead of deadline",
	"broadcast cancelled with its targets", "broadcast retried for its targets", "broadcast retried with a new audience",
	"broadcast deleted with its targets", "late joiner", "late joiner after enough",
	"target beside full slots", "target at a drained worker", "target acked", "target retried", "target taken back",
	"target given to a new process", "target dead of max_attempts", "target cancelled: gone", "target cancelled: deadline",
	"became poison", "ran alone", "expired unstarted", "timed out for good", "redeemed", "taken back",
}
