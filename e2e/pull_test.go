package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// puller is a worker by hand: it pulls tasks one by one over the unary calls, as
// a worker in any language may, and does with each what the test wants, when the
// test wants it.
type puller struct {
	t      *testing.T
	id     string
	boot   string
	queue  string
	polls  uint64
	conns  []*grpc.ClientConn
	beat   sync.WaitGroup
	silent context.CancelFunc // ends the heartbeats

	mu   sync.Mutex // guards the rest
	held []uint64
}

// newPuller makes a worker that heartbeats every second until the test ends.
func newPuller(t *testing.T, c *proc.Cluster, id, queue string) *puller {
	t.Helper()
	p := &puller{t: t, id: id, boot: fmt.Sprintf("%s-%d", id, time.Now().UnixNano()), queue: queue}
	for _, addr := range c.Addrs() {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		must(t, err)
		p.conns = append(p.conns, conn)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.silent = cancel
	p.beat.Go(func() { p.heartbeat(ctx) })
	t.Cleanup(func() {
		cancel()
		p.beat.Wait()
		for _, conn := range p.conns {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

// heartbeat keeps the session alive while something is held.
func (p *puller) heartbeat(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		req := &taskraftv1.HeartbeatRequest{WorkerId: p.id, BootId: p.boot, Held: slices.Clone(p.held)}
		p.mu.Unlock()
		if len(req.GetHeld()) == 0 {
			continue
		}
		_ = onLeader(ctx, p.conns, func(ctx context.Context, c taskraftv1.WorkerServiceClient) error {
			_, err := c.Heartbeat(ctx, req)
			return err
		})
	}
}

// onLeader makes a call on one master after the other until one answers that leads.
func onLeader(ctx context.Context, conns []*grpc.ClientConn, call func(context.Context, taskraftv1.WorkerServiceClient) error) error {
	var last error
	for ctx.Err() == nil {
		for _, conn := range conns {
			last = call(ctx, taskraftv1.NewWorkerServiceClient(conn))
			elsewhere := []codes.Code{codes.FailedPrecondition, codes.Unavailable, codes.Aborted}
			if !slices.Contains(elsewhere, status.Code(last)) {
				return last
			}
		}
		again := time.NewTimer(20 * time.Millisecond)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
	return errors.Join(last, context.Cause(ctx))
}

// request asks for one task for up to a few seconds. It returns nil when there
// will be no more.
func (p *puller) request() *taskraftv1.Assignment {
	p.t.Helper()
	ctx := within(p.t, time.Minute)
	for {
		p.polls++
		p.mu.Lock()
		req := &taskraftv1.RequestTaskRequest{
			WorkerId: p.id, BootId: p.boot, Slots: 1, Max: 1, PollSeq: p.polls, Held: slices.Clone(p.held),
			Queues: []*taskraftv1.QueueWeight{{Queue: p.queue}}, Wait: durationpb.New(2 * time.Second),
		}
		p.mu.Unlock()
		var resp *taskraftv1.RequestTaskResponse
		err := onLeader(ctx, p.conns, func(ctx context.Context, c taskraftv1.WorkerServiceClient) (err error) {
			resp, err = c.RequestTask(ctx, req)
			return err
		})
		if err != nil {
			p.t.Fatalf("%s requests a task: %v", p.id, err)
		}
		switch got := resp.GetAssignments(); {
		case len(got) > 1:
			p.t.Fatalf("%s asked for one task and got %d", p.id, len(got))
		case len(got) == 1:
			p.mu.Lock()
			p.held = append(p.held, got[0].GetFence())
			p.mu.Unlock()
			return got[0]
		case resp.GetNoMoreTasks():
			return nil
		}
	}
}

// take requests a task and fails the test when there is none.
func (p *puller) take() *taskraftv1.Assignment {
	p.t.Helper()
	a := p.request()
	if a == nil {
		p.t.Fatalf("%s was told that there are no more tasks", p.id)
	}
	return a
}

// complete submits a result and returns the answer.
func (p *puller) complete(a *taskraftv1.Assignment, result string) taskraftv1.Outcome {
	p.t.Helper()
	req := &taskraftv1.CompleteTaskRequest{
		WorkerId: p.id, BootId: p.boot,
		Completion: &taskraftv1.Completion{Task: a.GetTask(), Fence: a.GetFence(), Result: []byte(result)},
	}
	var resp *taskraftv1.CompleteTaskResponse
	err := onLeader(within(p.t, time.Minute), p.conns, func(ctx context.Context, c taskraftv1.WorkerServiceClient) (err error) {
		resp, err = c.CompleteTask(ctx, req)
		return err
	})
	if err != nil {
		p.t.Fatalf("%s completes task %d: %v", p.id, a.GetTask(), err)
	}
	p.drop(a)
	return resp.GetOutcome()
}

// fail reports a failure and returns the answer.
func (p *puller) fail(a *taskraftv1.Assignment, text string, permanent bool) taskraftv1.Outcome {
	p.t.Helper()
	req := &taskraftv1.FailTaskRequest{
		WorkerId: p.id, BootId: p.boot,
		Failure: &taskraftv1.Failure{Task: a.GetTask(), Fence: a.GetFence(), Error: text, Permanent: permanent},
	}
	var resp *taskraftv1.FailTaskResponse
	err := onLeader(within(p.t, time.Minute), p.conns, func(ctx context.Context, c taskraftv1.WorkerServiceClient) (err error) {
		resp, err = c.FailTask(ctx, req)
		return err
	})
	if err != nil {
		p.t.Fatalf("%s fails task %d: %v", p.id, a.GetTask(), err)
	}
	p.drop(a)
	return resp.GetOutcome()
}

// drop forgets a fence whose outcome was seen.
func (p *puller) drop(a *taskraftv1.Assignment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = slices.DeleteFunc(p.held, func(fence uint64) bool { return fence == a.GetFence() })
}

// expect fails the test when an answer is another than wanted.
func expect(t *testing.T, what string, got, want taskraftv1.Outcome) {
	t.Helper()
	if got != want {
		t.Errorf("%s: answered %v, want %v", what, got, want)
	}
}
