package checker

import (
	"cmp"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// told checks that one submit was told one task, and one task to one submit (S3).
func (r *Report) told(h *History) {
	tasks, submits := make(map[string]uint64), make(map[uint64]string)
	for _, op := range h.Ops {
		if op.Kind != "submit" || op.Outcome != OK {
			continue
		}
		r.Counts["acknowledged"]++
		meant := op.meant()
		if old := tasks[meant]; old != 0 && old != op.Task {
			r.add("S3", "request %s was told to be task %d and task %d", meant, old, op.Task)
		}
		if old, known := submits[op.Task]; known && old != meant {
			r.add("S3", "task %d was told to request %s and to request %s", op.Task, old, meant)
		}
		tasks[meant], submits[op.Task] = op.Task, meant
	}
}

// meant names what a submit was to bring about.
func (op *Op) meant() string { return cmp.Or(op.Intent, op.Request) }

// acks compares what clients were told with the log.
func (r *Report) acks(h *History, log []Entry) {
	submitted := make(map[uint64]Event)
	at := make(map[uint64]uint64)
	for _, e := range log {
		for _, v := range e.Events {
			if v.Kind == "submitted" {
				submitted[v.Task], at[v.Task] = v, e.Index
			}
		}
	}
	asked := make(map[string]string) // how it ended, by what was asked
	for _, op := range h.Ops {
		if op.Kind != "submit" {
			continue
		}
		asked[op.meant()] = op.Outcome
		if op.Outcome != OK {
			continue
		}
		v, there := submitted[op.Task]
		switch {
		case !there:
			r.add("S1", "task %d was acknowledged to %s and is not in the log", op.Task, op.Client)
		case v.RequestID != op.Request:
			r.add("S3", "task %d was acknowledged for request %s and is of %s", op.Task, op.Request, v.RequestID)
		case v.Intent != op.Intent:
			r.add("S3", "task %d was acknowledged for submit %s and is of %s", op.Task, op.Intent, v.Intent)
		case op.Index != 0 && op.Index < at[op.Task]:
			r.add("S1", "task %d was acknowledged at entry %d, before it entered at %d", op.Task, op.Index, at[op.Task])
		}
	}
	for id, v := range submitted {
		switch outcome := asked[cmp.Or(v.Intent, v.RequestID)]; {
		case v.Schedule != "":
		case outcome == "":
			r.add("S2", "task %d (request %q) was submitted by nobody", id, v.RequestID)
		case outcome == Fail:
			r.add("S2", "task %d (request %q) is in the log, and its submitter was told that it is not", id, v.RequestID)
		}
	}
}

// fresh checks that no call was answered by an older table than one that had answered
// before the call began (S12): most stale reads show without a search for an order.
func (r *Report) fresh(h *History) {
	var began []Op
	for _, op := range h.Ops {
		if op.Outcome == OK && op.Index != 0 {
			began = append(began, op)
		}
	}
	ended := slices.Clone(began)
	slices.SortFunc(began, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortFunc(ended, func(a, b Op) int { return cmp.Compare(a.Return, b.Return) })
	var newest Op
	for _, op := range began {
		for ; len(ended) > 0 && ended[0].Return < op.Call; ended = ended[1:] {
			if ended[0].Index > newest.Index {
				newest = ended[0]
			}
		}
		if op.Index < newest.Index {
			r.add("S12", "%s of task %d by %s was answered with entry %d, after %s of task %d by %s had been with entry %d",
				op.Kind, op.Task, op.Client, op.Index, newest.Kind, newest.Task, newest.Client, newest.Index)
		}
		r.Counts["answer with an index"]++
	}
}

// fixed checks that a finished task says the same for ever (S5), also at the end.
func (r *Report) fixed(h *History) {
	type end struct{ state, result string }
	ends := make(map[uint64]end)
	look := func(task uint64, e end) {
		if !terminal(e.state) {
			return
		}
		if old, seen := ends[task]; seen && old != e {
			r.add("S5", "task %d said %v, and then %v", task, old, e)
		}
		ends[task] = e
	}
	ops := slices.Clone(h.Ops)
	slices.SortStableFunc(ops, func(a, b Op) int { return cmp.Compare(a.Return, b.Return) })
	for _, op := range ops {
		if op.Kind == "get" && op.Outcome == OK {
			look(op.Task, end{op.State, op.Result})
		}
	}
	for _, f := range h.Finals {
		look(f.Task, end{f.State, f.Result})
	}
}

func terminal(state string) bool {
	return state == "SUCCEEDED" || state == "DEAD" || state == "CANCELLED"
}

// view is a task as one operation can see it. Attempts come and go unseen, so all
// that is not an end is one state.
type view struct {
	there bool
	end   string // state and result, once it has ended
}

// order looks for an order of all calls about one task in which each is told what
// the ones before it have done (S12).
func (r *Report) order(h *History) {
	byTask := make(map[uint64][]porcupine.Operation)
	forever := int64(0)
	for _, op := range h.Ops {
		forever = max(forever, op.Return)
	}
	clients := make(map[string]int)
	for _, op := range h.Ops {
		if op.Task == 0 || op.Outcome == Fail || (op.Outcome == Maybe && op.Kind == "get") {
			continue
		}
		if _, known := clients[op.Client]; !known {
			clients[op.Client] = len(clients)
		}
		until := op.Return
		if op.Outcome == Maybe {
			until = forever + 1
		}
		byTask[op.Task] = append(byTask[op.Task], porcupine.Operation{ClientId: clients[op.Client], Input: op, Call: op.Call, Output: op, Return: until})
	}
	sketch := taskModel()
	m := sketch.ToModel()
	for task, ops := range byTask {
		r.Counts["task with calls"]++
		if res := porcupine.CheckOperationsTimeout(m, ops, 10*time.Second); res != porcupine.Ok {
			r.add("S12", "the %d calls about task %d have no order (%s)", len(ops), task, res)
		}
	}
}

func taskModel() porcupine.NondeterministicModel {
	return porcupine.NondeterministicModel{
		Init: func() []any { return []any{view{}} },
		Step: func(state, input, _ any) []any {
			s, op := state.(view), input.(Op)
			switch op.Kind {
			case "submit":
				return []any{view{there: true, end: s.end}}
			case "get":
				if !s.there {
					return nil
				}
				if !terminal(op.State) {
					if s.end != "" {
						return nil
					}
					return []any{s}
				}
				end := op.State + " " + op.Result
				if s.end != "" && s.end != end {
					return nil
				}
				return []any{view{true, end}}
			}
			if !s.there && op.Outcome == OK {
				return nil
			}
			return []any{s} // cancel: what it did, reads show
		},
		Equal: func(a, b any) bool { return a == b },
	}
}

// leases looks for two executions of one task at the same time (S7). A worker that
// was killed, frozen or cut off may still have been at work, or seem so.
func (r *Report) leases(h *History) {
	byTask := make(map[uint64][]Run)
	for _, run := range h.Runs {
		byTask[run.Task] = append(byTask[run.Task], run)
	}
	for task, runs := range byTask {
		slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.Start, b.Start) })
		r.once(task, runs)
		for i, run := range runs[1:] {
			before := runs[i]
			r.Counts["execution again"]++
			if run.Fence <= before.Fence {
				r.add("S6", "task %d ran under fence %d after %d", task, run.Fence, before.Fence)
			}
			if before.End != 0 && before.End <= run.Start {
				continue
			}
			if !hit(h.Faults, before.Worker, before.Start, run.Start) {
				r.add("S7", "task %d ran on %s under fence %d while %s was still at it under %d", task, run.Worker, run.Fence, before.Worker, before.Fence)
			}
		}
	}
}

// once checks that one execution of a task counts (S4).
func (r *Report) once(task uint64, runs []Run) {
	counts := uint64(0)
	for _, run := range runs {
		if !run.Confirmed {
			continue
		}
		r.Counts["confirmed"]++
		if counts != 0 && counts != run.Fence {
			r.add("S4", "task %d was confirmed as completed under fence %d and under fence %d", task, counts, run.Fence)
		}
		counts = run.Fence
	}
}

func hit(faults []Fault, worker string, from, to int64) bool {
	return slices.ContainsFunc(faults, func(f Fault) bool {
		return f.Target == worker && f.Start <= to && (f.End == 0 || f.End >= from)
	})
}

// end checks that what was acknowledged has come to its end (L1, S1).
func (r *Report) end(h *History) {
	finals := make(map[uint64]Final)
	for _, f := range h.Finals {
		finals[f.Task] = f
	}
	for _, run := range h.Runs {
		if f, read := finals[run.Task]; run.Confirmed && read && f.State != "SUCCEEDED" {
			r.add("S5", "task %d was confirmed as completed under fence %d and is %q at the end", run.Task, run.Fence, f.State)
		}
	}
	for _, op := range h.Ops {
		if op.Kind != "submit" || op.Outcome != OK {
			continue
		}
		f, read := finals[op.Task]
		switch {
		case !read:
			r.add("vacuity", "task %d was not read at the end", op.Task)
		case f.Gone:
			r.add("S1", "task %d was acknowledged, and at the end the leader does not know it", op.Task)
		case !terminal(f.State):
			r.add("L1", "task %d is %s at the end", op.Task, f.State)
		}
	}
}
