package cluster

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/fsm"
)

// An observer hears of traced tasks in order, and of no others; one that does not
// return holds nobody up.
func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []fsm.EventKind
		gate := make(chan struct{})
		r := newRig(t, &Config{Steps: func(s Step) {
			<-gate
			if s.Task.ID == 2 {
				heard = append(heard, s.Kind)
			}
		}})
		traced := submitTo("q", 2)
		traced.GetSubmit().Tasks[1].Traceparent = []byte("trace")
		r.order(traced)
		s := r.attach(hello("w", "b", 2, "q"))
		r.complete(s, r.next(s).Assignments...)
		for range maxSteps { // more than can wait, while the observer stands still
			many := submitTo("p", 1)
			many.GetSubmit().Tasks[0].Traceparent = []byte("trace")
			r.order(many)
		}
		synctest.Wait()
		if lost := r.e.count.unobserved.Load(); lost == 0 || lost > maxSteps {
			t.Errorf("%d steps were not observed", lost)
		}
		close(gate)
		r.close()
		if diff := cmp.Diff([]fsm.EventKind{fsm.TaskSubmitted, fsm.TaskAssigned, fsm.TaskFinished}, heard); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}
