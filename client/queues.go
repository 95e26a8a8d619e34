package client

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// QueueDefaults are the options that a queue's tasks take when unset. What is
// nil or zero here takes the cluster's default.
type QueueDefaults struct {
	Priority    *int32
	Timeout     time.Duration
	MaxAttempts int
	BackoffBase time.Duration
	BackoffMax  time.Duration
	Retain      time.Duration // terminal records: how long,
	RetainCount *uint64       // how many,
	RetainBytes *uint64       // how large in all
}

func (d *QueueDefaults) message() *taskraftv1.QueueDefaults {
	m := &taskraftv1.QueueDefaults{
		Priority: d.Priority, Timeout: duration(d.Timeout), Retain: duration(d.Retain),
		RetainCount: d.RetainCount, RetainBytes: d.RetainBytes,
	}
	if d.MaxAttempts != 0 {
		n := int32(min(max(d.MaxAttempts, math.MinInt32), math.MaxInt32))
		m.MaxAttempts = &n
	}
	if d.BackoffBase != 0 || d.BackoffMax != 0 {
		m.Backoff = &taskraftv1.Backoff{Base: duration(d.BackoffBase), Max: duration(d.BackoffMax)}
	}
	return m
}

// Queues returns all queues with their counters, by name.
func (c *Client) Queues(ctx context.Context, opts ...ReadOption) ([]*taskraftv1.Queue, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	var all []*taskraftv1.Queue
	for token := ""; ; {
		resp, err := read(ctx, c, "list queues", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListQueuesResponse, error) {
			return taskraftv1.NewQueueServiceClient(conn).ListQueues(ctx, &taskraftv1.ListQueuesRequest{
				PageSize: listPage, PageToken: token, Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		if err != nil {
			return nil, err
		}
		all = append(all, resp.GetQueues()...)
		if token = resp.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// Queue returns one queue.
func (c *Client) Queue(ctx context.Context, name string, opts ...ReadOption) (*taskraftv1.Queue, error) {
	const op = "get queue"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetQueueResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).GetQueue(ctx, &taskraftv1.GetQueueRequest{Name: name, Consistency: o.consistency, MinIndex: o.minIndex})
	})
	return resp.GetQueue(), err
}

// PauseQueue stops assignments from a queue; running tasks go on.
func (c *Client) PauseQueue(ctx context.Context, name string) (*taskraftv1.Queue, error) {
	const op = "pause queue"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.PauseQueueResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).PauseQueue(ctx, &taskraftv1.PauseQueueRequest{Name: name, Call: call})
	})
	return resp.GetQueue(), err
}

// ResumeQueue ends a pause.
func (c *Client) ResumeQueue(ctx context.Context, name string) (*taskraftv1.Queue, error) {
	const op = "resume queue"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.ResumeQueueResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).ResumeQueue(ctx, &taskraftv1.ResumeQueueRequest{Name: name, Call: call})
	})
	return resp.GetQueue(), err
}

// SetQueueDefaults replaces a queue's defaults. The queue is made if it is new.
func (c *Client) SetQueueDefaults(ctx context.Context, name string, d QueueDefaults) (*taskraftv1.Queue, error) {
	const op = "set queue defaults"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.SetQueueDefaultsResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).SetQueueDefaults(ctx, &taskraftv1.SetQueueDefaultsRequest{Name: name, Defaults: d.message(), Call: call})
	})
	return resp.GetQueue(), err
}
