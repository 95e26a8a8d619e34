package model

import (
	"cmp"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The states of a task, as the API names them.
const (
	Scheduled = "SCHEDULED"
	Ready     = "READY"
	Running   = "RUNNING"
	Stopping  = "STOPPING"
	Succeeded = "SUCCEEDED"
	Dead      = "DEAD"
	Cancelled = "CANCELLED"
)

// Task is one task's record. Times are Unix nanoseconds of the table's clock.
type Task struct {
	ID         uint64
	Generation uint32
	State      string

	Queue        string
	Kind         string
	Priority     int32
	Timeout      int64
	MaxAttempts  uint32
	BackoffBase  int64
	BackoffMax   int64
	Retain       int64
	Require      []*fsmpb.Label
	Key          string
	RequestID    string
	Unique       string
	Waiting      bool // for parents
	UntilStart   bool // it is free again when the task has started
	Batch        uint64
	Follows      uint64 // the task, or the batch, with whose end it was submitted
	FollowsBatch uint64
	Schedule     string
	FireTime     int64 // its nominal time; 0: triggered

	Of                     uint64 // the broadcast that it is a target of,
	For                    string // and the worker for which
	Until                  int64  // the deadline of both; 0: not opened yet
	Targets, Acked, Failed int    // of a broadcast, recounted

	Submitted, Eligible, Expires, Finished int64
	Attempts, Failures, Crashes, Solo      uint32 // Solo: crashes while alone

	// The attempt that holds it, or the last one while it may still be redeemed.
	Fence        uint64
	Session      uint64
	Worker, Boot string
	Started      int64
	Deadline     int64
	Alone        bool
	Redeemable   bool
	Stop         string // why it is stopping

	Result []byte
	Error  string
	Reason string

	onSuccess, onDead []*fsmpb.TaskSpec
	labels            []*fsmpb.Label
	broadcast         *broadcast // nil: it is none

	afterRun bool            // a parent that did not succeed does not cancel it
	pending  map[uint64]bool // parents that have not ended

	ended   []ended
	started bool // in this generation: past its expires_in
}

// ended is an attempt of the past.
type ended struct {
	fence        uint64
	worker, boot string
	cause        string
	verb         string // what its worker asked for; "": it was not asked
	digest       uint64
}

// Terminal reports whether the task's generation has ended.
func (t *Task) Terminal() bool {
	return t.State == Succeeded || t.State == Dead || t.State == Cancelled
}

func (t *Task) held() bool {
	return (t.State == Running || t.State == Stopping) && t.broadcast == nil
}

func byFence(a, b *Task) int { return cmp.Compare(a.Fence, b.Fence) }
func byID(a, b *Task) int    { return cmp.Compare(a.ID, b.ID) }

// over notes how the present attempt ended. One that ended before, by the loss of
// its session, and is now redeemed has one note.
func (t *Task) over(cause, verb string, digest uint64) {
	t.ended = slices.DeleteFunc(t.ended, func(e ended) bool { return e.fence == t.Fence })
	t.ended = append(t.ended, ended{t.Fence, t.Worker, t.Boot, cause, verb, digest})
	if len(t.ended) > keepEnded {
		t.ended = slices.Clone(t.ended[len(t.ended)-keepEnded:])
	}
}

// void forgets the attempt: its fence is worth nothing any more.
func (t *Task) void() {
	t.Fence, t.Session, t.Worker, t.Boot = 0, 0, "", ""
	t.Started, t.Deadline, t.Alone, t.Redeemable, t.Stop = 0, 0, false, false, ""
}

// touch notes that an entry has changed the task.
func (m *Table) touch(t *Task) { m.touched[t.ID] = true }

// finish ends the task's generation.
func (m *Table) finish(t *Task, state, reason string) {
	m.touch(t)
	t.void()
	t.State, t.Reason, t.Finished, t.pending = state, reason, m.now, nil
	m.forgetRequest(t)
	m.endParent(t)
	if whole := m.tasks[t.Of]; whole != nil {
		m.decide(whole)
	}
	m.trim(m.queues[t.Queue], trimmedPerEnd)
	var next []*fsmpb.TaskSpec // submitted in the same entry, once
	switch state {
	case Succeeded:
		next, t.onSuccess = t.onSuccess, nil
	case Dead:
		next, t.onDead = t.onDead, nil
	}
	m.follow(next, t.ID, 0)
	m.endBatch(m.batches[t.Batch])
}

// drop removes the record of a task that has ended.
func (m *Table) drop(t *Task) {
	m.touch(t)
	delete(m.tasks, t.ID)
	if b := m.batches[t.Batch]; b != nil {
		b.gone[t.State]++
	}
	if whole := m.tasks[t.Of]; whole != nil {
		m.touch(whole)
		if t.State == Succeeded {
			whole.broadcast.gone[0]++
		} else {
			whole.broadcast.gone[1]++
		}
	}
}

// wait sends the task back to wait until a time, with a new place in the queue.
func (m *Table) wait(t *Task, until int64) {
	m.touch(t)
	t.void()
	t.Eligible = until
	t.State = Scheduled
	if until <= m.now {
		t.State = Ready
	}
}

// backoff is the wait after the k-th failure: base·2^(k−1), at most limit, ±20 %
// by a hash of task and k (S10).
func backoff(task uint64, k uint32, base, limit int64) int64 {
	d := base
	for range k - 1 {
		if d > limit/2 {
			d = limit
			break
		}
		d *= 2
	}
	d = min(d, limit)
	spread := d / 5
	return d - spread + int64(mix(mix(task)+uint64(k))%uint64(2*spread+1))
}

// mix is the splitmix64 mixer.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}
