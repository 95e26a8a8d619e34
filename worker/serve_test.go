package worker

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// leader is a leader's side of a push worker.
type leader struct {
	taskraftv1.TaskExecutorClient
	t    *testing.T
	boot string
	from *taskraftv1.Caller
}

// startPush starts a push worker, waits until it has registered and describes it.
func startPush(t *testing.T, cfg Config) (*run, *leader) {
	t.Helper()
	ms := newMasters(t, 1)
	registered := make(chan string, 1)
	ms.Call = func(_ context.Context, _ *followtest.Master, req proto.Message) (proto.Message, error) {
		add, ok := req.(*taskraftv1.AddWorkerRequest)
		if !ok || !add.GetSelf() {
			return nil, status.Error(codes.Unimplemented, "the test expects a registration")
		}
		registered <- add.GetPush()
		return &taskraftv1.AddWorkerResponse{}, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Push = &Push{Listener: l}
	r := startWorker(t, ms, cfg)
	addr := <-registered
	if addr != l.Addr().String() {
		t.Fatalf("registered %s, listens at %s", addr, l.Addr())
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ld := &leader{TaskExecutorClient: taskraftv1.NewTaskExecutorClient(conn), t: t, from: &taskraftv1.Caller{ClusterId: "c", Term: 5}}
	ld.boot = ld.describe().GetBootId()
	return r, ld
}

func (ld *leader) describe() *taskraftv1.Attach {
	ld.t.Helper()
	resp, err := ld.Describe(ld.t.Context(), &taskraftv1.DescribeRequest{Caller: ld.from})
	if err != nil {
		ld.t.Fatal(err)
	}
	return resp.GetWorker()
}

func (ld *leader) do(ctx context.Context, fence uint64) (*taskraftv1.DoTaskResponse, error) {
	return ld.DoTask(ctx, &taskraftv1.DoTaskRequest{Caller: ld.from, BootId: ld.boot, Assignment: &taskraftv1.Assignment{
		Task: fence - 100, Fence: fence, Queue: "q", Attempt: 1, Payload: []byte("work"), Timeout: durationpb.New(patience),
	}})
}

func (ld *leader) check(outcomes ...*taskraftv1.OutcomeReply) *taskraftv1.CheckResponse {
	ld.t.Helper()
	resp, err := ld.Check(ld.t.Context(), &taskraftv1.CheckRequest{Caller: ld.from, BootId: ld.boot, Outcomes: outcomes, Wait: durationpb.New(patience)})
	if err != nil {
		ld.t.Fatal(err)
	}
	return resp
}

// A handler survives the call that began it; a second call with its fence joins,
// and so does one after its end, until its outcome was told.
func TestPushExecutionsAreJoined(t *testing.T) {
	var ran atomic.Int32
	release := make(chan struct{})
	begun := make(chan struct{})
	r, ld := startPush(t, Config{Default: func(ctx context.Context, task *Task) (Result, error) {
		if ran.Add(1) == 1 {
			close(begun)
		}
		select {
		case <-release:
			return echoHandler(ctx, task)
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		}
	}})
	call, cut := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := ld.do(call, 101)
		first <- err
	}()
	<-begun
	cut()
	if err := <-first; status.Code(err) != codes.Canceled {
		t.Fatalf("the call that was cut ended with %v", err)
	}
	if held := ld.describe().GetHeld(); len(held) != 1 || held[0] != 101 {
		t.Fatalf("it holds %v", held)
	}
	ld.from = &taskraftv1.Caller{ClusterId: "c", Term: 6} // the next leader
	close(release)
	for range 2 {
		resp, err := ld.do(t.Context(), 101)
		if err != nil || resp.GetCompletion().GetFence() != 101 {
			t.Fatalf("got %v, %v", resp, err)
		}
	}
	if n := ran.Load(); n != 1 {
		t.Errorf("the handler ran %d times", n)
	}
	ld.check(&taskraftv1.OutcomeReply{Task: 1, Fence: 101, Outcome: taskraftv1.Outcome_ACCEPTED})
	r.wantSettled(Settled{Task: 1, Fence: 101, Attempt: 1, Queue: "q", Verb: VerbComplete, Outcome: taskraftv1.Outcome_ACCEPTED})
	if held := ld.describe().GetHeld(); len(held) != 0 {
		t.Errorf("after its outcome it holds %v", held)
	}
	leave(r, ld)
}

// leave ends the worker as it should end: it drains, and says goodbye.
func leave(r *run, ld *leader) {
	ld.t.Helper()
	r.stop()
	for !ld.check().GetGoodbye() {
	}
	if err := <-r.ended; err != nil {
		ld.t.Errorf("ended with %v", err)
	}
}

// Who does not lead any more, or means another process or cluster, is refused.
func TestPushRefusals(t *testing.T) {
	r, ld := startPush(t, Config{Default: echoHandler})
	good := ld.from
	for _, c := range []struct {
		name string
		from *taskraftv1.Caller
		boot string
	}{
		{"lower term", &taskraftv1.Caller{ClusterId: "c", Term: 4}, ld.boot},
		{"another cluster", &taskraftv1.Caller{ClusterId: "d", Term: 9}, ld.boot},
		{"another process", good, "b2"},
	} {
		as := &taskraftv1.Assignment{Task: 1, Fence: 101}
		_, do := ld.DoTask(t.Context(), &taskraftv1.DoTaskRequest{Caller: c.from, BootId: c.boot, Assignment: as})
		_, stop := ld.StopTask(t.Context(), &taskraftv1.StopTaskRequest{Caller: c.from, BootId: c.boot})
		_, check := ld.Check(t.Context(), &taskraftv1.CheckRequest{Caller: c.from, BootId: c.boot})
		for _, err := range []error{do, stop, check} {
			if status.Code(err) != codes.FailedPrecondition {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if _, err := ld.DoTask(t.Context(), &taskraftv1.DoTaskRequest{Caller: good, BootId: ld.boot}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without an assignment: %v", err)
	}
	_, err := ld.DoTask(t.Context(), &taskraftv1.DoTaskRequest{Caller: good, BootId: ld.boot, Join: true, Assignment: &taskraftv1.Assignment{Fence: 7}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a join of nothing: %v", err)
	}
	leave(r, ld)
}

// A stopped execution reports, and a draining worker hands back what it is given.
func TestPushStopAndDrain(t *testing.T) {
	begun := make(chan struct{})
	r, ld := startPush(t, Config{Default: func(ctx context.Context, _ *Task) (Result, error) {
		close(begun)
		<-ctx.Done()
		return Result{}, context.Cause(ctx)
	}})
	done := make(chan *taskraftv1.DoTaskResponse, 1)
	go func() {
		resp, _ := ld.do(t.Context(), 101)
		done <- resp
	}()
	<-begun
	_, err := ld.StopTask(t.Context(), &taskraftv1.StopTaskRequest{Caller: ld.from, BootId: ld.boot, Abort: &taskraftv1.Abort{Task: 1, Fence: 101, Reason: "cancelled"}})
	if err != nil {
		t.Fatal(err)
	}
	if resp := <-done; resp.GetFailure().GetError() != ErrCancelled.Error() {
		t.Errorf("the stopped execution reports %v", resp)
	}
	r.stop()
	if !ld.check().GetDraining() {
		t.Error("it does not say that it drains")
	}
	resp, err := ld.do(t.Context(), 102)
	if err != nil || resp.GetRelease().GetFence() != 102 {
		t.Errorf("while it drains: %v, %v", resp, err)
	}
	ld.check(&taskraftv1.OutcomeReply{Task: 1, Fence: 101}, &taskraftv1.OutcomeReply{Task: 2, Fence: 102})
	leave(r, ld)
}

func TestPushConfiguration(t *testing.T) {
	for _, p := range []*Push{{}, {Listener: &net.TCPListener{}, Advertise: "nowhere"}} {
		cfg := Config{Default: echoHandler, Push: p}
		if err := cfg.complete("0123456789"); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}
