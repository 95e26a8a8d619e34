package worker

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// What is broadcast runs beside the slots, in a worker that has none free.
func TestBroadcastRunsBesideTheSlots(t *testing.T) {
	ms := newMasters(t, 1)
	release := make(chan struct{})
	r := startWorker(t, ms, Config{Slots: 1, Default: func(ctx context.Context, task *Task) (Result, error) {
		if task.Broadcast == 0 {
			<-release
		}
		return echoHandler(ctx, task)
	}})
	sv := ms.accept()
	sv.assign("", 1)
	sv.send(&taskraftv1.MasterMessage{Assignments: []*taskraftv1.Assignment{{
		Task: 2, Fence: 102, Queue: "q", Attempt: 1, Timeout: durationpb.New(patience), Broadcast: 7,
	}}})
	if got := sv.reports(1); got[0].Task != 2 {
		t.Fatalf("reported %v first, want the broadcast", got)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 2)
	close(release)
	sv.reports(1)
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	r.finish(sv)
}
