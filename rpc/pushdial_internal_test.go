package rpc

import (
	"strings"
	"testing"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestPushReportThatIsRefused: a report that breaks a rule is a failure for good of the
// attempt that was asked for, whatever the report names.
func TestPushReportThatIsRefused(t *testing.T) {
	w := &pushWorker{edge: &Server{cfg: DefaultConfig()}}
	task := &fsm.Task{ID: 7, Options: new(fsm.Options), Attempt: &fsm.Attempt{Fence: 9}}
	for name, resp := range map[string]*taskraftv1.DoTaskResponse{
		"completion": {Report: &taskraftv1.DoTaskResponse_Completion{Completion: &taskraftv1.Completion{
			Task: 1, Fence: 1, ContentType: strings.Repeat("x", 1000),
		}}},
		"failure": {Report: &taskraftv1.DoTaskResponse_Failure{Failure: &taskraftv1.Failure{
			Task: 1, Fence: 1, Error: "x", ContentType: strings.Repeat("x", 1000),
		}}},
	} {
		r, err := w.report(task, resp)
		if err != nil || r.Done != nil || r.Failed == nil {
			t.Errorf("%s: reported %+v, %v", name, r, err)
			continue
		}
		if f := r.Failed; f.Task != 7 || f.Fence != 9 || !f.Permanent || !strings.Contains(f.Error, "refused the report") {
			t.Errorf("%s: reported as %v", name, f)
		}
	}
}
