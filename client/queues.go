package client

import (
	"context"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// QueueSettings are a queue's options. What is nil or zero here stays as it is.
type QueueSettings struct {
	// What tasks take that do not say.
	Priority    *int32
	Timeout     time.Duration
	MaxAttempts int
	BackoffBase time.Duration
	BackoffMax  time.Duration

	Retain      time.Duration // records of ended tasks: how long,
	RetainCount *uint64       // how many,
	RetainBytes *uint64       // how large in all

	MaxRunning       uint32        // tasks at once; STOPPING ones count
	MaxRunningPerKey uint32        // the same for one ConcurrencyKey; never set: 1
	Rate             *RateLimit    // of starts
	Ageing           time.Duration // so much waiting is worth one step of priority

	// How many tasks that have not ended, and bytes of their payloads, the queue
	// may hold; submits beyond are refused with QUEUE_FULL.
	MaxTasks, MaxBytes *uint64

	// SelfFence has attempts that start from then on stop by themselves, in time
	// before their tasks can start elsewhere, when their worker hears of no master.
	SelfFence bool

	// Unset names settings that take the cluster's default again, by their names in
	// the API: priority, timeout, max_attempts, backoff, retain, retain_count,
	// retain_bytes, max_running, max_running_per_key, rate, ageing, max_tasks,
	// max_bytes, self_fence.
	Unset []string
}

// RateLimit lets Tokens attempts start in every Period, and Burst at once.
type RateLimit struct {
	Tokens uint32
	Period time.Duration
	Burst  uint32 // 0 means 1
}

func (s *QueueSettings) message() *taskraftv1.QueueSettings {
	m := &taskraftv1.QueueSettings{
		Priority: s.Priority, Timeout: duration(s.Timeout), Retain: duration(s.Retain),
		RetainCount: s.RetainCount, RetainBytes: s.RetainBytes, Ageing: duration(s.Ageing),
		MaxTasks: s.MaxTasks, MaxBytes: s.MaxBytes,
	}
	if s.MaxAttempts != 0 {
		n := int32(min(max(s.MaxAttempts, math.MinInt32), math.MaxInt32))
		m.MaxAttempts = &n
	}
	if s.BackoffBase != 0 || s.BackoffMax != 0 {
		m.Backoff = &taskraftv1.Backoff{Base: duration(s.BackoffBase), Max: duration(s.BackoffMax)}
	}
	if s.MaxRunning != 0 {
		m.MaxRunning = &s.MaxRunning
	}
	if s.MaxRunningPerKey != 0 {
		m.MaxRunningPerKey = &s.MaxRunningPerKey
	}
	if s.SelfFence {
		m.SelfFence = &s.SelfFence
	}
	if r := s.Rate; r != nil {
		m.Rate = &taskraftv1.RateLimit{Tokens: r.Tokens, Period: duration(r.Period), Burst: r.Burst}
	}
	return m
}

// mask names what is set in m and what is to be unset.
func (s *QueueSettings) mask(m *taskraftv1.QueueSettings) (*fieldmaskpb.FieldMask, []Field) {
	mask := new(fieldmaskpb.FieldMask)
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		mask.Paths = append(mask.Paths, string(field.Name()))
		return true
	})
	slices.Sort(mask.Paths)
	var bad []Field
	for _, name := range s.Unset {
		switch {
		case !utf8.ValidString(name):
			bad = append(bad, field("unset", "got %.64q, want UTF-8", name))
		case slices.Contains(mask.Paths, name):
			bad = append(bad, field(name, "both set and unset"))
		default:
			mask.Paths = append(mask.Paths, name)
		}
	}
	return mask, bad
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

// UpdateQueue changes a queue's settings and leaves those alone that s does not
// name. The queue is made if it is new.
func (c *Client) UpdateQueue(ctx context.Context, name string, s QueueSettings) (*taskraftv1.Queue, error) {
	const op = "update queue"
	m := s.message()
	mask, bad := s.mask(m)
	if bad = checkText(bad, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.UpdateQueueResponse, error) {
		return taskraftv1.NewQueueServiceClient(conn).UpdateQueue(ctx, &taskraftv1.UpdateQueueRequest{Name: name, Settings: m, UpdateMask: mask, Call: call})
	})
	return resp.GetQueue(), err
}
