package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/model"
)

// resultOf puts the machine's answer into the model's words.
func resultOf(r *fsm.Result) model.Result {
	out := model.Result{Outcome: r.Outcome.String(), IDs: r.IDs, Aborts: r.Aborts}
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

// DiffResult says where two answers differ; "" if they do not.
func DiffResult(have, want model.Result) string {
	var d diff
	d.field("outcome", have.Outcome, want.Outcome)
	d.list("outcomes", have.Outcomes, want.Outcomes)
	d.list("ids", have.IDs, want.IDs)
	d.list("got", have.Got, want.Got)
	d.list("aborts", have.Aborts, want.Aborts)
	d.field("session", have.Session, want.Session)
	return d.String()
}

// taskOf puts the machine's record into the model's words.
func taskOf(t *fsm.Task) model.Task {
	out := model.Task{
		ID: t.ID, Generation: t.Generation, State: t.State.String(), Queue: t.Queue, Priority: t.Priority,
		Timeout: t.Timeout, MaxAttempts: t.MaxAttempts, BackoffBase: t.BackoffBase, BackoffMax: t.BackoffMax,
		Retain: t.Retain, RequestID: t.RequestID, Submitted: t.SubmittedAt, Eligible: t.EligibleAt, Expires: t.ExpiresAt,
		Finished: t.FinishedAt, Attempts: t.Attempts, Failures: t.Failures, Crashes: t.Crashes, Solo: t.SoloCrashes,
		Fence: t.Fence, Session: t.Session, Worker: t.Worker, Boot: t.Boot, Started: t.StartedAt, Deadline: t.Deadline,
		Alone: t.Solo, Redeemable: t.Redeemable, Stop: t.StopCause.String(),
		Result: t.Result, Error: t.Error, Reason: t.Reason,
	}
	if t.Extra != nil {
		out.Key = t.Extra.ConcurrencyKey
	}
	return out
}

// DiffTask says where two records differ; "" if they do not.
func DiffTask(have, want model.Task) string {
	var d diff
	d.field("generation", have.Generation, want.Generation)
	d.field("state", have.State, want.State)
	d.field("queue", have.Queue, want.Queue)
	d.field("priority", have.Priority, want.Priority)
	d.field("timeout", have.Timeout, want.Timeout)
	d.field("max attempts", have.MaxAttempts, want.MaxAttempts)
	d.field("back-off base", have.BackoffBase, want.BackoffBase)
	d.field("back-off max", have.BackoffMax, want.BackoffMax)
	d.field("retain", have.Retain, want.Retain)
	d.field("request id", have.RequestID, want.RequestID)
	d.field("key", have.Key, want.Key)
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
