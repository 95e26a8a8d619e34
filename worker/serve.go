package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Push makes a worker one that the leader calls, instead of one that calls it.
type Push struct {
	// Listener is where the leader's calls arrive. Run closes it.
	Listener net.Listener
	// Advertise is the address that the masters dial, as host:port; empty: the
	// listener's.
	Advertise string
}

func (p *Push) addr() string {
	if p.Advertise != "" {
		return p.Advertise
	}
	return p.Listener.Addr().String()
}

// openFor is how long after its last call a leader may be expected to call again.
const openFor = 5 * time.Second

// executor is what a push worker serves: each call is about the same table of
// attempts that streams fill in other workers.
type executor struct {
	taskraftv1.UnimplementedTaskExecutorServer
	w    *worker
	left chan struct{} // closed: the leader was told goodbye
	once sync.Once

	mu      sync.Mutex
	cluster string    // of the first leader that called
	term    uint64    // the latest
	heard   time.Time // when a leader last called

	outcomes sync.Mutex // OnOutcome is called once at a time
}

// serve answers the leader's calls until ctx ends or the goodbye was said. It puts
// the worker's address on the list that the leaders dial.
func (w *worker) serve(ctx context.Context) error {
	x := &executor{w: w, left: make(chan struct{})}
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(8<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	taskraftv1.RegisterTaskExecutorServer(server, x)
	w.reached = x.reached
	ends := make(chan error, 2)
	var helpers sync.WaitGroup
	helpers.Go(func() { ends <- server.Serve(w.cfg.Push.Listener) })
	ctx, cancel := context.WithCancel(ctx)
	helpers.Go(func() {
		if err := w.register(ctx); err != nil && ctx.Err() == nil {
			ends <- err
		}
	})
	var err error
	select {
	case err = <-ends:
	case <-ctx.Done():
	case <-x.left:
		w.left.Store(true)
	}
	cancel()
	x.stop(server)
	helpers.Wait()
	return err
}

// stop lets the answer to the last call out.
func (x *executor) stop(server *grpc.Server) {
	timer := time.AfterFunc(time.Second, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
}

// register puts the worker's address on the list, whenever a leader can be found.
func (w *worker) register(ctx context.Context) error {
	addr := w.cfg.Push.addr()
	err := w.follow.Do(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := taskraftv1.NewWorkerServiceClient(conn).AddWorker(ctx, &taskraftv1.AddWorkerRequest{Push: addr, Self: true})
		return err
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", addr, err)
	}
	w.log.Info("registered", "worker", w.cfg.ID, "addr", addr, "master", w.follow.Leader().GetGrpc())
	return nil
}

// reached reports whether a leader is likely to call soon.
func (x *executor) reached() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return time.Since(x.heard) < openFor
}

// admit refuses callers that do not lead any more, and those that mean another
// process.
func (x *executor) admit(from *taskraftv1.Caller, boot string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case boot != x.w.boot:
		return status.Errorf(codes.FailedPrecondition, "this is process %s, not %s", x.w.boot, boot)
	case x.cluster != "" && from.GetClusterId() != x.cluster:
		return status.Errorf(codes.FailedPrecondition, "this worker serves cluster %s", x.cluster)
	case from.GetTerm() < x.term:
		return status.Errorf(codes.FailedPrecondition, "a leader of term %d has called, this is one of term %d", x.term, from.GetTerm())
	}
	if from.GetTerm() > x.term {
		x.w.log.Info("called by a new leader", "worker", x.w.cfg.ID, "term", from.GetTerm())
	}
	x.cluster, x.term, x.heard = from.GetClusterId(), from.GetTerm(), time.Now()
	return nil
}

// Describe says who is here, with every fence whose outcome was not seen.
func (x *executor) Describe(_ context.Context, req *taskraftv1.DescribeRequest) (*taskraftv1.DescribeResponse, error) {
	if err := x.admit(req.GetCaller(), x.w.boot); err != nil {
		return nil, err
	}
	return &taskraftv1.DescribeResponse{Worker: x.w.hello()}, nil
}

// DoTask starts an execution, unless it runs or has run already, and waits for its
// report. The execution does not end with the call.
func (x *executor) DoTask(ctx context.Context, req *taskraftv1.DoTaskRequest) (*taskraftv1.DoTaskResponse, error) {
	if err := x.admit(req.GetCaller(), req.GetBootId()); err != nil {
		return nil, err
	}
	as := req.GetAssignment()
	if as.GetFence() == 0 {
		return nil, status.Error(codes.InvalidArgument, "assignment: missing")
	}
	if !req.GetJoin() {
		x.w.table.take(&taskraftv1.MasterMessage{Assignments: []*taskraftv1.Assignment{as}}, nil)
	}
	r, err := x.w.table.await(ctx, as.GetFence())
	switch {
	case err != nil:
		return nil, err
	case r.complete != nil:
		return &taskraftv1.DoTaskResponse{Report: &taskraftv1.DoTaskResponse_Completion{Completion: r.complete}}, nil
	case r.fail != nil:
		return &taskraftv1.DoTaskResponse{Report: &taskraftv1.DoTaskResponse_Failure{Failure: r.fail}}, nil
	}
	return &taskraftv1.DoTaskResponse{Report: &taskraftv1.DoTaskResponse_Release{Release: r.release}}, nil
}

// await waits for the report of an attempt.
func (t *table) await(ctx context.Context, fence uint64) (r report, err error) {
	var a *attempt
	if !t.wait(ctx, func() bool {
		if a = t.held[fence]; a != nil && a.stage == finished {
			r = a.report
		}
		return a == nil || a.stage == finished
	}) {
		return r, status.FromContextError(ctx.Err()).Err()
	}
	if a == nil {
		return r, status.Errorf(codes.NotFound, "no execution with fence %d", fence)
	}
	return r, nil
}

// StopTask asks an execution to end.
func (x *executor) StopTask(_ context.Context, req *taskraftv1.StopTaskRequest) (*taskraftv1.StopTaskResponse, error) {
	if err := x.admit(req.GetCaller(), req.GetBootId()); err != nil {
		return nil, err
	}
	x.w.aborted(req.GetAbort())
	return &taskraftv1.StopTaskResponse{}, nil
}

// Check takes outcomes in and says how the worker is: at once, or as soon as that
// changes.
func (x *executor) Check(ctx context.Context, req *taskraftv1.CheckRequest) (*taskraftv1.CheckResponse, error) {
	if err := x.admit(req.GetCaller(), req.GetBootId()); err != nil {
		return nil, err
	}
	if outcomes := req.GetOutcomes(); len(outcomes) > 0 {
		x.outcomes.Lock()
		defer x.outcomes.Unlock()
		x.w.settled(x.w.table.take(&taskraftv1.MasterMessage{Outcomes: outcomes}, nil))
		return x.state(), nil
	}
	was := x.state()
	timer := time.NewTimer(min(req.GetWait().AsDuration(), defaultBeat))
	defer timer.Stop()
	drain := x.w.drain
	if was.GetDraining() {
		drain = nil
	}
	select {
	case <-timer.C:
	case <-drain:
	case <-x.w.leave:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	now := x.state()
	if now.GetGoodbye() {
		x.once.Do(func() { close(x.left) })
	}
	return now, nil
}

func (x *executor) state() *taskraftv1.CheckResponse {
	closed := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	return &taskraftv1.CheckResponse{Draining: closed(x.w.drain), Goodbye: closed(x.w.leave)}
}

// errNoListener is a Push without a Listener.
var errNoListener = errors.New("push: no listener")

// check returns what is wrong with the configuration of a push worker.
func (p *Push) check(c *Config) error {
	switch {
	case p.Listener == nil:
		return errNoListener
	case c.ExitWhenDone:
		return errors.New("push: exit when done is for workers that hold a stream")
	}
	if _, _, err := net.SplitHostPort(p.addr()); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}
