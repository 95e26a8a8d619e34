package rpc_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// What a pulling worker says with its heartbeats is in every answer about the task
// while the attempt runs, and who follows the task hears it as it comes.
func TestFollowTask(t *testing.T) {
	m := startMaster(t)
	id := submit(t, m, &taskraftv1.TaskSpec{Queue: "q", Payload: []byte("hello")})
	stream, err := m.FollowTask(t.Context(), &taskraftv1.FollowTaskRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	next := func() *taskraftv1.FollowTaskResponse {
		t.Helper()
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if u := next(); u.GetTask().GetState() != taskraftv1.TaskState_READY || len(u.GetTask().GetSpec().GetPayload()) != 0 || u.GetPosition().GetIndex() == 0 {
		t.Fatalf("first %v", u)
	}
	a := pull(t, m, "w1", 1, "q")
	if u := next(); u.GetTask().GetState() != taskraftv1.TaskState_RUNNING || u.GetTask().GetAttempt().GetFence() != a.GetFence() {
		t.Fatalf("then %v", u)
	}
	say := func(worker string, fence uint64, text string, offset uint64, done uint64) {
		t.Helper()
		_, err := m.Heartbeat(t.Context(), &taskraftv1.HeartbeatRequest{
			WorkerId: worker, BootId: worker + "-boot", Held: []uint64{fence},
			Progress: []*taskraftv1.Progress{{Task: id, Fence: fence, Done: done, Total: 4, Message: text}},
			Output:   []*taskraftv1.OutputChunk{{Task: id, Fence: fence, Attempt: 1, Offset: offset, Stream: taskraftv1.OutputStream_STDOUT, Data: []byte(text)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	say("w1", a.GetFence(), "one ", 0, 1)
	u := next()
	if len(u.GetOutput()) != 1 || string(u.GetOutput()[0].GetData()) != "one " || u.GetProgress().GetFraction() != 0.25 || u.GetTask() != nil {
		t.Fatalf("then %v", u)
	}
	// Another worker cannot speak for the attempt.
	other := submit(t, m, &taskraftv1.TaskSpec{Queue: "other"})
	pull(t, m, "w2", 1, "other")
	say("w2", a.GetFence(), "lies", 4, 4)
	say("w1", a.GetFence(), "two", 4, 2)
	if u := next(); len(u.GetOutput()) != 1 || string(u.GetOutput()[0].GetData()) != "two" || u.GetProgress().GetDone() != 2 {
		t.Fatalf("then %v", u)
	}

	got, err := m.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: id})
	if err != nil || got.GetTask().GetProgress().GetMessage() != "two" || got.GetTask().GetProgress().GetTime() == nil {
		t.Errorf("get: %v %v", got, err)
	}
	list, err := m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{})
	if err != nil || len(list.GetTasks()) != 2 || list.GetTasks()[1].GetProgress().GetDone() != 2 || list.GetTasks()[0].GetId() != other || list.GetTasks()[0].GetProgress() != nil {
		t.Errorf("list: %v %v", list, err)
	}
	wait, err := m.WaitTask(t.Context(), &taskraftv1.WaitTaskRequest{Id: id, Timeout: durationpb.New(0)})
	if err != nil || wait.GetTask().GetProgress().GetFraction() != 0.5 {
		t.Errorf("wait: %v %v", wait, err)
	}

	complete(t, m, "w1", id, a.GetFence(), "HELLO")
	if u := next(); !u.GetDone() || u.GetTask().GetState() != taskraftv1.TaskState_SUCCEEDED || string(u.GetTask().GetResult()) != "HELLO" || u.GetTask().GetProgress() != nil {
		t.Fatalf("last %v", u)
	}
	if resp, err := stream.Recv(); err == nil {
		t.Errorf("after the last %v", resp)
	}

	// Who comes later gets what is still there, from where he likes.
	for offset, want := range map[uint64]string{0: "one two", 2: "e two", 7: ""} {
		again, err := m.FollowTask(t.Context(), &taskraftv1.FollowTaskRequest{Id: id, Fence: a.GetFence(), Offset: offset, Once: offset == 2})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := again.Recv()
		var text strings.Builder
		for _, c := range resp.GetOutput() {
			text.WriteString(string(c.GetData()))
		}
		if err != nil || !resp.GetDone() || text.String() != want {
			t.Errorf("from %d: %q, %v", offset, text.String(), err)
		}
	}
}
