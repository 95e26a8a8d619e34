package fsm

import (
	"fmt"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// What a snapshot's records must keep to, beyond their checksums.

var errInconsistent = fmt.Errorf("inconsistent: %w", ErrCorrupt)

func must(ok bool) error {
	if !ok {
		return errInconsistent
	}
	return nil
}

// consistent checks what the verbs rely on.
func (l *loader) consistent(t *Task) bool {
	ok := t.State != 0 && t.Generation > 0 && t.Timeout > 0 && t.MaxAttempts > 0 && t.Retain >= 0 &&
		t.FinishedAt >= 0 && t.EligibleAt >= 0 && t.ExpiresAt >= 0 &&
		len(t.Ended) <= KeepEnded && len(t.Superseded()) <= KeepSuperseded &&
		t.Failures <= t.MaxAttempts && t.SoloCrashes <= PoisonCrashes && (t.FinishedAt != 0) == t.State.Terminal()
	if t.Extra != nil {
		ok = ok && (!t.Extra.Waiting || t.State == Scheduled && len(t.Extra.After) > 0)
	}
	for _, e := range t.Ended {
		ok = ok && e.Fence != 0 && e.Fence <= l.m.lastFence
	}
	switch {
	case t.held():
		s := l.m.live[t.Session]
		return ok && s != nil && s.rec.Worker == t.Worker && s.rec.Boot == t.Boot && t.Deadline > 0 &&
			!t.Redeemable && (t.StopCause != CauseNone) == (t.State == Stopping)
	case t.Redeemable:
		if len(t.Ended) == 0 {
			return false
		}
		e := t.Ended[len(t.Ended)-1]
		return ok && t.State == Ready && e.Fence == t.Fence && t.Session == 0 &&
			(e.Cause != CauseExpired || t.Crashes > 0 && (!t.Solo || t.SoloCrashes > 0))
	default:
		return ok && t.Fence == 0 && t.Session == 0 && (t.broadcast() != nil || t.State != Running && t.State != Stopping)
	}
}

// consistentExtra checks a broadcast, or a target against its broadcast.
func (l *loader) consistentExtra(t *Task) bool {
	if b := t.broadcast(); b != nil {
		return t.target() == nil && t.State != Ready && b.Acked+b.Failed <= b.Targets && b.Pursued <= b.Targets &&
			(b.Patience > 0 || b.Until == 0) && (b.Until > 0 || t.State != Running && t.State != Stopping) && t.Fence == 0 &&
			(!b.pursuing() || t.State == Running || t.State == Stopping || t.State == Succeeded)
	}
	x := t.target()
	if x == nil {
		return true
	}
	whole, _ := l.m.tasks.Get(x.Broadcast)
	if whole == nil || whole.broadcast() == nil || whole.Queue != t.Queue || x.Until <= 0 || l.m.targets[x.Broadcast].of(x.Worker) != 0 {
		return false
	}
	t.Payload = whole.Payload
	return true
}

// consistentTargets checks the counters of an unfinished broadcast by its targets.
func (l *loader) consistentTargets(t *Task) bool {
	var n, acked, failed uint32
	for target := range l.m.Targets(t.ID, 0) {
		n++
		switch target.State {
		case Succeeded:
			acked++
		case Dead, Cancelled:
			failed++
		}
	}
	b := t.broadcast()
	return b.Targets == n && b.Acked == acked && b.Failed == failed
}

// newerInTask refuses numbers of closed sets that this binary does not know.
func newerInTask(r *fsmpb.TaskRecord) error {
	newer := r.State > uint32(Cancelled) || r.StopCause > uint32(lastCause) || r.Broadcast.GetPursuit() > uint32(PursuitRevive)
	for _, e := range r.Ended {
		newer = newer || e.Cause > uint32(lastCause) || e.Verb > uint32(VerbRelease)
	}
	for _, s := range r.Superseded {
		newer = newer || s.Outcome > uint32(lastOutcome)
	}
	if newer {
		return fmt.Errorf("task %d: unknown state, cause, verb or outcome: %w", r.Id, ErrNewer)
	}
	return nil
}

// unknownInRecord is unknownInKind for records.
func unknownInRecord(r *fsmpb.Record) bool {
	if unknown(r) {
		return true
	}
	switch k := r.Kind.(type) {
	case *fsmpb.Record_Meta:
		return unknown(k.Meta) || slices.ContainsFunc(k.Meta.DeadRetries, func(r *fsmpb.DeadRetry) bool {
			return unknown(r) || r.What != nil && unknown(r.What)
		})
	case *fsmpb.Record_Member:
		return unknown(k.Member) || k.Member.Member != nil && unknown(k.Member.Member)
	case *fsmpb.Record_Queue:
		return unknown(k.Queue) || unknownInSettings(k.Queue.Settings)
	case *fsmpb.Record_Worker:
		return unknown(k.Worker)
	case *fsmpb.Record_Session:
		return unknown(k.Session) || anyUnknown(k.Session.Queues)
	case *fsmpb.Record_Task:
		return unknown(k.Task) || anyUnknown(k.Task.Ended) || anyUnknown(k.Task.Superseded) ||
			anyUnknownSpec(k.Task.OnSuccess) || anyUnknownSpec(k.Task.OnDead) || unknownInExtra(k.Task)
	case *fsmpb.Record_Request:
		return unknown(k.Request)
	case *fsmpb.Record_Client:
		return unknown(k.Client) || anyUnknown(k.Client.Calls)
	case *fsmpb.Record_Batch:
		return unknown(k.Batch) || anyUnknownSpec(k.Batch.FollowUp) || anyUnknownSpec(k.Batch.OnSuccess)
	case *fsmpb.Record_Chunk:
		return unknown(k.Chunk) || anyUnknownSpec(k.Chunk.Tasks)
	case *fsmpb.Record_Release:
		return unknown(k.Release)
	case *fsmpb.Record_Schedule:
		return unknown(k.Schedule) || k.Schedule.Task != nil && anyUnknownSpec([]*fsmpb.TaskSpec{k.Schedule.Task})
	case *fsmpb.Record_Push:
		return unknown(k.Push)
	default:
		return false
	}
}

// unknownInExtra looks at what few tasks have.
func unknownInExtra(r *fsmpb.TaskRecord) bool {
	return anyUnknown(r.Require) || r.Target != nil && unknown(r.Target) ||
		r.Broadcast != nil && (unknown(r.Broadcast) || r.Broadcast.Spec != nil && unknownInBroadcast(r.Broadcast.Spec))
}
