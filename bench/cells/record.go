package cells

import (
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/internal/measure"
)

// maxKeys is how many tasks a run can tell apart: keys are dense.
const maxKeys = 1 << 26

// record is what is known of a run's tasks. It is safe for concurrent use.
type record struct {
	epoch     time.Time
	measuring atomic.Bool

	number    atomic.Uint64 // of the last payload
	acked     atomic.Uint64
	completed atomic.Uint64 // distinct tasks
	repeated  atomic.Uint64 // completions of tasks that were completed before
	failed    atomic.Uint64 // submit calls
	lastError atomic.Pointer[error]

	submits, starts measure.Histogram // while measuring

	last    atomic.Int64 // completion, since epoch
	longest atomic.Int64 // gap between two

	done []atomic.Uint64 // a bit per key
}

func newRecord() *record {
	return &record{epoch: time.Now(), done: make([]atomic.Uint64, maxKeys/64)}
}

func (r *record) now() time.Duration { return time.Since(r.epoch) }

func (r *record) fail(err error) {
	r.failed.Add(1)
	r.lastError.Store(&err)
}

// complete notes a confirmed completion and tells whether it is the task's first.
func (r *record) complete(key uint64) bool {
	now := int64(r.now())
	gap := now - r.last.Swap(now)
	for {
		longest := r.longest.Load()
		if gap <= longest || r.longest.CompareAndSwap(longest, gap) {
			break
		}
	}
	key %= maxKeys
	bit := uint64(1) << (key % 64)
	if r.done[key/64].Or(bit)&bit != 0 {
		r.repeated.Add(1)
		return false
	}
	r.completed.Add(1)
	return true
}

// silence returns how long the last completion is ago.
func (r *record) silence() time.Duration { return r.now() - time.Duration(r.last.Load()) }

// unfinished returns how many acknowledged tasks are not completed. A submit
// whose answer was lost may hide some.
func (r *record) unfinished() uint64 {
	completed := r.completed.Load() // first: it may only be behind
	acked := r.acked.Load()
	return acked - min(acked, completed)
}
