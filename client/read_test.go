package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// A stale read never shows less than was seen before (S13): the lagging masters
// are passed over.
func TestStaleReadsNeverGoBack(t *testing.T) {
	tb := newTable(t, 3)
	tb.c.EveryMaster = func(proto.Message) bool { return true }
	applied := map[string]uint64{"n1": 10, "n2": 9, "n3": 10}
	tb.c.Call = func(_ context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
		if req.(*taskraftv1.GetTaskRequest).GetConsistency() == taskraftv1.Consistency_LINEARIZABLE {
			return &taskraftv1.GetTaskResponse{Position: tb.c.Position(10)}, nil
		}
		return &taskraftv1.GetTaskResponse{Task: &taskraftv1.Task{Reason: m.Name}, Position: tb.c.Position(applied[m.Name])}, nil
	}
	c := newClient(t, tb.c.Addrs()...)
	if _, err := c.Get(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		task, err := c.Get(t.Context(), 1, WithStale())
		if err != nil || task.GetReason() == "n2" {
			t.Fatalf("got %v, %v: n2 is behind", task, err)
		}
	}
}

func TestReadOptions(t *testing.T) {
	tb := newTable(t, 1)
	got := make(chan *taskraftv1.GetTaskRequest, 1)
	tb.c.Call = func(_ context.Context, _ *followtest.Master, req proto.Message) (proto.Message, error) {
		got <- req.(*taskraftv1.GetTaskRequest)
		return &taskraftv1.GetTaskResponse{Position: tb.c.Position(7)}, nil
	}
	c := newClient(t, tb.c.Addrs()...)
	for _, tt := range []struct {
		opts []ReadOption
		want *taskraftv1.GetTaskRequest
	}{
		{nil, &taskraftv1.GetTaskRequest{Id: 5, Consistency: taskraftv1.Consistency_LINEARIZABLE}},
		{[]ReadOption{WithStale()}, &taskraftv1.GetTaskRequest{Id: 5, Consistency: taskraftv1.Consistency_STALE}},
		{[]ReadOption{WithStale(), WithMinIndex(7)}, &taskraftv1.GetTaskRequest{Id: 5, Consistency: taskraftv1.Consistency_STALE, MinIndex: 7}},
		{[]ReadOption{WithStale(), WithLinearizable()}, &taskraftv1.GetTaskRequest{Id: 5, Consistency: taskraftv1.Consistency_LINEARIZABLE}},
	} {
		if _, err := c.Get(t.Context(), 5, tt.opts...); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, <-got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestListReadsPageAfterPage(t *testing.T) {
	tb := newTable(t, 1)
	tb.c.Call = func(_ context.Context, _ *followtest.Master, req proto.Message) (proto.Message, error) {
		r := req.(*taskraftv1.ListTasksRequest)
		if r.GetFilter() != "state=READY" {
			return nil, followtest.Status(codes.InvalidArgument, reason.InvalidField, nil)
		}
		resp := &taskraftv1.ListTasksResponse{Position: tb.c.Position(1)}
		switch r.GetPageToken() {
		case "":
			resp.Tasks, resp.NextPageToken = []*taskraftv1.Task{{Id: 9}, {Id: 8}}, "8"
		case "8":
			resp.NextPageToken = "5" // a page may be empty before the last
		case "5":
			resp.Tasks = []*taskraftv1.Task{{Id: 4}}
		}
		return resp, nil
	}
	c := newClient(t, tb.c.Addrs()...)
	var ids []uint64
	for task, err := range c.List(t.Context(), "state=READY") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, task.GetId())
	}
	if want := []uint64{9, 8, 4}; !cmp.Equal(ids, want) {
		t.Fatalf("ids %v, want %v", ids, want)
	}
	for range c.List(t.Context(), "state=READY") {
		break
	}
	n := 0
	for task, err := range c.List(t.Context(), "nonsense") {
		if n++; err == nil || task != nil || n > 1 {
			t.Fatalf("got %v, %v", task, err)
		}
	}
}

func TestWaitGoesOnUntilTheEnd(t *testing.T) {
	tb := newTable(t, 2)
	var rounds atomic.Int32
	tb.c.Call = func(_ context.Context, m *followtest.Master, _ proto.Message) (proto.Message, error) {
		switch rounds.Add(1) {
		case 1:
			return &taskraftv1.WaitTaskResponse{Task: &taskraftv1.Task{State: taskraftv1.TaskState_RUNNING}, Position: tb.c.Position(1)}, nil
		case 2: // leadership moves meanwhile
			tb.c.Lead(tb.c.Masters[1])
			return nil, followtest.Status(codes.Unavailable, reason.NoLeader, nil)
		}
		return &taskraftv1.WaitTaskResponse{Task: &taskraftv1.Task{State: taskraftv1.TaskState_SUCCEEDED, Reason: m.Name}, Done: true, Position: tb.c.Position(2)}, nil
	}
	c := newClient(t, tb.c.Addrs()...)
	task, err := c.Wait(t.Context(), 1)
	if err != nil || task.GetState() != taskraftv1.TaskState_SUCCEEDED || task.GetReason() != "n2" {
		t.Fatalf("got %v, %v", task, err)
	}
}

func TestLeaderAndTransfer(t *testing.T) {
	tb := newTable(t, 2)
	tb.c.EveryMaster = func(req proto.Message) bool { _, ok := req.(*taskraftv1.GetStatusRequest); return ok }
	tb.c.Call = func(_ context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
		if _, ok := req.(*taskraftv1.GetStatusRequest); ok {
			return &taskraftv1.GetStatusResponse{Name: m.Name, Leader: tb.c.Info(), Position: tb.c.Position(1)}, nil
		}
		// The news of the new leader is out before the old one answers.
		tb.c.Lead(tb.c.Masters[1])
		return &taskraftv1.TransferLeadershipResponse{Leader: tb.c.Info()}, nil
	}
	c := newClient(t, tb.c.Addrs()...)
	if l, err := c.Leader(t.Context()); err != nil || l.Name != "n1" || l.Addr != tb.c.Masters[0].Addr {
		t.Fatalf("got %+v, %v", l, err)
	}
	if info, err := c.Transfer(t.Context(), ""); err != nil || info.GetName() != "n2" {
		t.Fatalf("got %v, %v", info, err)
	}
	if l, err := c.Leader(t.Context()); err != nil || l.Name != "n2" {
		t.Fatalf("got %+v, %v", l, err)
	}
	for _, m := range tb.c.Masters {
		if s, err := c.Status(t.Context(), m.Addr); err != nil || s.GetName() != m.Name {
			t.Fatalf("status of %s: %v, %v", m.Name, s, err)
		}
	}
	tb.c.Masters[0].Kill()
	if _, err := c.Status(t.Context(), tb.c.Masters[0].Addr); err == nil {
		t.Fatal("a dead master answered")
	} else if e, ok := errors.AsType[*Error](err); !ok || e.Code != codes.Unavailable {
		t.Fatalf("got %v", err)
	}
}
