package checker

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/taskraft/taskraft/internal/model"
)

// merge makes one log of all taps. At one index all masters must have applied the
// same bytes in the same term (C2) with the same answers and effects (C1), also
// when a master applies an entry again after a restart.
func (r *Report) merge(h *History) []Entry {
	merged := make(map[uint64]Entry)
	for _, name := range slices.Sorted(maps.Keys(h.Taps)) {
		last := uint64(0)
		for _, e := range h.Taps[name] {
			if e.Index <= last {
				r.add("C2", "%s applied entry %d after entry %d", name, e.Index, last)
			}
			last = e.Index
			r.Counts["entry of some master"]++
			old, seen := merged[e.Index]
			switch {
			case !seen:
				merged[e.Index] = e
			case old.Term != e.Term || !bytes.Equal(old.Entry, e.Entry):
				r.add("C2", "%s has another entry %d (term %d) than other masters (term %d)", name, e.Index, e.Term, old.Term)
			case !same(old, e):
				r.add("C1", "%s did something else at entry %d than other masters", name, e.Index)
			}
		}
	}
	log := make([]Entry, 0, len(merged))
	for _, index := range slices.Sorted(maps.Keys(merged)) {
		e := merged[index]
		if n := len(log); n > 0 && !follows(log[n-1], e) {
			r.add("C2", "entry %d of term %d follows entry %d of term %d", index, e.Term, log[n-1].Index, log[n-1].Term)
		}
		log = append(log, e)
	}
	r.Counts["entry"] = len(log)
	return log
}

// follows reports whether b can be the next entry that the table sees after a. The
// first entry of each term is Raft's own, which it does not see.
func follows(a, b Entry) bool {
	return b.Term >= a.Term && b.Index-a.Index-1 <= b.Term-a.Term
}

func same(a, b Entry) bool {
	x, err := json.Marshal([]any{a.NotLeader, a.Results, a.Events})
	y, err2 := json.Marshal([]any{b.NotLeader, b.Results, b.Events})
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

type generation struct {
	task uint64
	n    uint32
}

// scan reads the log once, without any model: what must never be seen in it.
func (r *Report) scan(log []Entry) {
	ended := make(map[generation]string)
	cancelled := make(map[generation]bool)
	byRequest, byIntent := make(map[string]uint64), make(map[string]uint64)
	fence := uint64(0)
	for _, e := range log {
		for _, v := range e.Events {
			g := generation{v.Task, v.Generation}
			switch v.Kind {
			case "submitted":
				r.Counts["task"]++
				if old := byRequest[v.RequestID]; v.RequestID != "" && old != 0 && old != v.Task {
					r.add("S3", "entry %d: request %s made tasks %d and %d", e.Index, v.RequestID, old, v.Task)
				}
				byRequest[v.RequestID] = v.Task
				if old := byIntent[v.Intent]; v.Intent != "" && old != 0 && old != v.Task {
					r.add("S3", "entry %d: tasks %d and %d are of one submit, %s", e.Index, old, v.Task, v.Intent)
				}
				byIntent[v.Intent] = v.Task
			case "assigned":
				r.Counts["assignment"]++
				if v.Cause == "" && v.Fence <= fence {
					r.add("S6", "entry %d: fence %d after fence %d", e.Index, v.Fence, fence)
				}
				fence = max(fence, v.Fence)
				if ended[g] != "" {
					r.add("S4", "entry %d: task %d is assigned after its end", e.Index, v.Task)
				}
				if cancelled[g] {
					r.add("S14", "entry %d: task %d is assigned after it was cancelled", e.Index, v.Task)
				}
			case "stopping":
				cancelled[g] = cancelled[g] || v.Cause == "cancelled"
			case "finished":
				r.Counts["end "+v.State]++
				if old := ended[g]; old != "" {
					r.add("S4", "entry %d: task %d is %s, and was %s before", e.Index, v.Task, v.State, old)
				}
				ended[g] = v.State
			}
			if v.Cause != "" {
				r.Counts["cause "+v.Cause]++
			}
		}
	}
}

// replay carries the log out with the model and compares every answer and the
// state of every task that an entry touched.
func (r *Report) replay(log []Entry) {
	if len(log) > 0 && log[0].Index != 1 {
		r.add("vacuity", "the log begins with entry %d: nobody recorded the ones before", log[0].Index)
		return
	}
	m := model.New()
	for _, e := range log {
		if len(e.Entry) == 0 {
			continue
		}
		want, err := m.Apply(e.Index, e.Term, e.Entry)
		if errors.Is(err, model.ErrUnmodelled) {
			r.add("vacuity", "%v", err)
			return
		}
		var broken *model.Breach
		if errors.As(err, &broken) {
			r.add(broken.ID, "%v", err)
			return
		}
		if err != nil {
			r.add("C2", "%v", err)
			return
		}
		r.Counts["entry replayed"]++
		if want.NotLeader != e.NotLeader || len(want.Results) != len(e.Results) {
			r.add("model", "entry %d: not leader %t with %d answers, the model says %t with %d", e.Index, e.NotLeader, len(e.Results), want.NotLeader, len(want.Results))
			return
		}
		if !r.agree(e, want, m) {
			return // what follows from a difference is no second one
		}
	}
}

func (r *Report) agree(e Entry, want *model.Applied, m *model.Table) bool {
	for i, w := range want.Results {
		for _, o := range append(w.Outcomes, w.Outcome) {
			r.Counts["answer "+o]++
		}
		if diff := model.DiffResult(e.Results[i], w); diff != "" {
			r.add("model", "entry %d, command %d: %s", e.Index, i, diff)
			return false
		}
	}
	last := make(map[uint64]Event)
	for _, v := range e.Events {
		if v.Task != 0 && v.Kind != "trimmed" {
			last[v.Task] = v
		}
	}
	for _, id := range slices.Sorted(maps.Keys(last)) {
		v := last[id]
		t, _ := m.Task(id)
		if t.ID != 0 && (t.State != v.State || t.Generation != v.Generation || t.Failures != v.Failures || t.Crashes != v.Crashes) {
			r.add("model", "entry %d: task %d is %s with %d failures and %d crashes, the model says %s with %d and %d (S8)",
				e.Index, id, v.State, v.Failures, v.Crashes, t.State, t.Failures, t.Crashes)
			return false
		}
	}
	return true
}
