package rpc_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// pullLabelled requests tasks as a worker with labels and returns what it gets
// within a moment.
func pullLabelled(t *testing.T, m *master, w string, seq uint64, labels map[string]string) []*taskraftv1.Assignment {
	t.Helper()
	resp, err := m.RequestTask(t.Context(), &taskraftv1.RequestTaskRequest{
		WorkerId: w, BootId: w + "-boot", Queues: []*taskraftv1.QueueWeight{{Queue: "default"}}, Labels: labels,
		Slots: 1, Max: 1, PollSeq: seq, Wait: durationpb.New(50 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetAssignments()
}

// TestBroadcast: two of three workers match; one acknowledges, one fails.
func TestBroadcast(t *testing.T) {
	m := startMaster(t)
	web := map[string]string{"role": "web"}
	pullLabelled(t, m, "w1", 1, web)
	pullLabelled(t, m, "w2", 1, web)
	pullLabelled(t, m, "w3", 1, map[string]string{"role": "db"})
	id := submit(t, m, &spec{Payload: []byte("x"), MaxAttempts: new(int32(1)), Broadcast: &taskraftv1.BroadcastSpec{Selector: web, Require: 2}})
	get := func(size int32, token string) *taskraftv1.GetBroadcastResponse {
		t.Helper()
		resp, err := m.GetBroadcast(t.Context(), &taskraftv1.GetBroadcastRequest{Id: id, PageSize: size, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := get(1, "")
	if len(first.GetTargets()) != 1 || first.GetNextPageToken() == "" || first.GetTargets()[0].GetState() != taskraftv1.TargetState_TARGET_PENDING {
		t.Errorf("the first page: %v", first)
	}
	if rest := get(1, first.GetNextPageToken()); len(rest.GetTargets()) != 1 || rest.GetTargets()[0].GetWorkerId() != "w2" {
		t.Errorf("the second page: %v", rest)
	}
	a := pullLabelled(t, m, "w1", 2, web)
	b := pullLabelled(t, m, "w2", 2, web)
	if len(a) != 1 || len(b) != 1 || len(pullLabelled(t, m, "w3", 2, nil)) != 0 || a[0].GetBroadcast() != id || string(b[0].GetPayload()) != "x" {
		t.Fatalf("w1 got %v, w2 got %v", a, b)
	}
	if o := complete(t, m, "w1", a[0].GetTask(), a[0].GetFence(), "up"); o != taskraftv1.Outcome_ACCEPTED {
		t.Errorf("w1's acknowledgement is answered %v", o)
	}
	_, err := m.FailTask(t.Context(), &taskraftv1.FailTaskRequest{WorkerId: "w2", BootId: "w2-boot", Failure: &taskraftv1.Failure{Task: b[0].GetTask(), Fence: b[0].GetFence(), Error: "down"}})
	if err != nil {
		t.Fatal(err)
	}
	end := get(0, "")
	state := end.GetTask().GetBroadcast()
	if end.GetTask().GetState() != taskraftv1.TaskState_DEAD || state.GetAcked() != 1 || state.GetFailed() != 1 || end.GetTask().GetAttempt() != nil {
		t.Errorf("in the end: %v", end.GetTask())
	}
	if x, y := end.GetTargets()[0], end.GetTargets()[1]; string(x.GetResult()) != "up" || x.GetState() != taskraftv1.TargetState_TARGET_ACKED ||
		y.GetState() != taskraftv1.TargetState_TARGET_FAILED || y.GetError() != "down" || y.GetFence() != b[0].GetFence() {
		t.Errorf("in the end: %v, %v", x, y)
	}
	target, err := m.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: a[0].GetTask()})
	if err != nil || target.GetTask().GetTargetOf().GetBroadcast() != id {
		t.Errorf("the target's task: %v, %v", target, err)
	}
}

// TestBadBroadcasts: what a broadcast's options may not be.
func TestBadBroadcasts(t *testing.T) {
	m := startMaster(t)
	many := make(map[string]string)
	for _, c := range "abcdefghijklmnopq" {
		many[string(c)] = ""
	}
	for _, c := range []struct {
		row, name, field string
		b                *taskraftv1.BroadcastSpec
	}{
		{"E26", "17 labels", "broadcast.selector", &taskraftv1.BroadcastSpec{Selector: many}},
		{"E26", "long key", "broadcast.selector", &taskraftv1.BroadcastSpec{Selector: map[string]string{strings.Repeat("k", 65): ""}}},
		{"E26", "long value", "broadcast.selector[k]", &taskraftv1.BroadcastSpec{Selector: map[string]string{"k": strings.Repeat("v", 257)}}},
		{"E26", "NUL", "broadcast.selector[k]", &taskraftv1.BroadcastSpec{Selector: map[string]string{"k": "a\x00"}}},
		{"E08", "negative deadline", "broadcast.deadline", &taskraftv1.BroadcastSpec{Deadline: durationpb.New(-time.Second)}},
		{"E08", "deadline of a year", "broadcast.deadline", &taskraftv1.BroadcastSpec{Deadline: durationpb.New(365 * 24 * time.Hour)}},
		{"E11", "too many required", "broadcast.require", &taskraftv1.BroadcastSpec{Require: 1_000_001}},
	} {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{Broadcast: c.b}})
			refused(t, err, codes.InvalidArgument, reason.InvalidField, c.field)
		})
	}
	_, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{ConcurrencyKey: "k", Broadcast: &taskraftv1.BroadcastSpec{}}})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "broadcast")
	id := submit(t, m, &spec{})
	_, err = m.GetBroadcast(t.Context(), &taskraftv1.GetBroadcastRequest{Id: id})
	refused(t, err, codes.FailedPrecondition, reason.NotBroadcast, "")
	_, err = m.GetBroadcast(t.Context(), &taskraftv1.GetBroadcastRequest{Id: id + 1})
	refused(t, err, codes.NotFound, reason.TaskNotFound, "")
	_, err = m.GetBroadcast(t.Context(), &taskraftv1.GetBroadcastRequest{Id: id, PageToken: "((("})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "page_token")
}
