package client

import (
	"context"
	"iter"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// DeadFilter chooses DEAD tasks: what is unset matches all.
type DeadFilter struct {
	Queue string
	Kind  *string
	Group string // id of a DeadGroup
}

func (f *DeadFilter) message() *taskraftv1.DeadFilter {
	return &taskraftv1.DeadFilter{Queue: f.Queue, Kind: f.Kind, Group: f.Group}
}

// check returns what cannot reach the masters.
func (f *DeadFilter) check() []Field {
	kind := ""
	if f.Kind != nil {
		kind = *f.Kind
	}
	return checkText(nil, "filter.queue", f.Queue, "filter.kind", kind, "filter.group", f.Group)
}

// Dead iterates over DEAD tasks, newest id first, without payloads and results.
// It is stale unless an option says otherwise, and ends after the first error.
func (c *Client) Dead(ctx context.Context, f DeadFilter, opts ...ReadOption) iter.Seq2[*taskraftv1.Task, error] {
	const op = "list dead tasks"
	o := readOptionsOf(taskraftv1.Consistency_STALE, opts)
	return pages(func(token string) ([]*taskraftv1.Task, string, error) {
		if bad := f.check(); bad != nil {
			return nil, "", invalid(op, bad...)
		}
		resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListDeadResponse, error) {
			return taskraftv1.NewDeadServiceClient(conn).ListDead(ctx, &taskraftv1.ListDeadRequest{
				PageSize: listPage, PageToken: token, Filter: f.message(), Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		return resp.GetTasks(), resp.GetNextPageToken(), err
	})
}

// DeadGroups iterates over groups of DEAD tasks whose errors differ only in
// numbers, hexadecimal words and quoted parts.
func (c *Client) DeadGroups(ctx context.Context, f DeadFilter, opts ...ReadOption) iter.Seq2[*taskraftv1.DeadGroup, error] {
	const op = "list groups of dead tasks"
	o := readOptionsOf(taskraftv1.Consistency_STALE, opts)
	return pages(func(token string) ([]*taskraftv1.DeadGroup, string, error) {
		if bad := f.check(); bad != nil {
			return nil, "", invalid(op, bad...)
		}
		resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListDeadGroupsResponse, error) {
			return taskraftv1.NewDeadServiceClient(conn).ListDeadGroups(ctx, &taskraftv1.ListDeadGroupsRequest{
				PageSize: listPage, PageToken: token, Filter: f.message(), Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		return resp.GetGroups(), resp.GetNextPageToken(), err
	})
}

// RetryDead starts a new generation of all tasks that match and are DEAD at the
// index of the call, and returns how many they are. Some may follow within moments.
func (c *Client) RetryDead(ctx context.Context, f DeadFilter) (count uint64, err error) {
	const op = "retry dead tasks"
	if bad := f.check(); bad != nil {
		return 0, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.RetryDeadResponse, error) {
		return taskraftv1.NewDeadServiceClient(conn).RetryDead(ctx, &taskraftv1.RetryDeadRequest{Filter: f.message(), Call: call})
	})
	return resp.GetCount(), err
}

// CountDead returns how many tasks RetryDead would retry.
func (c *Client) CountDead(ctx context.Context, f DeadFilter) (count uint64, err error) {
	const op = "count dead tasks"
	if bad := f.check(); bad != nil {
		return 0, invalid(op, bad...)
	}
	o := readOptions{consistency: taskraftv1.Consistency_LINEARIZABLE}
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.RetryDeadResponse, error) {
		return taskraftv1.NewDeadServiceClient(conn).RetryDead(ctx, &taskraftv1.RetryDeadRequest{Filter: f.message(), ValidateOnly: true})
	})
	return resp.GetCount(), err
}
