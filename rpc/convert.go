package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// causes are the words of fsm.Cause in the API.
var causes = [...]string{
	fsm.CauseNone:      "",
	fsm.CauseCompleted: "completed",
	fsm.CauseFailed:    "failed",
	fsm.CauseSnoozed:   "snoozed",
	fsm.CauseReleased:  "released",
	fsm.CauseTimedOut:  "timed_out",
	fsm.CauseExpired:   "expired",
	fsm.CauseTakenOver: "taken_over",
	fsm.CauseClosed:    "closed",
	fsm.CauseCancelled: "cancelled",
	fsm.CauseRemoved:   "removed",
}

func timestamp(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}

func duration(ns int64) *durationpb.Duration { return durationpb.New(time.Duration(ns)) }

// outcome converts an answer to a worker's verb or a cancel; the API's numbers
// are the table's.
func outcome(o fsm.Outcome) taskraftv1.Outcome {
	if o > fsm.UnknownTask {
		return taskraftv1.Outcome_OUTCOME_UNSPECIFIED
	}
	return taskraftv1.Outcome(o)
}

func (s *Server) position(p cluster.Position) *taskraftv1.Position {
	out := &taskraftv1.Position{ClusterId: s.node.ClusterID(), Term: p.Term, Index: p.Index}
	if p.Age > 0 {
		out.Age = durationpb.New(p.Age)
	}
	return out
}

func (s *Server) leaderInfo(l cluster.Leader) *taskraftv1.LeaderInfo {
	return &taskraftv1.LeaderInfo{
		Name: l.Name, Grpc: l.GRPC, Http: l.HTTP, Term: l.Term,
		ClusterId: s.node.ClusterID(), Masters: s.masters(),
	}
}

// task converts a record; whole adds payload, result and superseded results.
func task(t *fsm.Task, whole bool) *taskraftv1.Task {
	if t == nil {
		return nil
	}
	out := &taskraftv1.Task{
		Id: t.ID, Generation: t.Generation, State: taskraftv1.TaskState(t.State), Spec: taskSpec(t),
		SubmitTime: timestamp(t.SubmittedAt), EligibleTime: timestamp(t.EligibleAt),
		FinishTime: timestamp(t.FinishedAt), ExpireTime: timestamp(t.ExpiresAt),
		Attempts: t.Attempts, Failures: t.Failures, Crashes: t.Crashes,
		ResultContentType: t.ResultContentType, Error: t.Error, Reason: t.Reason,
	}
	if t.Extra != nil {
		setExtra(out, t.Extra)
	}
	if (t.State == fsm.Running || t.State == fsm.Stopping) && t.Fence != 0 {
		out.Attempt = &taskraftv1.Attempt{
			Number: t.Attempts, Fence: t.Fence, WorkerId: t.Worker,
			StartTime: timestamp(t.StartedAt), Deadline: timestamp(t.Deadline),
		}
	}
	for _, e := range t.Ended {
		out.Ended = append(out.Ended, &taskraftv1.EndedAttempt{
			Fence: e.Fence, WorkerId: e.Worker, Cause: causes[e.Cause], StartTime: timestamp(e.StartedAt), EndTime: timestamp(e.At), Error: e.Error,
		})
	}
	if x := t.Extra; x != nil {
		out.Batch, out.Follows, out.FollowsBatch = x.Batch, x.Follows, x.FollowsBatch
		relate(out.Spec, x)
	}
	if !whole {
		return out
	}
	out.Spec.Payload, out.Result = t.Payload, t.Result
	for _, r := range t.Superseded() {
		out.Superseded = append(out.Superseded, &taskraftv1.Superseded{
			Fence: r.Fence, WorkerId: r.Worker, Outcome: outcome(r.Outcome).String(),
			Result: r.Result, Truncated: r.Truncated, Time: timestamp(r.At),
		})
	}
	return out
}

// lively is task with the progress of the present attempt, if this master knows it.
func (s *Server) lively(t *fsm.Task, whole bool) *taskraftv1.Task {
	out := task(t, whole)
	if p := s.node.Progress(t); p != nil {
		out.Progress = progress(p)
	}
	return out
}

// taskSpec is the spec with the defaults filled in, without the payload.
func taskSpec(t *fsm.Task) *taskraftv1.TaskSpec {
	out := &taskraftv1.TaskSpec{
		Queue: t.Queue, Kind: t.Kind, ContentType: t.ContentType, Priority: new(t.Priority),
		Timeout: duration(t.Timeout), MaxAttempts: new(int32(t.MaxAttempts)),
		Backoff:   &taskraftv1.Backoff{Base: duration(t.BackoffBase), Max: duration(t.BackoffMax)},
		RequestId: t.RequestID, Retain: duration(t.Retain),
	}
	if t.Extra != nil {
		fillExtra(out, t.Extra)
	}
	return out
}

// fillExtra adds the options that most tasks do not use.
func fillExtra(out *taskraftv1.TaskSpec, x *fsm.Extra) {
	out.ConcurrencyKey, out.UniqueKey = x.ConcurrencyKey, x.UniqueKey
	switch {
	case x.UniqueKey == "":
	case x.UntilStart:
		out.UniqueUntil = taskraftv1.UniqueUntil_UNIQUE_UNTIL_START
	default:
		out.UniqueUntil = taskraftv1.UniqueUntil_UNIQUE_UNTIL_TERMINAL
	}
	if len(x.Require) > 0 {
		out.Require = make(map[string]string, len(x.Require))
	}
	for _, label := range x.Require {
		out.Require[label.Key] = label.Value
	}
	if len(x.Labels) > 0 {
		out.Labels = make(map[string]string, len(x.Labels))
	}
	for _, label := range x.Labels {
		out.Labels[label.Key] = label.Value
	}
	if x.Trace != nil {
		out.Traceparent, out.Tracestate = tracing.Format(tracing.Unpack(x.Trace.Parent, x.Trace.State))
	}
}

// assignments converts what a worker gets. now is the table's clock: an attempt
// that is sent again has less of its time left.
func (s *Server) assignments(tasks []*fsm.Task, now int64) []*taskraftv1.Assignment {
	if len(tasks) == 0 {
		return nil
	}
	out := make([]*taskraftv1.Assignment, len(tasks))
	all := make([]taskraftv1.Assignment, len(tasks))
	for i, t := range tasks {
		a := &all[i]
		a.Task, a.Fence, a.Queue, a.Kind = t.ID, t.Fence, t.Queue, t.Kind
		a.Payload, a.ContentType, a.Attempt = t.Payload, t.ContentType, t.Attempts
		if x := t.Extra; x != nil && x.Target != nil {
			a.Broadcast = x.Target.Broadcast
		}
		a.Timeout, a.SubmitTime = duration(max(min(t.Timeout, t.Deadline-now), 1)), timestamp(t.SubmittedAt)
		a.SelfFence = t.SelfFence
		if x := t.Extra; x != nil {
			a.Schedule, a.FireTime = x.Schedule, timestamp(x.FireTime)
			a.Traceparent, a.Tracestate = s.cfg.Tracing.attempt(t)
		}
		out[i] = a
	}
	return out
}

func aborts(in []cluster.Abort) []*taskraftv1.Abort {
	out := make([]*taskraftv1.Abort, len(in))
	for i, a := range in {
		out[i] = &taskraftv1.Abort{Task: a.Task, Fence: a.Fence, Reason: causes[a.Cause]}
	}
	return out
}

func queue(q *fsm.Queue) *taskraftv1.Queue {
	if q == nil {
		return nil
	}
	n := func(s fsm.State) uint64 { return uint64(q.Counts[s]) }
	return &taskraftv1.Queue{
		Name: q.Name, Paused: q.Paused, Settings: settings(q.Settings),
		Scheduled: n(fsm.Scheduled), Ready: n(fsm.Ready), Running: n(fsm.Running), Stopping: n(fsm.Stopping),
		Succeeded: n(fsm.Succeeded), Dead: n(fsm.Dead), Cancelled: n(fsm.Cancelled),
		SubmittedTotal: q.SubmittedTotal, TrimmedTotal: q.TrimmedTotal, OldestReadyTime: timestamp(q.OldestReadyAt),
		HeldBy: q.HeldBy.String(), PayloadBytes: uint64(q.LiveBytes),
	}
}

// backoff is nil when both are.
func backoff(base, most *int64) *taskraftv1.Backoff {
	if base == nil && most == nil {
		return nil
	}
	out := &taskraftv1.Backoff{}
	if base != nil {
		out.Base = duration(*base)
	}
	if most != nil {
		out.Max = duration(*most)
	}
	return out
}
