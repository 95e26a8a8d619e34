package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// master is a real single-node master on loopback and the clients of its services.
type master struct {
	taskraftv1.TaskServiceClient
	taskraftv1.WorkerServiceClient
	taskraftv1.QueueServiceClient
	taskraftv1.BatchServiceClient
	taskraftv1.DeadServiceClient
	taskraftv1.ClusterServiceClient
	taskraftv1.EventServiceClient
	conn *grpc.ClientConn
	node *cluster.Node
}

// startMaster runs a master until the test ends and waits until it leads.
func startMaster(t *testing.T) *master {
	t.Helper()
	return startMasterWith(t, nil)
}

// startMasterWith runs one that makes spans, unless traces is nil.
func startMasterWith(t *testing.T, traces *rpc.Tracing) *master {
	t.Helper()
	raft, edge := listen(t), listen(t)
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir = "n1", t.TempDir()+"/n1"
	cfg.Bind, cfg.GRPC = raft.Addr().String(), edge.Addr().String()
	cfg.Peers = []cluster.Peer{{Name: "n1", Raft: cfg.Bind}}
	cfg.Logger = slog.New(slog.DiscardHandler)
	if traces != nil {
		cfg.Steps = traces.Step
	}
	raft.Close()
	node, err := cluster.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	rc := rpc.DefaultConfig()
	rc.Logger, rc.Tracing = cfg.Logger, traces
	server := rpc.NewServer(node, rc)
	served := make(chan error, 1)
	go func() { served <- server.Serve(edge) }()
	conn, err := grpc.NewClient(cfg.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			t.Errorf("stop node: %v", err)
		}
		server.Stop(ctx)
		<-served
	})
	for {
		leader, changed := node.Leader()
		if leader.Self {
			break
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatal("no leader after 20 s")
		}
	}
	return &master{
		TaskServiceClient: taskraftv1.NewTaskServiceClient(conn), WorkerServiceClient: taskraftv1.NewWorkerServiceClient(conn),
		QueueServiceClient: taskraftv1.NewQueueServiceClient(conn), ClusterServiceClient: taskraftv1.NewClusterServiceClient(conn),
		EventServiceClient: taskraftv1.NewEventServiceClient(conn),
		BatchServiceClient: taskraftv1.NewBatchServiceClient(conn), DeadServiceClient: taskraftv1.NewDeadServiceClient(conn),
		conn: conn, node: node,
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// refused checks code, reason and the first violated field of an error.
func refused(t *testing.T, err error, code codes.Code, why, field string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Fatalf("got %v, want %v", err, code)
	}
	var gotReason, gotField string
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			gotReason = d.GetReason()
			if d.GetDomain() != reason.Domain {
				t.Errorf("domain %q", d.GetDomain())
			}
		case *errdetails.BadRequest:
			gotField = d.GetFieldViolations()[0].GetField()
		}
	}
	if gotReason != why || (field != "" && gotField != field) {
		t.Errorf("got reason %q field %q (%v), want %q %q", gotReason, gotField, st.Message(), why, field)
	}
}

func submit(t *testing.T, m *master, spec *taskraftv1.TaskSpec) uint64 {
	t.Helper()
	resp, err := m.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: spec})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetId()
}

// pull requests tasks as worker w of one boot, which runs held, until it gets some.
func pull(t *testing.T, m *master, w string, seq uint64, queue string, held ...uint64) *taskraftv1.Assignment {
	t.Helper()
	resp, err := m.RequestTask(t.Context(), &taskraftv1.RequestTaskRequest{
		WorkerId: w, BootId: w + "-boot", Queues: []*taskraftv1.QueueWeight{{Queue: queue}},
		Slots: 8, Max: 1, PollSeq: seq, Held: held, Wait: durationpb.New(10 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetAssignments()) != 1 {
		t.Fatalf("worker %s poll %d: got %d tasks, want 1", w, seq, len(resp.GetAssignments()))
	}
	return resp.GetAssignments()[0]
}

func complete(t *testing.T, m *master, w string, task, fence uint64, result string) taskraftv1.Outcome {
	t.Helper()
	resp, err := m.CompleteTask(t.Context(), &taskraftv1.CompleteTaskRequest{
		WorkerId: w, BootId: w + "-boot", Completion: &taskraftv1.Completion{Task: task, Fence: fence, Result: []byte(result)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetOutcome()
}

func TestUnaryLifecycle(t *testing.T) {
	m := startMaster(t)
	id := submit(t, m, &taskraftv1.TaskSpec{Queue: "mail", Payload: []byte("hello")})
	a := pull(t, m, "w1", 1, "mail")
	if a.GetTask() != id || string(a.GetPayload()) != "hello" || a.GetAttempt() != 1 {
		t.Fatalf("assignment %v", a)
	}
	again := pull(t, m, "w1", 1, "mail")
	if again.GetFence() != a.GetFence() {
		t.Errorf("the same poll_seq gave fence %d, then %d", a.GetFence(), again.GetFence())
	}
	if was, is := a.GetTimeout().AsDuration(), again.GetTimeout().AsDuration(); is >= was || is <= 0 {
		t.Errorf("sent again the attempt has %v left, the first time %v", is, was)
	}
	now, err := m.WaitTask(t.Context(), &taskraftv1.WaitTaskRequest{Id: id, Timeout: durationpb.New(0)})
	if err != nil || now.GetDone() || now.GetTask().GetState() != taskraftv1.TaskState_RUNNING {
		t.Errorf("wait for no time: %v %v, want the task as it is", now, err)
	}
	if o := complete(t, m, "w1", id, a.GetFence(), "HELLO"); o != taskraftv1.Outcome_ACCEPTED {
		t.Fatalf("complete: %v", o)
	}
	done, err := m.WaitTask(t.Context(), &taskraftv1.WaitTaskRequest{Id: id})
	if err != nil || !done.GetDone() || string(done.GetTask().GetResult()) != "HELLO" {
		t.Fatalf("wait: %v %v", done, err)
	}
	if done.GetPosition().GetIndex() == 0 || done.GetPosition().GetClusterId() == "" {
		t.Errorf("position %v", done.GetPosition())
	}
}

func TestStreamLifecycle(t *testing.T) {
	m := startMaster(t)
	stream, err := m.Work(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(msg *taskraftv1.WorkerMessage) {
		t.Helper()
		if err := stream.Send(msg); err != nil {
			t.Fatal(err)
		}
	}
	send(&taskraftv1.WorkerMessage{Attach: &taskraftv1.Attach{
		WorkerId: "w1", BootId: "b1", Slots: 2, Queues: []*taskraftv1.QueueWeight{{Queue: "default"}},
	}})
	var got taskraftv1.MasterMessage // everything received, merged
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			msg, err := stream.Recv()
			if err != nil {
				t.Fatalf("waiting for %s: %v", what, err)
			}
			if msg.GetAttached() != nil {
				got.Attached = msg.GetAttached()
			}
			if msg.GetHeartbeat() != nil {
				got.Heartbeat = msg.GetHeartbeat()
			}
			got.Assignments = append(got.Assignments, msg.GetAssignments()...)
			got.Outcomes = append(got.Outcomes, msg.GetOutcomes()...)
			got.Aborts = append(got.Aborts, msg.GetAborts()...)
		}
	}
	until("attached", func() bool { return got.GetAttached() != nil })
	for range 3 {
		submit(t, m, &taskraftv1.TaskSpec{})
	}
	until("two tasks for two slots", func() bool { return len(got.GetAssignments()) == 2 })
	a, b := got.GetAssignments()[0], got.GetAssignments()[1]
	send(&taskraftv1.WorkerMessage{
		Completions: []*taskraftv1.Completion{{Task: a.GetTask(), Fence: a.GetFence(), Result: []byte("done")}},
		Heartbeat:   &taskraftv1.StreamHeartbeat{Seq: 1, HeldCount: 1, HeldHash: 0},
	})
	until("the next task", func() bool {
		return len(got.GetAssignments()) == 3 && len(got.GetOutcomes()) == 1 && got.GetHeartbeat() != nil
	})
	if o := got.GetOutcomes()[0]; o.GetFence() != a.GetFence() || o.GetOutcome() != taskraftv1.Outcome_ACCEPTED {
		t.Errorf("outcome %v", o)
	}
	cancelled, err := m.CancelTask(t.Context(), &taskraftv1.CancelTaskRequest{Id: b.GetTask(), Reason: "changed my mind"})
	if err != nil || cancelled.GetTask().GetState() != taskraftv1.TaskState_STOPPING {
		t.Fatalf("cancel: %v %v", cancelled, err)
	}
	until("the abort", func() bool { return len(got.GetAborts()) == 1 })
	if ab := got.GetAborts()[0]; ab.GetFence() != b.GetFence() || ab.GetReason() != "cancelled" {
		t.Errorf("abort %v", ab)
	}
	send(&taskraftv1.WorkerMessage{Releases: []*taskraftv1.Handback{{Task: b.GetTask(), Fence: b.GetFence()}}, Goodbye: true})
	for err == nil {
		_, err = stream.Recv()
	}
	wait, err := m.WaitTask(t.Context(), &taskraftv1.WaitTaskRequest{Id: b.GetTask()})
	if err != nil || wait.GetTask().GetState() != taskraftv1.TaskState_CANCELLED {
		t.Fatalf("cancelled task: %v %v", wait, err)
	}
}

func TestHealth(t *testing.T) {
	m := startMaster(t)
	resp, err := healthpb.NewHealthClient(m.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: rpc.LeaderService})
	if err != nil || resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health of the leader: %v %v", resp, err)
	}
}

func TestListPages(t *testing.T) {
	m := startMaster(t)
	var specs []*taskraftv1.TaskSpec
	for i := range 25 {
		queue := "even"
		if i%2 == 1 {
			queue = "odd"
		}
		specs = append(specs, &taskraftv1.TaskSpec{Queue: queue})
	}
	if _, err := m.SubmitTasks(t.Context(), &taskraftv1.SubmitTasksRequest{Tasks: specs}); err != nil {
		t.Fatal(err)
	}
	var ids []uint64
	req := &taskraftv1.ListTasksRequest{PageSize: 5, Filter: "queue=even AND state=READY"}
	for pages := 1; ; pages++ {
		resp, err := m.ListTasks(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range resp.GetTasks() {
			ids = append(ids, row.GetId())
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
		if pages > 10 {
			t.Fatal("the list does not end")
		}
	}
	if len(ids) != 13 || ids[0] != 25 || ids[12] != 1 {
		t.Errorf("ids %v, want the 13 even ones, newest first", ids)
	}
	req = &taskraftv1.ListTasksRequest{PageSize: 5}
	resp, err := m.ListTasks(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.ListTasks(t.Context(), &taskraftv1.ListTasksRequest{PageToken: resp.GetNextPageToken(), Filter: "queue=odd"})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "page_token")
}
