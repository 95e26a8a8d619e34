package rpc_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// watching is a stream of WatchTasks and what it told.
type watching struct {
	t *testing.T
	taskraftv1.TaskService_WatchTasksClient
}

func watch(t *testing.T, m *master) *watching {
	t.Helper()
	stream, err := m.WatchTasks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{t, stream}
	if first := w.next(); len(first.GetEnded()) != 0 || first.GetPosition().GetIndex() == 0 {
		t.Fatalf("the first response is %v", first)
	}
	return w
}

func (w *watching) ask(req *taskraftv1.WatchTasksRequest) {
	w.t.Helper()
	if err := w.Send(req); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watching) next() *taskraftv1.WatchTasksResponse {
	w.t.Helper()
	resp, err := w.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func TestWatchTasks(t *testing.T) {
	m := startMaster(t)
	ended := submit(t, m, &taskraftv1.TaskSpec{Queue: "q", Payload: []byte("hello")})
	a := pull(t, m, "w1", 1, "q")
	complete(t, m, "w1", ended, a.GetFence(), "HELLO")
	trimmed := submit(t, m, &taskraftv1.TaskSpec{Queue: "trimmed", Retain: durationpb.New(time.Second)})
	b := pull(t, m, "w2", 1, "trimmed")
	complete(t, m, "w2", trimmed, b.GetFence(), "")
	for {
		if _, err := m.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: trimmed}); err != nil {
			break
		}
	}
	waiting := submit(t, m, &taskraftv1.TaskSpec{Queue: "q"})
	left := submit(t, m, &taskraftv1.TaskSpec{Queue: "left"})

	// What is over already is told at once, also when it is asked for twice.
	w := watch(t, m)
	w.ask(&taskraftv1.WatchTasksRequest{Ids: []uint64{ended, ended, trimmed, 1 << 60, waiting, left}})
	var got taskraftv1.WatchTasksResponse
	for len(got.GetEnded())+len(got.GetForgotten())+len(got.GetUnknown()) < 3 {
		resp := w.next()
		got.Ended, got.Forgotten, got.Unknown = append(got.GetEnded(), resp.GetEnded()...), append(got.GetForgotten(), resp.GetForgotten()...), append(got.GetUnknown(), resp.GetUnknown()...)
	}
	if len(got.GetEnded()) != 1 || got.GetEnded()[0].GetId() != ended || string(got.GetEnded()[0].GetResult()) != "HELLO" || len(got.GetEnded()[0].GetSpec().GetPayload()) != 0 {
		t.Errorf("ended %v, want task %d with its result and without its payload", got.GetEnded(), ended)
	}
	if !slices.Equal(got.GetForgotten(), []uint64{trimmed}) || !slices.Equal(got.GetUnknown(), []uint64{1 << 60}) {
		t.Errorf("forgotten %v, unknown %v", got.GetForgotten(), got.GetUnknown())
	}

	// A task that is forgotten by the caller is not told of.
	w.ask(&taskraftv1.WatchTasksRequest{Forget: []uint64{left}})
	w.ask(&taskraftv1.WatchTasksRequest{Ids: []uint64{1 << 61}})
	if resp := w.next(); !slices.Equal(resp.GetUnknown(), []uint64{1 << 61}) {
		t.Fatalf("got %v", resp)
	}
	c := pull(t, m, "w3", 1, "left")
	complete(t, m, "w3", left, c.GetFence(), "")
	d := pull(t, m, "w1", 2, "q")
	complete(t, m, "w1", waiting, d.GetFence(), "later")
	if resp := w.next(); len(resp.GetEnded()) != 1 || resp.GetEnded()[0].GetId() != waiting || string(resp.GetEnded()[0].GetResult()) != "later" || resp.GetPosition().GetIndex() == 0 {
		t.Errorf("got %v, want task %d", resp, waiting)
	}
	if err := w.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if resp, err := w.Recv(); err == nil {
		t.Errorf("got %v after the end", resp)
	}
}

func TestWatchTasksLimits(t *testing.T) {
	m := startMaster(t)
	w := watch(t, m)
	w.ask(&taskraftv1.WatchTasksRequest{Ids: []uint64{0}})
	_, err := w.Recv()
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "ids")
	w = watch(t, m)
	w.ask(&taskraftv1.WatchTasksRequest{Ids: make([]uint64, 10_001)})
	_, err = w.Recv()
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "ids")

	var ids []uint64
	for len(ids) <= cluster.MaxWatched {
		resp, err := m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: make1000()})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, resp.GetIds()...)
	}
	w = watch(t, m)
	for chunk := range slices.Chunk(ids, 10_000) {
		if w.Send(&taskraftv1.WatchTasksRequest{Ids: chunk}) != nil {
			break // refused already
		}
	}
	_, err = w.Recv()
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "ids")
}

func make1000() []*taskraftv1.TaskSpec {
	specs := make([]*taskraftv1.TaskSpec, 1000)
	for i := range specs {
		specs[i] = &taskraftv1.TaskSpec{}
	}
	return specs
}
