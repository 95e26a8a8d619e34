package fsm

import (
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Target is what a task has that is a broadcast's part for one worker: only a
// session of that worker gets it, in a slot reserved for this. A worker without a
// session is gone, and its target waits for it: the same process takes up what it
// had, another one is given the target again.
type Target struct {
	Broadcast uint64 // the task that it belongs to
	Worker    string
	Until     int64 // the deadline
}

// target returns what t has as a broadcast's target, nil for other tasks.
func (t *Task) target() *Target {
	if t.Extra == nil {
		return nil
	}
	return t.Extra.Target
}

// whole returns the broadcast that t is a target of.
func (m *Machine) whole(t *Task) *Task {
	whole, _ := m.tasks.Get(t.Extra.Target.Broadcast)
	return whole
}

// amendTarget returns the target of t, which is not frozen yet, to change.
func (t *Task) amendTarget() *Target {
	x, a := *t.Extra, *t.Extra.Target
	x.Target, t.Extra = &a, &x
	return &a
}

// addTarget makes a target of a broadcast. It shares the broadcast's payload.
func (m *Machine) addTarget(l *line, t *Task, worker string) {
	m.lastTask++
	m.editQueue(l).submitted++
	target := &Task{
		ID: m.lastTask, Generation: 1, State: Ready,
		Options: t.Options, Attempt: &noAttempt, Payload: t.Payload, SubmittedAt: m.now, EligibleAt: m.now,
		Extra: &Extra{Target: &Target{Broadcast: t.ID, Worker: worker, Until: t.broadcast().Until}, Trace: t.Extra.Trace},
	}
	m.put(l, nil, target)
	m.emit(Event{Kind: TaskSubmitted, Task: target})
}

// joinLate makes a worker whose session opened, or whose labels changed, a target
// of the broadcasts that wait for late joiners, unless it is about to end.
func (m *Machine) joinLate(s *session) {
	if s.rec.Draining || mutated("B1") {
		return
	}
	var ids []uint64
	m.late.Ascend(dueItem{m.now + 1, 0}, func(it dueItem) bool {
		ids = append(ids, it.id)
		return true
	})
	for _, id := range ids {
		old, _ := m.tasks.Get(id)
		b := old.broadcast()
		if m.fading(old) || !s.has(b.Selector) || m.targets[id].of(s.rec.Worker) != 0 || slices.Contains(b.Audience, s.rec.Worker) {
			continue
		}
		l, t := m.lines[old.Queue], *old
		t.amendBroadcast().Targets++
		m.put(l, old, &t)
		m.setTrimDue(l)
		m.addTarget(l, &t, s.rec.Worker)
	}
}

// extend gives an unfinished target its broadcast's new deadline.
func (m *Machine) extend(l *line, old *Task, until int64) {
	t := *old
	t.amendTarget().Until = until
	m.put(l, old, &t)
}

// deliver starts the next target of the session's worker in the slot that is
// reserved for targets: a worker with all slots in use gets it, too.
func (m *Machine) deliver(s *session) []*Task {
	for len(m.pinned) > 0 && m.budget > 0 {
		l, t := m.deliverable(s)
		if t == nil {
			return nil
		}
		if t.expiry() <= m.now {
			m.expire(l, t)
			continue
		}
		if m.condemned(l, t) {
			continue
		}
		m.editSession(s).AssignedTotal++
		return []*Task{m.start(s, l, t, false)}
	}
	return nil
}

// deliverable returns the first target that may start in the session now.
func (m *Machine) deliverable(s *session) (l *line, t *Task) {
	if s.targets > 0 || s.solo > 0 || s.rec.Draining || s.rec.Ending != CauseNone || mutated("B3") && s.free() == 0 {
		return nil, nil
	}
	lane := m.pinned[s.rec.Worker]
	if lane == nil {
		return nil, nil
	}
	lane.Scan(func(it readyItem) bool {
		if q := m.lines[it.task.Queue]; !q.rec.paused {
			l, t = q, it.task
		}
		return t == nil
	})
	return l, t
}

// Deliverable reports whether an Assign for this session would start a target of
// a broadcast, whatever its n.
func (m *Machine) Deliverable(session uint64) bool {
	if len(m.pinned) == 0 {
		return false
	}
	s := m.live[session]
	if s == nil {
		return false
	}
	_, t := m.deliverable(s)
	return t != nil
}

// reviveTarget does for the broadcast what the next generation of its target
// means: one that ended without success is open again with it. It returns the
// target's new deadline.
func (m *Machine) reviveTarget(l *line, target *Task) int64 {
	old, _ := m.tasks.Get(target.Extra.Target.Broadcast)
	t := *old
	b := t.amendBroadcast()
	b.Failed--
	until := addTime(m.now, b.Patience)
	switch t.State {
	case Running:
		until = b.Until
	case Dead, Cancelled:
		b.Until = until
		t.renew(m.now)
		m.reprieve(t.ID)
		t.State, t.Attempt = Running, &Attempt{StartedAt: m.now, Deadline: until}
		m.holdRequest(&t)
		defer m.emit(Event{Kind: TaskReady, Task: &t})
	}
	m.put(l, old, &t)
	m.setTrimDue(l)
	if old.State.Terminal() && !t.State.Terminal() && t.Extra.Batch != 0 {
		m.reopenBatch(&t)
	}
	return until
}

// roster is the index of a broadcast's targets.
type roster struct {
	ids     []uint64 // ascending
	workers map[string]uint64
}

// of returns the target of a worker, 0 if it has none.
func (r *roster) of(worker string) uint64 {
	if r == nil {
		return 0
	}
	return r.workers[worker]
}

func (r *roster) add(id uint64, worker string) {
	r.workers[worker] = id
	if n := len(r.ids); n == 0 || r.ids[n-1] < id {
		r.ids = append(r.ids, id)
		return
	}
	i, _ := slices.BinarySearch(r.ids, id)
	r.ids = slices.Insert(r.ids, i, id)
}

// indexBroadcast keeps the indexes over broadcasts and their targets.
func (m *Machine) indexBroadcast(old, t *Task) {
	m.lines[t.Queue].countBeside(old, t)
	if x := t.target(); x != nil {
		m.indexPinned(x.Worker, old, t)
		if old == &absent {
			m.roster(x.Broadcast).add(t.ID, x.Worker)
		}
	}
	if t.broadcast() == nil {
		return
	}
	if old == &absent {
		m.roster(t.ID)
	}
	if was, is := old.broadcast() != nil && old.broadcast().pursuing(), t.broadcast().pursuing(); is {
		m.pursuing.Set(t.ID, struct{}{})
	} else if was {
		m.pursuing.Delete(t.ID)
	}
	if old.joinable() {
		m.late.Delete(dueItem{old.broadcast().Until, t.ID})
	}
	if t.joinable() {
		m.late.Set(dueItem{t.broadcast().Until, t.ID})
	}
}

// indexPinned keeps the lane of the targets that wait for a worker.
func (m *Machine) indexPinned(worker string, old, t *Task) {
	lane := m.pinned[worker]
	if old.State == Ready {
		if lane.Delete(readyOf(old)); lane.Len() == 0 {
			delete(m.pinned, worker)
			lane = nil
		}
	}
	if t.State == Ready {
		if lane == nil {
			lane = newOrder()
			m.pinned[worker] = lane
		}
		lane.Set(readyOf(t))
	}
}

func (m *Machine) roster(broadcast uint64) *roster {
	r := m.targets[broadcast]
	if r == nil {
		r = &roster{workers: make(map[string]uint64)}
		m.targets[broadcast] = r
	}
	return r
}

// countBeside counts the broadcasts and targets that run, which do not count against
// the queue's limit, and the unfinished targets, which nobody submitted: they do not
// count against its length.
func (l *line) countBeside(old, t *Task) {
	runs := func(s State) int64 {
		if s == Running || s == Stopping {
			return 1
		}
		return 0
	}
	l.beside += runs(t.State) - runs(old.State)
	if t.target() == nil {
		return
	}
	one := length{1, int64(len(t.Payload))}
	if old != &absent && !old.State.Terminal() {
		l.targets = l.targets.minus(one)
	}
	if !t.State.Terminal() {
		l.targets = l.targets.plus(one)
	}
}

// lastTarget returns the newest target of a broadcast, nil of other tasks: targets
// are dropped before their broadcast, one after the other.
func (m *Machine) lastTarget(t *Task) *Task {
	if t.broadcast() == nil {
		return nil
	}
	r := m.targets[t.ID]
	if r == nil || len(r.ids) == 0 {
		return nil
	}
	last, _ := m.tasks.Get(r.ids[len(r.ids)-1])
	return last
}

// fading reports whether retention has begun to remove a broadcast's targets: who got
// one, and how each ended, is not known any more.
func (m *Machine) fading(t *Task) bool {
	return len(m.targets[t.ID].ids) < int(t.broadcast().Targets)
}

// pinnedDown reports whether the record of an ended task cannot be deleted: it is
// a target, which goes with its broadcast, or a broadcast that a target still
// needs, because it has not ended or tasks wait for it.
func (m *Machine) pinnedDown(t *Task) bool {
	if t.target() != nil {
		return true
	}
	r := m.targets[t.ID]
	return t.broadcast() != nil && (!t.trimmable() || r != nil && slices.ContainsFunc(r.ids, m.awaited))
}

// record writes x as a snapshot holds it.
func (x *Target) record() *fsmpb.TargetRecord {
	return &fsmpb.TargetRecord{Broadcast: x.Broadcast, Worker: x.Worker, Until: x.Until}
}

// targetIn is the inverse of record.
func targetIn(r *fsmpb.TargetRecord) *Target {
	if r == nil {
		return nil
	}
	return &Target{Broadcast: r.Broadcast, Worker: r.Worker, Until: r.Until}
}

// dropBroadcast takes a record that goes out of these indexes. Targets go before
// their broadcast, the newest first.
func (m *Machine) dropBroadcast(t *Task) {
	if x := t.target(); x != nil {
		r := m.targets[x.Broadcast]
		r.ids = r.ids[:len(r.ids)-1]
		delete(r.workers, x.Worker)
	}
	if t.broadcast() != nil {
		delete(m.targets, t.ID)
		if t.joinable() {
			m.late.Delete(dueItem{t.broadcast().Until, t.ID})
		}
	}
}

// Targets yields the targets of a broadcast with ids above after, by id.
func (m *Machine) Targets(broadcast, after uint64) func(yield func(*Task) bool) {
	return func(yield func(*Task) bool) {
		r := m.targets[broadcast]
		if r == nil {
			return
		}
		i, found := slices.BinarySearch(r.ids, after)
		if found {
			i++
		}
		for _, id := range r.ids[i:] {
			if t, _ := m.tasks.Get(id); !yield(t) {
				return
			}
		}
	}
}
