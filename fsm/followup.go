package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// follow submits what was asked for with the end of a task or batch, in the same
// entry. Nothing refuses it: a task for which no queue can be added goes into l, and a
// queue's limit of length does not hold it.
func (m *Machine) follow(l *line, task, batch uint64, specs []*fsmpb.TaskSpec) {
	for _, spec := range specs {
		bare(spec)
		spec.After, spec.AfterItems = nil, nil
		m.create(spec, &origin{follows: task, followsBatch: batch, line: l})
	}
}

// bare takes from a spec what could refuse it, or make it another task.
func bare(spec *fsmpb.TaskSpec) {
	spec.RequestId, spec.UniqueKey, spec.UniqueUntilStart = "", "", false
}

// takeFollowUps returns what is to be submitted with the end of t, which is not
// frozen yet, and makes sure that it is not submitted again.
func (t *Task) takeFollowUps() []*fsmpb.TaskSpec {
	if t.waiting() {
		t.amend().Waiting = false
	}
	var specs []*fsmpb.TaskSpec
	switch {
	case t.State == Succeeded && t.Extra.OnSuccess != nil:
		specs, t.amend().OnSuccess = t.Extra.OnSuccess, nil
	case t.State == Dead && t.Extra.OnDead != nil:
		specs, t.amend().OnDead = t.Extra.OnDead, nil
	}
	return specs
}
