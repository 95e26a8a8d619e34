package model

import (
	"fmt"
	"slices"
	"strings"
)

// DiffResult says where two answers differ; "" if they do not.
func DiffResult(have, want Result) string {
	var d diff
	d.field("outcome", have.Outcome, want.Outcome)
	d.list("outcomes", have.Outcomes, want.Outcomes)
	d.list("ids", have.IDs, want.IDs)
	d.list("got", have.Got, want.Got)
	d.list("aborts", have.Aborts, want.Aborts)
	d.field("session", have.Session, want.Session)
	d.field("batch", have.Batch, want.Batch)
	d.field("count", have.Count, want.Count)
	return d.String()
}

// DiffTask says where two records differ; "" if they do not.
func DiffTask(have, want Task) string {
	var d diff
	d.field("generation", have.Generation, want.Generation)
	d.field("state", have.State, want.State)
	d.field("queue", have.Queue, want.Queue)
	d.field("kind", have.Kind, want.Kind)
	d.field("priority", have.Priority, want.Priority)
	d.field("timeout", have.Timeout, want.Timeout)
	d.field("max attempts", have.MaxAttempts, want.MaxAttempts)
	d.field("back-off base", have.BackoffBase, want.BackoffBase)
	d.field("back-off max", have.BackoffMax, want.BackoffMax)
	d.field("retain", have.Retain, want.Retain)
	d.field("request id", have.RequestID, want.RequestID)
	d.field("key", have.Key, want.Key)
	d.field("unique key", have.Unique, want.Unique)
	d.field("unique until start", have.UntilStart, want.UntilStart)
	d.field("batch", have.Batch, want.Batch)
	d.field("waiting", have.Waiting, want.Waiting)
	d.field("followed task", have.Follows, want.Follows)
	d.field("followed batch", have.FollowsBatch, want.FollowsBatch)
	d.field("schedule", have.Schedule, want.Schedule)
	d.field("fire time", have.FireTime, want.FireTime)
	d.field("broadcast", have.Of, want.Of)
	d.field("worker that is meant", have.For, want.For)
	d.field("broadcast's deadline", have.Until, want.Until)
	d.field("targets", have.Targets, want.Targets)
	d.field("acked targets", have.Acked, want.Acked)
	d.field("failed targets", have.Failed, want.Failed)
	d.field("submitted", have.Submitted, want.Submitted)
	d.field("eligible", have.Eligible, want.Eligible)
	d.field("expires", have.Expires, want.Expires)
	d.field("finished", have.Finished, want.Finished)
	d.field("attempts", have.Attempts, want.Attempts)
	d.field("failures", have.Failures, want.Failures)
	d.field("crashes", have.Crashes, want.Crashes)
	d.field("solo crashes", have.Solo, want.Solo)
	d.field("fence", have.Fence, want.Fence)
	d.field("session", have.Session, want.Session)
	d.field("worker", have.Worker, want.Worker)
	d.field("boot", have.Boot, want.Boot)
	d.field("started", have.Started, want.Started)
	d.field("deadline", have.Deadline, want.Deadline)
	d.field("alone", have.Alone, want.Alone)
	d.field("redeemable", have.Redeemable, want.Redeemable)
	d.field("stop cause", have.Stop, want.Stop)
	d.field("result", string(have.Result), string(want.Result))
	d.field("error", have.Error, want.Error)
	d.field("reason", have.Reason, want.Reason)
	return d.String()
}

// DiffBatch says where two records differ; "" if they do not.
func DiffBatch(have, want Batch) string {
	var d diff
	d.field("first", have.First, want.First)
	d.field("total", have.Total, want.Total)
	d.field("committed", have.Committed, want.Committed)
	d.field("finished", have.Finished, want.Finished)
	d.field("cancelled", have.Cancelled, want.Cancelled)
	d.field("reason", have.Reason, want.Reason)
	for _, state := range []string{Scheduled, Ready, Running, Stopping, Succeeded, Dead, Cancelled} {
		d.field("number of "+state, have.Counts[state], want.Counts[state])
	}
	return d.String()
}

// DiffSchedule says where two records differ; "" if they do not.
func DiffSchedule(have, want Schedule) string {
	var d diff
	d.field("version", have.Version, want.Version)
	d.field("paused", have.Paused, want.Paused)
	d.field("planned", have.Planned, want.Planned)
	d.field("next fire time", have.Next, want.Next)
	d.field("decided up to", have.From, want.From)
	d.field("misfires in a row", have.InARow, want.InARow)
	d.field("last fire time", have.LastFire, want.LastFire)
	d.field("last task", have.LastTask, want.LastTask)
	d.field("fired", have.Fired, want.Fired)
	d.field("left out", have.LeftOut, want.LeftOut)
	d.field("overlapped", have.Overlapped, want.Overlapped)
	d.field("refused", have.Refused, want.Refused)
	return d.String()
}

// DiffSweep says where two records differ; "" if they do not.
func DiffSweep(have, want Sweep) string {
	var d diff
	d.field("record", have, want)
	return d.String()
}

// DiffWorker says where two records differ; "" if they do not.
func DiffWorker(have, want Worker) string {
	var d diff
	d.field("boot", have.Boot, want.Boot)
	d.field("last seen", have.Seen, want.Seen)
	d.field("drained", have.Drained, want.Drained)
	return d.String()
}

// diff gathers differences.
type diff struct{ found []string }

func (d *diff) field(name string, have, want any) {
	if have != want {
		d.found = append(d.found, fmt.Sprintf("%s is %v, the model says %v", name, have, want))
	}
}

func (d *diff) list(name string, have, want any) {
	if a, b := fmt.Sprint(have), fmt.Sprint(want); a != b {
		d.found = append(d.found, fmt.Sprintf("%s are %s, the model says %s", name, a, b))
	}
}

func (d *diff) String() string { return strings.Join(slices.Clip(d.found), "; ") }
