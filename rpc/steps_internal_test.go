package rpc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Whatever becomes of a task, each of its attempts is told to have ended once, and a
// lost one only when it can no longer be redeemed.
func TestEachAttemptEndsOnce(t *testing.T) {
	open := func(worker, boot string, held ...uint64) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: &fsmpb.OpenSession{
			Worker: worker, Boot: boot, Slots: 4, Ttl: int64(10e9), Held: held, Takeover: true, Queues: []*fsmpb.QueueWeight{{Queue: "default"}},
		}}}
	}
	assign := func(session uint64) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: session, N: 1}}}
	}
	complete := func(worker, boot string, fence uint64) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
			Worker: worker, Boot: boot, Items: []*fsmpb.Completion{{Task: 1, Fence: fence}},
		}}}
	}
	expire := func(session uint64) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_ExpireSession{ExpireSession: &fsmpb.ExpireSession{Session: session}}}
	}
	fail := &fsmpb.Command{Kind: &fsmpb.Command_Fail{Fail: &fsmpb.Fail{Worker: "w", Boot: "a", Items: []*fsmpb.Failure{{Task: 1, Fence: 1, Permanent: true}}}}}
	cancel := &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{1}}}}
	retry := &fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: []uint64{1}}}}
	release := &fsmpb.Command{Kind: &fsmpb.Command_Release{Release: &fsmpb.Release{Worker: "w", Boot: "a", Items: []*fsmpb.Handback{{Task: 1, Fence: 1}}}}}
	closed := &fsmpb.Command{Kind: &fsmpb.Command_CloseSession{CloseSession: &fsmpb.CloseSession{Session: 1}}}
	remove := &fsmpb.Command{Kind: &fsmpb.Command_RemoveWorker{RemoveWorker: &fsmpb.RemoveWorker{Worker: "w", Force: true}}}
	for _, tt := range []struct {
		name string
		then []*fsmpb.Command // after task 1 was assigned to w with fence 1
		want string
	}{
		{"nothing", nil, ""},
		{"completed", []*fsmpb.Command{complete("w", "a", 1), complete("w", "a", 1)}, "1 completed"},
		{"dead and retried", []*fsmpb.Command{fail, retry, assign(1), complete("w", "a", 2)}, "1 failed, 2 completed"},
		{"released", []*fsmpb.Command{release, assign(1), complete("w", "a", 2)}, "1 released, 2 completed"},
		{"lost", []*fsmpb.Command{expire(1)}, ""},
		{"lost and redeemed", []*fsmpb.Command{expire(1), complete("w", "a", 1)}, "1 completed"},
		{"lost and taken back", []*fsmpb.Command{expire(1), open("w", "a", 1), complete("w", "a", 1)}, "1 completed"},
		{"lost and run elsewhere", []*fsmpb.Command{expire(1), open("v", "b"), assign(2), complete("w", "a", 1), complete("v", "b", 2)}, "1 expired, 2 completed"},
		{"lost and cancelled", []*fsmpb.Command{expire(1), cancel}, "1 expired"},
		{"lost, cancelled, retried", []*fsmpb.Command{expire(1), cancel, retry, open("v", "b"), assign(2), complete("v", "b", 2)}, "1 expired, 2 completed"},
		{"closed and run elsewhere", []*fsmpb.Command{closed, open("v", "b"), assign(2)}, "1 closed"},
		{"taken over", []*fsmpb.Command{open("w", "c")}, "1 taken_over"},
		{"worker removed", []*fsmpb.Command{remove}, "1 removed"},
		{"cancelled and confirmed", []*fsmpb.Command{cancel, complete("w", "a", 1)}, "1 cancelled"},
		{"cancelled and lost", []*fsmpb.Command{cancel, expire(1)}, "1 cancelled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			submit := &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: []*fsmpb.TaskSpec{{Traceparent: make([]byte, 25)}}}}}
			m := fsm.New()
			var ended []string
			for i, c := range slices.Concat([]*fsmpb.Command{open("w", "a"), submit, assign(1)}, tt.then) {
				index := uint64(i + 1)
				done := m.Apply(index, 1, &fsm.Entry{Header: fsm.Header{Level: 1, Term: 1, Now: int64(index * 1e9)}, Commands: []*fsmpb.Command{c}})
				for _, ev := range done.Events {
					if ev.Task == nil {
						continue
					}
					if e := endedBy(cluster.Step{Kind: ev.Kind, Cause: ev.Cause, Fence: ev.Fence, Task: ev.Task}); e != nil {
						ended = append(ended, fmt.Sprintf("%d %s", e.Fence, causes[e.Cause]))
					}
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(ended, ", ")); diff != "" {
				t.Errorf("attempts told to have ended (-want +got):\n%s", diff)
			}
		})
	}
}
