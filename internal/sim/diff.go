package sim

import (
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/model"
)

// ResultOf puts the machine's answer into the model's words.
func ResultOf(r *fsm.Result) model.Result {
	out := model.Result{Outcome: r.Outcome.String(), IDs: r.IDs, Aborts: r.Aborts, Batch: r.Batch, Count: r.Count}
	for _, o := range r.Outcomes {
		out.Outcomes = append(out.Outcomes, o.String())
	}
	for _, t := range r.Tasks {
		out.Got = append(out.Got, model.Grant{Task: t.ID, Fence: t.Fence})
	}
	if r.Session != nil {
		out.Session = r.Session.ID
	}
	return out
}

// taskOf puts the machine's record into the model's words.
func taskOf(t *fsm.Task) model.Task {
	out := model.Task{
		ID: t.ID, Generation: t.Generation, State: t.State.String(), Queue: t.Queue, Kind: t.Kind, Priority: t.Priority,
		Timeout: t.Timeout, MaxAttempts: t.MaxAttempts, BackoffBase: t.BackoffBase, BackoffMax: t.BackoffMax,
		Retain: t.Retain, RequestID: t.RequestID, Submitted: t.SubmittedAt, Eligible: t.EligibleAt, Expires: t.ExpiresAt,
		Finished: t.FinishedAt, Attempts: t.Attempts, Failures: t.Failures, Crashes: t.Crashes, Solo: t.SoloCrashes,
		Fence: t.Fence, Session: t.Session, Worker: t.Worker, Boot: t.Boot, Started: t.StartedAt, Deadline: t.Deadline,
		Alone: t.Solo, Redeemable: t.Redeemable, Stop: t.StopCause.String(),
		Result: t.Result, Error: t.Error, Reason: t.Reason,
	}
	if t.Extra != nil {
		out.Key = t.Extra.ConcurrencyKey
		out.Unique, out.UntilStart = t.Extra.UniqueKey, t.Extra.UntilStart
		out.Batch, out.Follows, out.FollowsBatch = t.Extra.Batch, t.Extra.Follows, t.Extra.FollowsBatch
		out.Waiting = t.Extra.Waiting
		out.Schedule, out.FireTime = t.Extra.Schedule, t.Extra.FireTime
		if b := t.Extra.Broadcast; b != nil {
			out.Until, out.Targets, out.Acked, out.Failed = b.Until, int(b.Targets), int(b.Acked), int(b.Failed)
		}
		if x := t.Extra.Target; x != nil {
			out.Of, out.For, out.Until = x.Broadcast, x.Worker, x.Until
		}
	}
	return out
}

// scheduleOf puts the machine's record into the model's words.
func scheduleOf(s *fsm.Schedule) model.Schedule {
	return model.Schedule{
		Version: s.Version, Paused: s.Paused, Planned: s.Planned, Next: s.NextFire, From: s.PlanFrom, InARow: s.CaughtUp,
		LastFire: s.LastFire, LastTask: s.LastTask,
		Fired: s.FiredTotal, LeftOut: s.MisfiresTotal, Overlapped: s.OverlapsTotal, Refused: s.RefusedTotal,
	}
}

// sweepOf puts the machine's record into the model's words.
func sweepOf(s *fsm.Sweep) model.Sweep {
	return model.Sweep{
		ID: s.ID, Reason: s.Reason, Started: s.StartedAt, Finished: s.FinishedAt, Matched: s.Matched, Cancelled: s.Cancelled, Ended: s.Ended,
	}
}

// workerOf puts the machine's record into the model's words.
func workerOf(w *fsm.Worker) model.Worker {
	return model.Worker{Boot: w.Boot, Seen: w.SeenAt, Drained: w.Drained}
}

// batchOf puts the machine's record into the model's words.
func batchOf(b *fsm.Batch) model.Batch {
	out := model.Batch{
		ID: b.ID, First: b.First, Total: b.Total, Committed: b.CommittedAt, Finished: b.FinishedAt, Cancelled: b.CancelledAt,
		Reason: b.Reason, Counts: make(map[string]int64),
	}
	for s, n := range b.Counts {
		out.Counts[fsm.State(s).String()] = n
	}
	return out
}
