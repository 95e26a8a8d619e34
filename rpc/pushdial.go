package rpc

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	dialing "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// checkWait is how long a worker may hold a Check that has nothing to say.
const checkWait = time.Second

// PushDialer calls push workers over gRPC. It implements cluster.PushDialer.
type PushDialer struct {
	cfg Config
}

// NewPushDialer returns a dialer whose workers' reports are checked by the limits
// of cfg.
func NewPushDialer(cfg Config) *PushDialer { return &PushDialer{cfg: cfg} }

// Dial returns a connection that is made when it is first used.
func (d *PushDialer) Dial(addr string) (cluster.PushWorker, error) {
	w := &pushWorker{edge: &Server{cfg: d.cfg}}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(w.dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: dialing.Config{BaseDelay: time.Second, Multiplier: 1, MaxDelay: time.Second}, MinConnectTimeout: 2 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, err
	}
	w.conn, w.client = conn, taskraftv1.NewTaskExecutorClient(conn)
	return w, nil
}

// pushWorker is the connection to one worker.
type pushWorker struct {
	edge    *Server // only to convert, and to check reports, by the same rules
	conn    *grpc.ClientConn
	client  taskraftv1.TaskExecutorClient
	refused atomic.Bool // by the host, at the last dial: nobody listens
}

func (w *pushWorker) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	w.refused.Store(errors.Is(err, syscall.ECONNREFUSED))
	return c, err
}

// fault says what an error of a call means for the worker.
func (w *pushWorker) fault(err error) error {
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Unavailable:
		if w.refused.Load() {
			return cluster.ErrRefused
		}
	case codes.NotFound:
		return cluster.ErrNotThere
	case codes.FailedPrecondition:
		return cluster.ErrOtherBoot
	}
	return err
}

func caller(from cluster.PushCaller) *taskraftv1.Caller {
	return &taskraftv1.Caller{ClusterId: from.ClusterID, Term: from.Term}
}

// Describe asks who is there.
func (w *pushWorker) Describe(ctx context.Context, from cluster.PushCaller) (cluster.Hello, error) {
	resp, err := w.client.Describe(ctx, &taskraftv1.DescribeRequest{Caller: caller(from)})
	if err != nil {
		return cluster.Hello{}, w.fault(err)
	}
	return helloOf(resp.GetWorker())
}

// Do has an attempt executed and returns its report.
func (w *pushWorker) Do(ctx context.Context, from cluster.PushCaller, boot string, t *fsm.Task, now int64, join bool) (cluster.PushReport, error) {
	resp, err := w.client.DoTask(ctx, &taskraftv1.DoTaskRequest{
		Caller: caller(from), BootId: boot, Assignment: w.edge.assignments([]*fsm.Task{t}, now)[0], Join: join,
	})
	if err != nil {
		return cluster.PushReport{}, w.fault(err)
	}
	return w.report(t, resp)
}

// report converts a worker's report about t. One that breaks a rule is a failure
// for good: another attempt would say the same.
func (w *pushWorker) report(t *fsm.Task, resp *taskraftv1.DoTaskResponse) (r cluster.PushReport, err error) {
	switch x := resp.GetReport().(type) {
	case *taskraftv1.DoTaskResponse_Completion:
		r.Done, err = w.edge.completion(x.Completion)
	case *taskraftv1.DoTaskResponse_Failure:
		r.Failed, err = w.edge.failure(x.Failure)
	default:
		r.Back = handback(t.ID, t.Fence)
	}
	if err != nil {
		r.Failed, err = w.edge.failure(&taskraftv1.Failure{
			Error: fsm.Clip("the master refused the report: "+status.Convert(err).Message(), fsm.MaxError), Permanent: true,
		})
	}
	switch { // whatever it says, it is about this attempt
	case r.Failed != nil:
		r.Done = nil
		r.Failed.Task, r.Failed.Fence = t.ID, t.Fence
	case r.Done != nil:
		r.Done.Task, r.Done.Fence = t.ID, t.Fence
	}
	return r, err
}

// Stop asks for the end of an execution.
func (w *pushWorker) Stop(ctx context.Context, from cluster.PushCaller, boot string, a cluster.Abort) error {
	_, err := w.client.StopTask(ctx, &taskraftv1.StopTaskRequest{Caller: caller(from), BootId: boot, Abort: aborts([]cluster.Abort{a})[0]})
	return w.fault(err)
}

// Check tells outcomes, or waits for what the worker has to say.
func (w *pushWorker) Check(ctx context.Context, from cluster.PushCaller, boot string, outcomes []cluster.TaskOutcome) (cluster.PushState, error) {
	req := &taskraftv1.CheckRequest{Caller: caller(from), BootId: boot, Outcomes: outcomeReplies(outcomes)}
	if len(outcomes) == 0 {
		req.Wait = durationpb.New(checkWait)
	}
	resp, err := w.client.Check(ctx, req)
	if err != nil {
		return cluster.PushState{}, w.fault(err)
	}
	return cluster.PushState{Draining: resp.GetDraining(), Goodbye: resp.GetGoodbye()}, nil
}

// Close ends the connection; executions at the worker go on.
func (w *pushWorker) Close() error { return w.conn.Close() }
