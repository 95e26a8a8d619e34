package client

import (
	"context"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Workers returns the workers that have a session, by id; with gone also those
// that had one within the last 24 h. What they hold is only counted.
func (c *Client) Workers(ctx context.Context, gone bool, opts ...ReadOption) ([]*taskraftv1.Worker, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	var all []*taskraftv1.Worker
	for token := ""; ; {
		resp, err := read(ctx, c, "list workers", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListWorkersResponse, error) {
			return taskraftv1.NewWorkerServiceClient(conn).ListWorkers(ctx, &taskraftv1.ListWorkersRequest{
				PageSize: listPage, PageToken: token, Gone: gone, Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		if err != nil {
			return nil, err
		}
		all = append(all, resp.GetWorkers()...)
		if token = resp.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// Worker returns one worker with the tasks it holds.
func (c *Client) Worker(ctx context.Context, id string, opts ...ReadOption) (*taskraftv1.Worker, error) {
	const op = "get worker"
	if bad := checkText(nil, "worker_id", id); bad != nil {
		return nil, invalid(op, bad...)
	}
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetWorkerResponse, error) {
		return taskraftv1.NewWorkerServiceClient(conn).GetWorker(ctx, &taskraftv1.GetWorkerRequest{WorkerId: id, Consistency: o.consistency, MinIndex: o.minIndex})
	})
	return resp.GetWorker(), err
}

// DrainWorker keeps ordinary tasks from a worker, whatever process it is, until
// UndrainWorker. What it holds it may finish.
func (c *Client) DrainWorker(ctx context.Context, id string) (*taskraftv1.Worker, error) {
	return c.drainWorker(ctx, "drain worker", &taskraftv1.DrainWorkerRequest{WorkerId: id})
}

// UndrainWorker ends a drain.
func (c *Client) UndrainWorker(ctx context.Context, id string) (*taskraftv1.Worker, error) {
	return c.drainWorker(ctx, "undo the drain of worker", &taskraftv1.DrainWorkerRequest{WorkerId: id, Undo: true})
}

func (c *Client) drainWorker(ctx context.Context, op string, req *taskraftv1.DrainWorkerRequest) (*taskraftv1.Worker, error) {
	if bad := checkText(nil, "worker_id", req.GetWorkerId()); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.DrainWorkerResponse, error) {
		req.Call = call
		return taskraftv1.NewWorkerServiceClient(conn).DrainWorker(ctx, req)
	})
	return resp.GetWorker(), err
}

// AddPushWorker puts the address (host:port) at which a worker serves on the list
// that the leader dials.
func (c *Client) AddPushWorker(ctx context.Context, addr string) error {
	const op = "add worker"
	if bad := checkText(nil, "push", addr); bad != nil {
		return invalid(op, bad...)
	}
	_, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.AddWorkerResponse, error) {
		return taskraftv1.NewWorkerServiceClient(conn).AddWorker(ctx, &taskraftv1.AddWorkerRequest{Push: addr, Call: call})
	})
	return err
}

// RemoveWorker ends a worker's session, takes its address off the list of push workers
// and refuses its process for ever; another may come under the id. A worker that holds
// tasks is refused with reason.WorkerBusy, unless force is set: its tasks return to
// their places.
func (c *Client) RemoveWorker(ctx context.Context, id string, force bool) error {
	const op = "remove worker"
	if bad := checkText(nil, "worker_id", id); bad != nil {
		return invalid(op, bad...)
	}
	_, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.RemoveWorkerResponse, error) {
		return taskraftv1.NewWorkerServiceClient(conn).RemoveWorker(ctx, &taskraftv1.RemoveWorkerRequest{WorkerId: id, Force: force, Call: call})
	})
	return err
}
