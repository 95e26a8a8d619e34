package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// sweepPoll is how often WaitSweep looks.
const sweepPoll = 50 * time.Millisecond

// CancelAll cancels the tasks that match a filter (see TaskFilter) and have not
// ended: exactly those of the moment of the call. From then on none of them starts;
// they are cancelled in pieces, which WaitSweep follows. The count is how many match.
func (c *Client) CancelAll(ctx context.Context, filter, reason string) (sweep, count uint64, err error) {
	const op = "cancel tasks"
	if bad := checkText(nil, "filter", filter, "reason", reason); bad != nil {
		return 0, 0, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.CancelTasksResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).CancelTasks(ctx, &taskraftv1.CancelTasksRequest{Filter: filter, Reason: reason, Call: call})
	})
	return resp.GetSweep(), resp.GetCount(), err
}

// CountLive returns how many tasks CancelAll would cancel.
func (c *Client) CountLive(ctx context.Context, filter string) (count uint64, err error) {
	const op = "count tasks"
	if bad := checkText(nil, "filter", filter); bad != nil {
		return 0, invalid(op, bad...)
	}
	o := readOptions{consistency: taskraftv1.Consistency_LINEARIZABLE}
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.CancelTasksResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).CancelTasks(ctx, &taskraftv1.CancelTasksRequest{Filter: filter, ValidateOnly: true})
	})
	return resp.GetCount(), err
}

// PurgeQueue cancels what waits in a queue, and with running also what runs, as
// CancelAll does.
func (c *Client) PurgeQueue(ctx context.Context, name string, running bool) (sweep, count uint64, err error) {
	const op = "purge queue"
	if bad := checkText(nil, "name", name); bad != nil {
		return 0, 0, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.PurgeQueueResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).PurgeQueue(ctx, &taskraftv1.PurgeQueueRequest{Name: name, Running: running, Call: call})
	})
	return resp.GetSweep(), resp.GetCount(), err
}

// CountPurge returns how many tasks PurgeQueue would cancel.
func (c *Client) CountPurge(ctx context.Context, name string, running bool) (count uint64, err error) {
	const op = "count tasks of a queue"
	if bad := checkText(nil, "name", name); bad != nil {
		return 0, invalid(op, bad...)
	}
	o := readOptions{consistency: taskraftv1.Consistency_LINEARIZABLE}
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.PurgeQueueResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).PurgeQueue(ctx, &taskraftv1.PurgeQueueRequest{Name: name, Running: running, ValidateOnly: true})
	})
	return resp.GetCount(), err
}

// Sweep returns how far a bulk cancellation is. It is linearizable unless an option
// says otherwise.
func (c *Client) Sweep(ctx context.Context, id uint64, opts ...ReadOption) (*taskraftv1.Sweep, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	resp, err := read(ctx, c, "get sweep", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetSweepResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).GetSweep(ctx, &taskraftv1.GetSweepRequest{Id: id, Consistency: o.consistency, MinIndex: o.minIndex})
	})
	return resp.GetSweep(), err
}

// WaitSweep returns a bulk cancellation once it has come to its last task.
func (c *Client) WaitSweep(ctx context.Context, id uint64) (*taskraftv1.Sweep, error) {
	again := time.NewTicker(sweepPoll)
	defer again.Stop()
	for {
		s, err := c.Sweep(ctx, id)
		if err != nil || s.GetFinishTime() != nil {
			return s, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}
