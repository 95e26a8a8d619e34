package clustersim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/checker"
)

// program is a user's program: it submits, reads and cancels tasks by the SDK, over
// gRPC, and has it repeat and follow the leader. Answers get lost on their way to the
// SDK, with the connection, when the masters have carried the call out already.
type program struct {
	*caller
	stream int // of calls that one after the other were answered
	calls  int
}

func newProgram(w *world, k int) *program {
	p := &program{caller: newCaller(w, fmt.Sprintf("p%d", k+1), uint64(400+k))}
	p.host = w.net.hosts[programAddress(k)]
	return p
}

// run goes on until the faults are over; its last call gets its answer.
func (p *program) run(ctx context.Context) {
	cfg := client.Config{Logger: p.log, DialOptions: []grpc.DialOption{
		grpc.WithUnaryInterceptor(p.lose),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return p.net.dial(ctx, p.host, 0, addr) }),
	}}
	for i := range p.masters {
		if i == 0 || p.rng.IntN(2) == 0 { // it learns the others
			cfg.Masters = append(cfg.Masters, apiAddress(i))
		}
	}
	sdk, err := client.New(cfg)
	if err != nil {
		p.failf("start the SDK: %v", err)
		return
	}
	defer sdk.Close()
	for !p.calm.Load() && sleep(ctx, p.chance(p.rng, p.swarm.think)) == nil {
		op := checker.Op{Client: fmt.Sprintf("%s.%d", p.name, p.stream)}
		switch n := p.rng.IntN(10); {
		case n < 6:
			p.submit(ctx, sdk, &op)
		case n < 9:
			p.get(ctx, sdk, &op)
		default:
			p.cancel(ctx, sdk, &op)
		}
		if op.Outcome == checker.Maybe {
			p.stream++
		}
		if op.Outcome != "" {
			p.journal.called(op)
			p.met("SDK: " + op.Kind + " " + op.Outcome)
		}
	}
}

// lose is the way of an answer.
func (p *program) lose(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, conn, opts...)
	if err == nil && strings.Contains(method, "TaskService") && p.roll(p.swarm.callLost) { // others are the SDK's own
		p.met("SDK: answer lost")
		return status.Error(codes.Unavailable, "connection reset by peer")
	}
	return err
}

// call makes a call, mostly with more patience than any fault has.
func (p *program) call(ctx context.Context, op *checker.Op, do func(context.Context) error) error {
	patience := 2 * time.Minute
	if p.rng.IntN(4) == 0 {
		patience = 100*time.Millisecond + p.chance(p.rng, 2*time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	op.Call = now()
	err := do(ctx)
	op.Return, op.Outcome = now(), checker.OK
	switch {
	case errors.Is(err, client.ErrUncertain):
		op.Outcome = checker.Maybe
	case err != nil: // the SDK promises that nothing has happened
		op.Outcome = checker.Fail
	}
	return err
}

// intent begins the payload of a task whose submitter has one.
const intent = "for "

func (p *program) submit(ctx context.Context, sdk *client.Client, op *checker.Op) {
	p.calls++
	op.Kind, op.Intent = "submit", fmt.Sprintf("%s-%d", p.name, p.calls)
	t := client.Task{
		Queue: []string{"a", "b"}[p.rng.IntN(2)], Kind: "k", Payload: []byte(intent + op.Intent),
		BackoffBase: time.Second, BackoffMax: 4 * time.Second,
	}
	if p.rng.IntN(2) == 0 { // without one the SDK's call number alone tells a repeat
		op.Request, t.RequestID = op.Intent, op.Intent
	}
	_ = p.call(ctx, op, func(ctx context.Context) error {
		r, err := sdk.Submit(ctx, t)
		op.Task, op.Index = r.ID, r.Index
		return err
	})
}

func (p *program) get(ctx context.Context, sdk *client.Client, op *checker.Op) {
	id := p.journal.some(p.rng.IntN)
	if id == 0 {
		return
	}
	op.Kind, op.Task = "get", id
	err := p.call(ctx, op, func(ctx context.Context) error {
		t, err := sdk.Get(ctx, id)
		op.State = strings.TrimPrefix(t.GetState().String(), "TASK_STATE_")
		if op.State == "SUCCEEDED" {
			op.Result = string(t.GetResult())
		}
		return err
	})
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == codes.NotFound {
		p.failf("task %d was acknowledged, and %s is told that there is none (S1)", id, p.name)
	}
}

func (p *program) cancel(ctx context.Context, sdk *client.Client, op *checker.Op) {
	id := p.journal.some(p.rng.IntN)
	if id == 0 {
		return
	}
	op.Kind, op.Task = "cancel", id
	_ = p.call(ctx, op, func(ctx context.Context) error {
		_, _, err := sdk.Cancel(ctx, id, "no longer wanted")
		return err
	})
}
