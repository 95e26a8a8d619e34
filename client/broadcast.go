package client

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Broadcast says which workers carry a task out, and how many have to.
type Broadcast struct {
	// Selector are labels that a worker has; none: every worker. Who has a session
	// when the submit takes effect (or when its delay is over) is a target.
	Selector map[string]string
	// Require is how many acknowledgements make the task SUCCEEDED; 0: from all.
	Require int
	// Deadline is when the rest is given up, from the start; 0: two timeouts, at
	// least 10 min.
	Deadline time.Duration
	// LateJoiners makes workers targets that join before the deadline.
	LateJoiners bool
}

func (b *Broadcast) spec() *taskraftv1.BroadcastSpec {
	if b == nil {
		return nil
	}
	return &taskraftv1.BroadcastSpec{
		Selector: b.Selector, Require: uint32(min(max(b.Require, 0), math.MaxUint32)),
		Deadline: duration(b.Deadline), LateJoiners: b.LateJoiners,
	}
}

// check returns what is wrong with b beyond what the masters check.
func (b *Broadcast) check(prefix string) []Field {
	if b == nil {
		return nil
	}
	var bad []Field
	if b.Require < 0 {
		bad = append(bad, field(prefix+"broadcast.require", "got %d, want 0 or more", b.Require))
	}
	for key, value := range b.Selector {
		bad = checkText(bad, prefix+"broadcast.selector", key, prefix+"broadcast.selector", value)
	}
	return bad
}

// Targets returns a broadcast's task and all its targets, in the order in which
// they were made. A task that is no broadcast is refused with reason.NotBroadcast.
func (c *Client) Targets(ctx context.Context, id uint64, opts ...ReadOption) (*taskraftv1.Task, []*taskraftv1.Target, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	var task *taskraftv1.Task
	var all []*taskraftv1.Target
	for token := ""; ; {
		resp, err := read(ctx, c, "get broadcast", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetBroadcastResponse, error) {
			return taskraftv1.NewTaskServiceClient(conn).GetBroadcast(ctx, &taskraftv1.GetBroadcastRequest{
				Id: id, PageSize: listPage, PageToken: token, Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		if err != nil {
			return nil, nil, err
		}
		task, all = resp.GetTask(), append(all, resp.GetTargets()...)
		if token = resp.GetNextPageToken(); token == "" {
			return task, all, nil
		}
	}
}
