package cli

import (
	"fmt"
	"strings"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// shownParents are named one by one, more by their number.
const shownParents = 8

// after says for which tasks one waits, or waited.
func after(t *taskraftv1.Task) string {
	parents := t.GetSpec().GetAfter()
	if len(parents) == 0 {
		return ""
	}
	out := plural(len(parents), "task")
	if len(parents) <= shownParents {
		out = strings.Trim(strings.Join(strings.Fields(fmt.Sprint(parents)), ", "), "[]")
	}
	if t.GetSpec().GetAfterPolicy() == taskraftv1.AfterPolicy_AFTER_RUN {
		out += ", however they end"
	}
	if n := t.GetWaitsFor(); n > 0 {
		out += fmt.Sprintf(" (%d not ended)", n)
	}
	return out
}

// follows says with whose end a task was submitted.
func follows(t *taskraftv1.Task) string {
	switch {
	case t.GetFollows() != 0:
		return fmt.Sprintf("task %d", t.GetFollows())
	case t.GetFollowsBatch() != 0:
		return fmt.Sprintf("batch %d", t.GetFollowsBatch())
	}
	return ""
}

// then says what is submitted with the task's end.
func then(spec *taskraftv1.TaskSpec) string {
	var parts []string
	for _, end := range []struct {
		when  string
		specs []*taskraftv1.TaskSpec
	}{{"succeeded", spec.GetOnSuccess()}, {"dead", spec.GetOnDead()}} {
		for _, s := range end.specs {
			parts = append(parts, strings.TrimRight("when "+end.when+": "+show.Clean(s.GetQueue())+" "+show.Clean(s.GetKind()), " "))
		}
	}
	return strings.Join(parts, "; ")
}
