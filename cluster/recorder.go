package cluster

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// recorder writes what entries did into the ring of events. It encodes at once, while
// the table is locked: that costs less than keeping what it would need later, and what
// it keeps of a task is a few bytes, not its payload.
type recorder struct {
	ring *events.Ring
	enc  events.Encoder
}

// entry records an applied entry; now is the table's clock after it.
func (r *recorder) entry(done *fsm.Applied, commands []*fsmpb.Command, now int64) {
	if len(done.Events) == 0 || r.ring.Knows(done.Index) {
		r.ring.Reached(done.Index)
		return
	}
	r.enc.Begin(done.Index, done.Term, now)
	for i := range done.Events {
		ev := &done.Events[i]
		v := r.enc.Next()
		command := commands[ev.Command]
		v.Principal = command.GetPrincipal()
		if ev.Task != nil {
			ofTask(v, ev, command)
		} else {
			ofOther(v, ev, command, &done.Results[ev.Command])
		}
		if v.Type != 0 {
			r.enc.Add()
		}
	}
	if record, n := r.enc.Record(); n > 0 {
		r.ring.Append(done.Index, record, n)
	} else {
		r.ring.Reached(done.Index)
	}
}

// ofTask fills in what happened to a task.
func ofTask(v *events.Event, ev *fsm.Event, command *fsmpb.Command) {
	t := ev.Task
	v.Type = typeOfTask(ev, command)
	v.Task, v.Generation, v.State, v.Attempt = t.ID, t.Generation, t.State, t.Attempts
	v.Queue, v.Kind = t.Queue, t.Kind
	v.Fence, v.Session, v.Cause, v.Outcome = ev.Fence, ev.Session, ev.Cause, ev.Outcome
	if ev.Fence != 0 {
		v.Worker = workerOf(ev)
	}
	if x := t.Extra; x != nil {
		v.Batch, v.Schedule = x.Batch, x.Schedule
		if x.Target != nil {
			v.Broadcast = x.Target.Broadcast
		}
	}
	switch v.Type {
	case events.Failed, events.TimedOut, events.Dead, events.Cancelled, events.Expired:
		v.Error, v.Reason = capped(t.Error), capped(t.Reason)
	case events.Stopping:
		v.Reason = capped(t.Reason)
	}
}

// workerOf returns who had the attempt that an event is about.
func workerOf(ev *fsm.Event) string {
	t := ev.Task
	if ev.Name != "" {
		return ev.Name
	}
	if t.Fence == ev.Fence {
		return t.Worker
	}
	if n := len(t.Ended); n > 0 && t.Ended[n-1].Fence == ev.Fence {
		return t.Ended[n-1].Worker
	}
	return ""
}

// typeOfTask says what happened in the words of the trail.
func typeOfTask(ev *fsm.Event, command *fsmpb.Command) events.Type {
	switch ev.Kind {
	case fsm.TaskSubmitted:
		return events.Created
	case fsm.TaskAssigned:
		if ev.Cause != fsm.CauseNone {
			return events.Resumed
		}
		return events.Assigned
	case fsm.TaskStopping:
		return events.Stopping
	case fsm.AttemptVoid:
		return events.Void
	case fsm.ReportRefused:
		return events.Refused
	case fsm.TaskTrimmed:
		if command.GetDelete() != nil {
			return events.Deleted
		}
		return events.Trimmed
	case fsm.TaskFinished:
		return typeOfEnd(ev.Task)
	default:
		return typeOfReturn(ev)
	}
}

func typeOfEnd(t *fsm.Task) events.Type {
	switch {
	case t.State == fsm.Succeeded:
		return events.Completed
	case t.State == fsm.Dead:
		return events.Dead
	case t.Reason == fsm.ReasonExpired:
		return events.Expired
	default:
		return events.Cancelled
	}
}

// typeOfReturn is for a task that is Ready or Scheduled (again).
func typeOfReturn(ev *fsm.Event) events.Type {
	switch ev.Cause {
	case fsm.CauseFailed:
		return events.Failed
	case fsm.CauseSnoozed:
		return events.Snoozed
	case fsm.CauseReleased:
		return events.Released
	case fsm.CauseTimedOut:
		return events.TimedOut
	case fsm.CauseNone:
		if t := ev.Task; t.Generation > 1 && t.Attempts == 0 {
			return events.Retried // a new generation is ready at once
		}
		return events.Ready
	default:
		return events.Requeued
	}
}

// ofOther fills in what happened to something else than a task. It leaves QueueOpened
// out, which is for the dispatcher: it comes with every token of a rate limit.
func ofOther(v *events.Event, ev *fsm.Event, command *fsmpb.Command, result *fsm.Result) {
	switch ev.Kind {
	case fsm.SessionOpened:
		v.Type, v.Session, v.Worker = events.SessionOpened, ev.Session, ev.Name
		v.Detail = capped(command.GetOpenSession().GetHost())
	case fsm.SessionClosed:
		v.Type, v.Session, v.Worker, v.Cause = events.SessionClosed, ev.Session, ev.Name, ev.Cause
		if ev.Cause == fsm.CauseExpired {
			v.Type = events.SessionExpired
		}
	case fsm.WorkerChanged:
		v.Session, v.Worker = ev.Session, ev.Name
		switch {
		case command.GetRemoveWorker() != nil:
			v.Type = events.WorkerRemoved
		case command.GetDrainWorker().GetUndo():
			v.Type = events.WorkerUndrained
		default:
			v.Type = events.WorkerDrained
		}
	case fsm.QueueChanged:
		v.Queue = ev.Name
		v.Type, v.Detail = ofQueue(command.GetSetQueue())
	case fsm.ScheduleChanged:
		v.Schedule = ev.Name
		v.Type, v.Detail = ofSchedule(command)
	case fsm.BatchAccepted:
		v.Type, v.Batch, v.Count = events.BatchCreated, ev.Batch, result.Count
	case fsm.BatchCancelled:
		v.Type, v.Batch, v.Count = events.BatchCancelled, ev.Batch, result.Count
		v.Reason = capped(command.GetCancelBatch().GetReason())
	case fsm.BatchFinished:
		v.Type, v.Batch = events.BatchFinished, ev.Batch
	case fsm.SweepStarted:
		c := command.GetSweep()
		v.Type, v.Number, v.Count, v.Reason, v.Queue = events.SweepStarted, result.IDs[0], result.Count, capped(c.GetReason()), c.GetWhat().GetQueue()
	case fsm.DeadRetried:
		v.Type, v.Count, v.Queue = events.DeadRetried, result.Count, command.GetRetryDead().GetQueue()
	case fsm.MemberChanged:
		v.Type, v.Member = events.MemberSet, ev.Name
		if command.GetRemoveMember() != nil {
			v.Type = events.MemberRemoved
		}
	case fsm.PushChanged:
		v.Type, v.Detail = events.PushRemoved, capped(ev.Name)
		if c := command.GetSetPush(); c != nil && !c.GetRemove() {
			v.Type = events.PushAdded
		}
	case fsm.LevelRaised:
		v.Type, v.Number = events.LevelRaised, uint64(command.GetFinalize().GetLevel())
	}
}

// ofQueue says what a SetQueue set.
func ofQueue(c *fsmpb.SetQueue) (events.Type, string) {
	var words []string
	c.GetSettings().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil {
			words = append(words, string(f.Name()))
		} else {
			words = append(words, fmt.Sprintf("%s=%v", f.Name(), v.Interface()))
		}
		return true
	})
	fields := (*fsmpb.QueueSettings)(nil).ProtoReflect().Descriptor().Fields()
	for _, n := range c.GetUnset() {
		if f := fields.ByNumber(protoreflect.FieldNumber(n)); f != nil {
			words = append(words, string(f.Name())+" unset")
		}
	}
	detail := capped(strings.Join(slices.Sorted(slices.Values(words)), ", "))
	switch {
	case c == nil || c.Paused == nil || detail != "":
		return events.QueueSet, detail
	case c.GetPaused():
		return events.QueuePaused, ""
	default:
		return events.QueueResumed, ""
	}
}

// ofSchedule says what became of a schedule.
func ofSchedule(command *fsmpb.Command) (events.Type, string) {
	switch {
	case command.GetDeleteSchedule() != nil:
		return events.ScheduleDeleted, ""
	case command.GetPauseSchedule().GetPaused():
		return events.SchedulePaused, ""
	case command.GetPauseSchedule() != nil:
		return events.ScheduleResumed, ""
	default:
		c := command.GetSetSchedule()
		return events.ScheduleSet, capped(strings.TrimSpace(c.GetCron() + " " + c.GetTimeZone()))
	}
}

// capped shortens what people wrote, between two characters.
func capped(s string) string {
	if len(s) <= events.MaxError {
		return s
	}
	return fsm.Clip(s, events.MaxError-len("…")) + "…"
}
