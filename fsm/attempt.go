package fsm

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// report is what a worker process says of one attempt.
type report struct {
	worker, boot string
	task, fence  uint64
	verb         Verb
	digest       uint64
}

// complete ends attempts with success.
func (m *Machine) complete(c *fsmpb.Complete) Result {
	outcomes := make([]Outcome, len(c.GetItems()))
	for i, it := range c.GetItems() {
		r := report{c.GetWorker(), c.GetBoot(), it.GetTask(), it.GetFence(), VerbComplete, it.GetDigest()}
		t, o := m.judge(r)
		switch {
		case o == Accepted:
			m.succeed(m.lines[t.Queue], t, it)
		case mutated("M18") && o == AlreadyTerminal:
			late := *t
			late.Result = it.GetResult()
			m.tasks.Set(t.ID, &late)
			m.rehash(t, &late)
		case t != nil:
			m.refuse(t, r, o, it.GetResult())
		}
		outcomes[i] = o
	}
	return Result{Outcome: Accepted, Outcomes: outcomes}
}

// failed ends attempts without success.
func (m *Machine) failed(c *fsmpb.Fail) Result {
	outcomes := make([]Outcome, len(c.GetItems()))
	for i, it := range c.GetItems() {
		r := report{c.GetWorker(), c.GetBoot(), it.GetTask(), it.GetFence(), VerbFail, it.GetDigest()}
		t, o := m.judge(r)
		switch {
		case o == Accepted:
			m.fail(m.lines[t.Queue], t, failure{
				digest: r.digest, err: Clip(it.GetError(), MaxError),
				permanent: it.GetPermanent(), snooze: it.GetSnooze(), retryAfter: it.GetRetryAfter(),
				result: it.GetResult(), contentType: it.GetContentType(),
			})
		case t != nil:
			m.refuse(t, r, o, it.GetResult())
		}
		outcomes[i] = o
	}
	return Result{Outcome: Accepted, Outcomes: outcomes}
}

// release hands attempts back unfinished. For a redeemable fence the task is
// where it would go already.
func (m *Machine) release(c *fsmpb.Release) Result {
	outcomes := make([]Outcome, len(c.GetItems()))
	for i, it := range c.GetItems() {
		r := report{c.GetWorker(), c.GetBoot(), it.GetTask(), it.GetFence(), VerbRelease, 0}
		t, o := m.judge(r)
		switch {
		case o == Accepted && t.State == Running:
			m.handBack(m.lines[t.Queue], t)
		case o != Accepted && t != nil:
			m.refuse(t, r, o, nil)
		}
		outcomes[i] = o
	}
	return Result{Outcome: Accepted, Outcomes: outcomes}
}

// judge says what a report's fence is worth (S6). Accepted: the attempt is
// valid, t is Running or Ready and redeemable. Otherwise t is non-nil when the
// worker has proven to own the fence.
func (m *Machine) judge(r report) (t *Task, o Outcome) {
	t, o = m.find(r.task)
	if t == nil {
		return nil, o
	}
	if r.fence == 0 {
		return nil, UnknownTask
	}
	if r.fence == t.Fence || mutated("M5") && t.State == Running && r.worker == t.Worker {
		switch {
		case r.worker != t.Worker || r.boot != t.Boot:
			return nil, UnknownTask
		case t.State == Running || t.Redeemable:
			return t, Accepted
		case t.StopCause == CauseCancelled:
			return t, TaskCancelled
		default:
			return t, StaleTimedOut
		}
	}
	for i := len(t.Ended) - 1; i >= 0; i-- {
		if e := &t.Ended[i]; e.Fence == r.fence {
			return judgeEnded(t, e, r)
		}
	}
	if len(t.Ended) == KeepEnded && r.fence < t.Ended[0].Fence {
		return nil, t.standing() // older than what is kept
	}
	return nil, UnknownTask
}

// judgeEnded answers a report about an attempt of the past.
func judgeEnded(t *Task, e *Ended, r report) (*Task, Outcome) {
	switch {
	case e.Worker != r.worker || e.Boot != r.boot:
		return nil, UnknownTask
	case e.Verb == VerbNone:
		return t, t.standing()
	case e.Verb == r.verb && e.Digest == r.digest:
		return t, Duplicate
	default:
		return t, Conflict
	}
}

// standing answers a void fence from where the task is now.
func (t *Task) standing() Outcome {
	switch t.State {
	case Running, Stopping:
		return StaleReassigned
	case Scheduled, Ready:
		return StaleTimedOut
	case Cancelled:
		return TaskCancelled
	default:
		return AlreadyTerminal
	}
}

// refuse keeps what a refused report brought, and takes a report on the attempt
// that should stop for the word that it has stopped.
func (m *Machine) refuse(old *Task, r report, o Outcome, result []byte) {
	l := m.lines[old.Queue]
	confirms := old.State == Stopping && old.Fence == r.fence
	if o != Duplicate && (r.verb == VerbComplete || !confirms) {
		m.emit(Event{Kind: ReportRefused, Outcome: o, Task: old, Fence: r.fence, Name: r.worker})
	}
	if o != Duplicate && (r.verb == VerbComplete || len(result) > 0) && !old.keeps(r.fence) {
		t := *old
		kept := result[:min(len(result), MaxSuperseded)]
		t.amend().Superseded = appendFrozen(t.Superseded(), Superseded{
			Fence: r.fence, Worker: r.worker, Outcome: o,
			Result: slices.Clone(kept), Truncated: len(kept) < len(result), At: m.now,
		}, KeepSuperseded)
		m.put(l, old, &t)
		m.setTrimDue(l)
		old = &t
	}
	if confirms {
		m.stopped(l, old)
	}
}

// keeps reports whether a superseded result of that fence is kept already: a
// repeat adds nothing.
func (t *Task) keeps(fence uint64) bool {
	return slices.ContainsFunc(t.Superseded(), func(s Superseded) bool { return s.Fence == fence })
}

// find returns a task, or why there is none.
func (m *Machine) find(id uint64) (*Task, Outcome) {
	if t, ok := m.tasks.Get(id); ok {
		return t, OutcomeNone
	}
	if id == 0 || id > m.lastTask {
		return nil, UnknownTask
	}
	if m.busy.Len() > 0 {
		if t := m.catchUp(id); t != nil {
			return t, OutcomeNone
		}
	}
	return nil, Forgotten
}

// Clip shortens s to at most n bytes, between two characters.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n]) // the rest must not stay in memory
}
