package fsm

import (
	"fmt"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// A broadcast is a task that nobody gets. When its time has come it opens: it is
// RUNNING without a session and stands for its targets, one for each worker of
// its audience. A target is a task of its own, pinned to its worker, with the
// broadcast's options: it has attempts and fences, is retried, cancelled and lost
// as any task is (target.go). This file decides what their ends mean for the
// broadcast.

// Broadcast is what a task has that is carried out by every matching worker.
type Broadcast struct {
	Selector []Label // a session must have them all; none: every session
	Require  uint32  // acknowledgements that make it SUCCEEDED; 0: from all
	Patience int64   // from its opening to the deadline
	Late     bool    // who joins before the deadline is a target, too

	Until    int64    // the deadline; 0: not opened yet
	Targets  uint32   // made so far
	Acked    uint32   // of these, SUCCEEDED
	Failed   uint32   // of these, DEAD or CANCELLED
	Audience []string // workers it was pinned to that are no targets yet
	Pursuit  Pursuit  // what is being done to all targets,
	Pursued  uint32   // and to how many it was done
}

// broadcastOf makes a broadcast of its spec, nil of none.
func broadcastOf(spec *fsmpb.BroadcastSpec) *Broadcast {
	if spec == nil {
		return nil
	}
	b := &Broadcast{Require: spec.GetRequire(), Patience: spec.GetPatience(), Late: spec.GetLate()}
	b.Selector = labelsOf(spec.GetSelector())
	return b
}

// spec is the inverse of broadcastOf.
func (b *Broadcast) spec() *fsmpb.BroadcastSpec {
	spec := &fsmpb.BroadcastSpec{Require: b.Require, Patience: b.Patience, Late: b.Late}
	for _, label := range b.Selector {
		spec.Selector = append(spec.Selector, &fsmpb.Label{Key: label.Key, Value: label.Value})
	}
	return spec
}

// record writes b as a snapshot holds it.
func (b *Broadcast) record() *fsmpb.BroadcastRecord {
	return &fsmpb.BroadcastRecord{
		Spec: b.spec(), Until: b.Until, Targets: b.Targets, Acked: b.Acked, Failed: b.Failed,
		Audience: b.Audience, Pursuit: uint32(b.Pursuit), Pursued: b.Pursued,
	}
}

// broadcastIn is the inverse of record.
func broadcastIn(r *fsmpb.BroadcastRecord) *Broadcast {
	if r == nil {
		return nil
	}
	b := broadcastOf(r.Spec)
	if b == nil {
		b = new(Broadcast) // no table writes this: the checks refuse it
	}
	b.Until, b.Targets, b.Acked, b.Failed = r.Until, r.Targets, r.Acked, r.Failed
	b.Audience, b.Pursuit, b.Pursued = r.Audience, Pursuit(r.Pursuit), r.Pursued
	return b
}

// Pursuit is something done to all targets of a broadcast, over several entries if
// they are many.
type Pursuit uint8

// The pursuits. Their numbers stand in snapshots: append, never reuse.
const (
	PursuitNone   Pursuit = iota
	PursuitCancel         // those that have not ended are cancelled
	PursuitRevive         // those that ended without success start anew, all get the new deadline
)

// Open returns how many targets have not ended.
func (b *Broadcast) Open() uint32 { return b.Targets - b.Acked - b.Failed }

// complete reports whether no target comes that is not there yet.
func (b *Broadcast) complete() bool {
	return !b.Late && len(b.Audience) == 0 && b.Pursuit == PursuitNone
}

// met reports whether enough targets have acknowledged.
func (b *Broadcast) met() bool {
	if b.Require > 0 {
		return b.Acked >= b.Require || mutated("B2") && b.Acked+1 == b.Require
	}
	return b.Targets > 0 && b.Acked == b.Targets
}

// pursuing reports whether ticks have work with the targets.
func (b *Broadcast) pursuing() bool { return len(b.Audience) > 0 || b.Pursuit != PursuitNone }

// joinable reports whether late joiners may become targets until the deadline.
func (t *Task) joinable() bool {
	b := t.broadcast()
	return b != nil && b.Late && b.Until != 0 && (t.State == Running || t.State == Succeeded)
}

// broadcast returns what t has as a broadcast, nil for other tasks.
func (t *Task) broadcast() *Broadcast {
	if t.Extra == nil {
		return nil
	}
	return t.Extra.Broadcast
}

// amendBroadcast returns the broadcast of t, which is not frozen yet, to change.
func (t *Task) amendBroadcast() *Broadcast {
	x, b := *t.Extra, *t.Extra.Broadcast
	x.Broadcast, t.Extra = &b, &x
	return &b
}

// open pins the audience at this index and starts the deadline: unless the spec
// says otherwise, it leaves time for two attempts and is not before DefaultPatience. A broadcast that
// had targets in an earlier generation keeps them: those that did not succeed
// start anew.
func (m *Machine) open(l *line, old, t *Task, kind EventKind) {
	b := t.amendBroadcast()
	if b.Patience <= 0 {
		b.Patience = max(DefaultPatience, addTime(t.Timeout, t.Timeout))
	}
	b.Until = addTime(m.now, b.Patience)
	t.State, t.Attempt = Running, &Attempt{StartedAt: m.now, Deadline: b.Until}
	if b.Targets > 0 {
		b.Pursuit, b.Pursued = PursuitRevive, 0
	} else {
		b.Audience = m.audience(b.Selector)
	}
	m.put(l, old, t)
	m.emit(Event{Kind: kind, Task: t})
	some := uint32(len(b.Audience)) + b.Targets
	switch {
	case b.Late:
	case some == 0:
		m.endBroadcast(l, t, Dead, CauseFailed, ReasonNoTargets)
	case some < b.Require:
		m.endBroadcast(l, t, Dead, CauseFailed, ReasonTooFew)
	}
}

// audience lists the workers whose session has the labels, in the order in which
// their sessions opened. A process that is about to end is not asked.
func (m *Machine) audience(selector []Label) (workers []string) {
	m.sessions.Scan(func(_ uint64, s *sessionRecord) bool {
		if s.Ending == CauseNone && !s.Draining && m.live[s.ID].has(selector) {
			workers = append(workers, s.Worker)
		}
		return true
	})
	return workers
}

// pursueAll goes on with whatever is to be done to targets, within the entry's
// budget; ticks carry on the rest.
func (m *Machine) pursueAll() {
	for m.budget > 0 {
		id, _, ok := m.pursuing.Min()
		if !ok {
			return
		}
		m.pursue(id)
	}
}

// pursue makes targets of the audience, or goes on with the pursuit.
func (m *Machine) pursue(id uint64) {
	old, _ := m.tasks.Get(id)
	l, b := m.lines[old.Queue], old.broadcast()
	if n := min(len(b.Audience), m.budget); n > 0 {
		t := *old
		next := t.amendBroadcast()
		next.Targets += uint32(n)
		if next.Audience = b.Audience[n:]; len(next.Audience) == 0 {
			next.Audience = nil
		}
		m.put(l, old, &t)
		for _, worker := range b.Audience[:n] {
			m.addTarget(l, &t, worker)
		}
		return
	}
	targets, at := m.targets[id].ids, b.Pursued
	for ; int(at) < len(targets) && m.budget > 0; at++ {
		switch t, _ := m.tasks.Get(targets[at]); {
		case b.Pursuit == PursuitCancel && !t.State.Terminal() && !t.revoked():
			m.revoke(l, t, old.Reason)
		case b.Pursuit == PursuitRevive && (t.State == Dead || t.State == Cancelled):
			m.revive(l, t)
		case b.Pursuit == PursuitRevive && t.State != Succeeded:
			m.extend(l, t, b.Until)
		}
		if _, goes := m.pursuing.Get(id); !goes {
			return // this target's end was the broadcast's, whose record may be gone with it
		}
	}
	m.pursued(l, id, at, int(at) == len(targets))
}

// pursued notes how far a pursuit is; the broadcast may end by it.
func (m *Machine) pursued(l *line, id uint64, at uint32, done bool) {
	old, _ := m.tasks.Get(id)
	t := *old
	b := t.amendBroadcast()
	if b.Pursued = at; done {
		b.Pursuit, b.Pursued = PursuitNone, 0
	}
	m.decide(l, old, &t)
}

// targetEnded counts the end of a target's generation.
func (m *Machine) targetEnded(l *line, target *Task) {
	old, _ := m.tasks.Get(target.Extra.Target.Broadcast)
	t := *old
	if b := t.amendBroadcast(); target.State == Succeeded {
		b.Acked++
	} else {
		b.Failed++
	}
	m.decide(l, old, &t)
}

// decide ends the broadcast if its targets have: SUCCEEDED as soon as enough have
// acknowledged, DEAD when all have ended without that, since until then one that
// failed may be retried.
func (m *Machine) decide(l *line, old, t *Task) {
	m.put(l, old, t)
	switch b := t.broadcast(); {
	case t.State == Stopping && b.Open() == 0:
		m.endBroadcast(l, t, Cancelled, CauseCancelled, t.Reason)
	case t.State != Running:
		m.setTrimDue(l)
	case b.met() && (b.Require > 0 || b.complete()):
		m.endBroadcast(l, t, Succeeded, CauseCompleted, "")
	case b.complete() && b.Open() == 0:
		m.endBroadcast(l, t, Dead, CauseFailed, ReasonUnacked)
	}
}

// overdue ends a broadcast at its deadline. Its targets have the same one.
func (m *Machine) overdue(l *line, t *Task) {
	switch b := t.broadcast(); {
	case b.met() && len(b.Audience) == 0:
		m.endBroadcast(l, t, Succeeded, CauseCompleted, "")
	case b.Targets == 0:
		m.endBroadcast(l, t, Dead, CauseTimedOut, ReasonNoTargets)
	default:
		m.endBroadcast(l, t, Dead, CauseTimedOut, ReasonDeadline)
	}
}

// endBroadcast ends the broadcast's generation; its targets may go on until the
// deadline.
func (m *Machine) endBroadcast(l *line, old *Task, s State, cause Cause, reason string) {
	t := *old
	b := t.amendBroadcast()
	t.clearAttempt()
	if s == Dead {
		t.Error = b.verdict(reason)
	}
	if s != Succeeded { // else those that were meant are still told
		b.Audience, b.Pursuit, b.Pursued = nil, PursuitNone, 0
	}
	m.finish(l, old, &t, s, cause, reason)
}

// verdict is the error of a broadcast that is DEAD.
func (b *Broadcast) verdict(reason string) string {
	switch reason {
	case ReasonNoTargets:
		return "no worker matched"
	case ReasonTooFew:
		return fmt.Sprintf("%d workers matched, %d must acknowledge", b.Targets+uint32(len(b.Audience)), b.Require)
	}
	return fmt.Sprintf("%d of %d workers acknowledged, %d failed", b.Acked, b.Targets, b.Failed)
}

// revokeBroadcast cancels a broadcast that is open, and with it its targets.
func (m *Machine) revokeBroadcast(l *line, old *Task, reason string) {
	t := *old
	b := t.amendBroadcast()
	b.Audience, b.Pursuit, b.Pursued = nil, PursuitCancel, 0
	t.State, t.Reason, t.Attempt = Stopping, reason, &Attempt{StopCause: CauseCancelled}
	m.put(l, old, &t)
	m.emit(Event{Kind: TaskStopping, Cause: CauseCancelled, Task: &t})
	if b.Open() == 0 {
		m.endBroadcast(l, &t, Cancelled, CauseCancelled, reason)
	}
}
