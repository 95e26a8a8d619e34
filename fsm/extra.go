package fsm

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Extra holds what most tasks do not use: one without any of it pays one nil
// pointer. It is frozen like the Task that it belongs to: an update copies both.
type Extra struct {
	Require        []Label // a session must have them all; sorted, each once
	ConcurrencyKey string
	UniqueKey      string     // no other task with it enters while this one keeps it
	UntilStart     bool       // that is until it has started, not until it has ended
	Labels         []Label    // a search can ask for them; sorted, each once
	Broadcast      *Broadcast // it is carried out by every matching worker
	Target         *Target    // it is a broadcast's, for one worker

	Schedule string // the schedule that submitted it; "": none
	FireTime int64  // the nominal time for which it did; 0: it was triggered

	pool string // Require as one string; tasks that require the same share it

	Batch uint64 // the batch that it was submitted in; 0: none

	After    []Parent // by id
	AfterRun bool     // a parent that did not succeed does not cancel it
	Waiting  bool     // for parents

	OnSuccess []*fsmpb.TaskSpec // submitted when it has succeeded, and forgotten then
	OnDead    []*fsmpb.TaskSpec // the same when it is dead

	Superseded []Superseded // oldest first, at most KeepSuperseded

	Follows      uint64 // the task whose end submitted it; 0: none
	FollowsBatch uint64 // the batch whose end submitted it; 0: none

	Trace *Trace // nil: it is not traced
}

// Parent is a task that another one waits for: one generation of it, as it was
// when the other was submitted.
type Parent struct {
	Task       uint64
	Generation uint32
}

// waiting reports whether t waits for parents.
func (t *Task) waiting() bool { return t.Extra != nil && t.Extra.Waiting }

// Superseded returns the results of t that were refused, oldest first.
func (t *Task) Superseded() []Superseded {
	if t.Extra == nil {
		return nil
	}
	return t.Extra.Superseded
}

// schedule is the name of the schedule that submitted t, if one did.
func (t *Task) schedule() string {
	if t.Extra == nil {
		return ""
	}
	return t.Extra.Schedule
}

// amend gives t, which is not frozen yet, an extra of its own to change.
func (t *Task) amend() *Extra {
	x := new(Extra)
	if t.Extra != nil {
		*x = *t.Extra
	}
	t.Extra = x
	return x
}

// size is what the extra counts against its queue's retain_bytes.
func (x *Extra) size() int {
	n := 16 * len(x.After)
	for _, label := range x.Labels {
		n += len(label.Key) + len(label.Value)
	}
	for _, specs := range [][]*fsmpb.TaskSpec{x.OnSuccess, x.OnDead} {
		for _, s := range specs {
			n += proto.Size(s)
		}
	}
	for i := range x.Superseded {
		n += len(x.Superseded[i].Result)
	}
	if x.Trace != nil {
		n += len(x.Trace.Parent) + len(x.Trace.State)
	}
	return n
}

// origin is where a task comes from, beside its spec.
type origin struct {
	batch        uint64 // 0: no batch
	first        uint64 // staged: the id of the batch's first task
	at           int64  // when it was submitted; 0: now
	items        []uint64
	follows      uint64
	followsBatch uint64
	schedule     string
	fireTime     int64
	line         *line // where it goes when no queue can be added; nil: one can
}

// parent returns the id of an item of the same call or batch.
func (o *origin) parent(item uint32) uint64 {
	if o.first != 0 {
		return o.first + uint64(item)
	}
	return o.items[item]
}

// extra returns what a new task of the queue has beside the common: nil for most.
// It changes nothing.
func (m *Machine) extra(spec *fsmpb.TaskSpec, l *line, from *origin) *Extra {
	parents := len(spec.GetAfter()) + len(spec.GetAfterItems())
	if from.batch|from.follows|from.followsBatch == 0 && parents+len(spec.GetOnSuccess())+len(spec.GetOnDead())+len(spec.GetRequire())+len(spec.GetLabels())+len(spec.GetTraceparent()) == 0 &&
		spec.GetConcurrencyKey() == "" && spec.GetUniqueKey() == "" && from.schedule == "" && spec.GetBroadcast() == nil {
		return nil
	}
	x := &Extra{
		Require: labelsOf(spec.GetRequire()), ConcurrencyKey: spec.GetConcurrencyKey(),
		UniqueKey: spec.GetUniqueKey(), UntilStart: spec.GetUniqueKey() != "" && spec.GetUniqueUntilStart(),
		Labels: labelsOf(spec.GetLabels()),
		Batch:  from.batch, Follows: from.follows, FollowsBatch: from.followsBatch,
		Schedule: from.schedule, FireTime: from.fireTime,
		OnSuccess: spec.GetOnSuccess(), OnDead: spec.GetOnDead(),
		Broadcast: broadcastOf(spec.GetBroadcast()),
		Trace:     traceOf(spec.GetTraceparent(), spec.GetTracestate()),
	}
	if parents > 0 {
		x.AfterRun = spec.GetAfterRun()
		x.After = m.parents(spec, from)
	}
	return l.adopt(x)
}

// fillExtra writes x into r, which was used for another task before.
func fillExtra(r *fsmpb.TaskRecord, x *Extra) {
	clearExtra(r)
	if x == nil {
		return
	}
	r.ConcurrencyKey, r.UniqueKey, r.UniqueUntilStart = x.ConcurrencyKey, x.UniqueKey, x.UntilStart
	r.Schedule, r.FireTime = x.Schedule, x.FireTime
	for _, label := range x.Require {
		r.Require = append(r.Require, &fsmpb.Label{Key: label.Key, Value: label.Value})
	}
	for _, label := range x.Labels {
		r.Labels = append(r.Labels, &fsmpb.Label{Key: label.Key, Value: label.Value})
	}
	r.Batch, r.AfterRun, r.Waiting, r.Follows, r.FollowsBatch = x.Batch, x.AfterRun, x.Waiting, x.Follows, x.FollowsBatch
	r.OnSuccess, r.OnDead = x.OnSuccess, x.OnDead
	if x.Trace != nil {
		r.Traceparent, r.Tracestate = x.Trace.Parent, x.Trace.State
	}
	for _, p := range x.After {
		r.After = append(r.After, p.Task)
	}
	if slices.ContainsFunc(x.After, func(p Parent) bool { return p.Generation != 1 }) {
		for _, p := range x.After {
			r.AfterGeneration = append(r.AfterGeneration, p.Generation)
		}
	}
	for i := range x.Superseded {
		s := &x.Superseded[i]
		r.Superseded = append(r.Superseded, &fsmpb.SupersededResult{
			Fence: s.Fence, Worker: s.Worker, Outcome: uint32(s.Outcome),
			Result: s.Result, Truncated: s.Truncated, At: s.At,
		})
	}
	if x.Broadcast != nil {
		r.Broadcast = x.Broadcast.record()
	}
	if x.Target != nil {
		r.Payload = nil // its broadcast has it
		r.Target = x.Target.record()
	}
}

// clearExtra empties the fields of an extra.
func clearExtra(r *fsmpb.TaskRecord) {
	r.Require, r.ConcurrencyKey, r.UniqueKey, r.UniqueUntilStart = r.Require[:0], "", "", false
	r.Labels = r.Labels[:0]
	r.Batch, r.AfterRun, r.Waiting, r.Follows, r.FollowsBatch = 0, false, false, 0, 0
	r.Schedule, r.FireTime = "", 0
	r.Broadcast, r.Target = nil, nil
	r.Traceparent, r.Tracestate = nil, ""
	r.OnSuccess, r.OnDead, r.Superseded = nil, nil, r.Superseded[:0]
	r.After, r.AfterGeneration = r.After[:0], r.AfterGeneration[:0]
}

// extraIn is the inverse of fillExtra.
func (l *line) extraIn(r *fsmpb.TaskRecord) *Extra {
	if r.Batch|r.Follows|r.FollowsBatch == 0 && r.ConcurrencyKey == "" && r.UniqueKey == "" && r.Schedule == "" && r.Broadcast == nil && r.Target == nil &&
		len(r.Require)+len(r.Labels)+len(r.After)+len(r.OnSuccess)+len(r.OnDead)+len(r.Superseded)+len(r.Traceparent) == 0 {
		return nil
	}
	x := &Extra{
		Require: labelsOf(r.Require), ConcurrencyKey: r.ConcurrencyKey, UniqueKey: r.UniqueKey, UntilStart: r.UniqueUntilStart,
		Labels:   labelsOf(r.Labels),
		Schedule: r.Schedule, FireTime: r.FireTime,
		Batch: r.Batch, AfterRun: r.AfterRun, Waiting: r.Waiting, Follows: r.Follows, FollowsBatch: r.FollowsBatch,
		OnSuccess: r.OnSuccess, OnDead: r.OnDead, Broadcast: broadcastIn(r.Broadcast), Target: targetIn(r.Target),
		Trace: traceOf(r.Traceparent, r.Tracestate),
	}
	l.shareTrace(x)
	for i, id := range r.After {
		p := Parent{id, 1}
		if i < len(r.AfterGeneration) {
			p.Generation = r.AfterGeneration[i]
		}
		x.After = append(x.After, p)
	}
	for _, s := range r.Superseded {
		x.Superseded = append(x.Superseded, Superseded{
			Fence: s.Fence, Worker: s.Worker, Outcome: Outcome(s.Outcome),
			Result: s.Result, Truncated: s.Truncated, At: s.At,
		})
	}
	return l.adopt(x)
}
