package cluster

import (
	"log/slog"

	"github.com/taskraft/taskraft/fsm"
)

// Step is a change in the life of a task that observers may want to tell of: one
// that carries a trace, or that a schedule submitted.
type Step struct {
	Kind  fsm.EventKind
	Cause fsm.Cause
	Fence uint64    // of the attempt that the change is about, if it is about one
	Task  *fsm.Task // frozen, as the change left it
}

// maxSteps is how many steps may wait for their observer.
const maxSteps = 8192

// steps carries what happens under this node's leadership to Config.Steps, outside
// of Apply. Nobody waits for the observer: what it cannot take in time is lost, and
// counted.
type steps struct {
	waiting chan Step // nil: nobody observes
	lossy   bool      // it was said
}

// observe takes note of what one entry did. Called in log order with table.mu held
// for writing.
func (e *engine) observe(a *fsm.Applied) {
	for i := range a.Events {
		ev := &a.Events[i]
		if ev.Task == nil || ev.Task.Extra == nil || ev.Task.Extra.Trace == nil && ev.Task.Extra.Schedule == "" {
			continue
		}
		select {
		case e.steps.waiting <- Step{ev.Kind, ev.Cause, ev.Fence, ev.Task}:
		default:
			e.count.unobserved.Add(1)
		}
	}
}

// tellSteps calls the observer, until the engine stops and nothing is left to tell.
func (e *engine) tellSteps() {
	for {
		select {
		case s := <-e.steps.waiting:
			e.cfg.Steps(s)
			e.tellLoss()
		case <-e.stopping:
			for {
				select {
				case s := <-e.steps.waiting:
					e.cfg.Steps(s)
				default:
					return
				}
			}
		}
	}
}

// tellLoss warns once that traces have holes; the counter goes on.
func (e *engine) tellLoss() {
	if n := e.count.unobserved.Load(); n > 0 && !e.steps.lossy {
		e.steps.lossy = true
		e.log.Warn("more traced tasks than can be observed: traces have holes", slog.Uint64("lost", n))
	}
}
