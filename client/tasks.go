package client

import (
	"context"
	"iter"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxBatch  = 1000 // tasks in one atomic submit
	listPage  = 500
	waitRound = 30 * time.Second
)

// Task is what the submitter decides about a task. What is zero takes the
// queue's default.
type Task struct {
	Queue       string // default "default"
	Kind        string // the handler's name at the worker
	Payload     []byte // at most 64 KiB unless the masters allow more
	ContentType string
	Priority    *int32 // −100…100, higher first

	Delay time.Duration // not before this much later; not together with RunAt
	RunAt time.Time     // not before

	Timeout     time.Duration // limit of one attempt, from its assignment
	MaxAttempts int           // 1…100; failures and timeouts count, crashes do not
	BackoffBase time.Duration // pause after the first failure; doubles
	BackoffMax  time.Duration
	ExpiresIn   time.Duration // CANCELLED if not started by then
	Retain      time.Duration // how long the record is kept after the end

	// Require names labels that a worker must have to get the task, at most 16.
	Require map[string]string
	// ConcurrencyKey bounds what runs at once: at most the queue's MaxRunningPerKey
	// tasks of one key, which is 1 unless set. At most 128 bytes.
	ConcurrencyKey string
	// Labels, at most 16, are for searches: see TaskFilter.
	Labels map[string]string
	// UniqueKey lets at most one task with it live in the whole cluster: a submit
	// while there is one returns that one. At most 128 bytes. It is free again when
	// its task has ended or, with UniqueUntilStart, when it has started.
	UniqueKey        string
	UniqueUntilStart bool

	// Parents: the task is SCHEDULED until all of them have SUCCEEDED. When one is
	// DEAD or CANCELLED it is cancelled, or with AfterRun goes on.
	After      []uint64 // by id
	AfterItems []uint32 // by their place in the same SubmitMany or Batch, from 0
	AfterRun   bool

	// Submitted in the very log entry in which this task ends so, once, also when it
	// is retried. They have no RequestID, parents and follow-ups of their own.
	OnSuccess, OnDead []Task

	// RequestID makes a submit safe to repeat from anywhere: the same id with the
	// same content is the same task. At most 128 bytes.
	RequestID string

	// Broadcast makes the task one that every matching worker carries out.
	Broadcast *Broadcast

	// The trace that the task belongs to, as of W3C Trace Context. Empty: that of the
	// submit's context, if it has one.
	Traceparent, Tracestate string
}

// Receipt says that a task is on a majority's disks.
type Receipt struct {
	ID       uint64
	Existing bool   // an earlier task with the same RequestID or UniqueKey
	Index    uint64 // of the log: see WithMinIndex
}

func (t *Task) spec() *taskraftv1.TaskSpec {
	s := &taskraftv1.TaskSpec{
		Queue: t.Queue, Kind: t.Kind, Payload: t.Payload, ContentType: t.ContentType, Priority: t.Priority,
		Timeout: duration(t.Timeout), ExpiresIn: duration(t.ExpiresIn), Retain: duration(t.Retain),
		RequestId: t.RequestID, Require: t.Require, ConcurrencyKey: t.ConcurrencyKey, Broadcast: t.Broadcast.spec(),
		After: t.After, AfterItems: t.AfterItems,
		OnSuccess: specs(t.OnSuccess), OnDead: specs(t.OnDead),
		UniqueKey: t.UniqueKey, Labels: t.Labels,
		Traceparent: t.Traceparent, Tracestate: t.Tracestate,
	}
	if t.AfterRun {
		s.AfterPolicy = taskraftv1.AfterPolicy_AFTER_RUN
	}
	if t.UniqueUntilStart {
		s.UniqueUntil = taskraftv1.UniqueUntil_UNIQUE_UNTIL_START
	}
	if t.Delay != 0 {
		s.Start = &taskraftv1.TaskSpec_Delay{Delay: durationpb.New(t.Delay)}
	} else if !t.RunAt.IsZero() {
		s.Start = &taskraftv1.TaskSpec_RunAt{RunAt: timestamppb.New(t.RunAt)}
	}
	if t.MaxAttempts != 0 {
		n := int32(min(max(t.MaxAttempts, math.MinInt32), math.MaxInt32))
		s.MaxAttempts = &n
	}
	if t.BackoffBase != 0 || t.BackoffMax != 0 {
		s.Backoff = &taskraftv1.Backoff{Base: duration(t.BackoffBase), Max: duration(t.BackoffMax)}
	}
	return s
}

// specs is nil for no tasks.
func specs(tasks []Task) []*taskraftv1.TaskSpec {
	if len(tasks) == 0 {
		return nil
	}
	out := make([]*taskraftv1.TaskSpec, len(tasks))
	for i := range tasks {
		out[i] = tasks[i].spec()
	}
	return out
}

// duration leaves zero unset.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// submitOne makes a call of its own for one task that was checked.
func (c *Client) submitOne(ctx context.Context, t *Task) (Receipt, error) {
	const op = "submit"
	req := taskraftv1.SubmitTaskRequest{Task: t.spec()}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.SubmitTaskResponse, error) {
		req.Call = call
		if call.GetRepeat() && mutated("M24") { // S3
			req.Call, req.Task.RequestId = nil, ""
		}
		return taskraftv1.NewTaskServiceClient(conn).SubmitTask(ctx, &req)
	})
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: resp.GetId(), Existing: resp.GetExisting(), Index: resp.GetPosition().GetIndex()}, nil
}

// SubmitMany submits 1 to 1,000 tasks, 1 MiB in all, at once: either all are
// accepted or none is. The receipts are in the order of the tasks.
func (c *Client) SubmitMany(ctx context.Context, tasks []Task) ([]Receipt, error) {
	const op = "submit"
	if n := len(tasks); n == 0 || n > maxBatch {
		return nil, invalid(op, field("tasks", "got %d tasks, want 1 to %d in one call", n, maxBatch))
	}
	req := taskraftv1.SubmitTasksRequest{Tasks: make([]*taskraftv1.TaskSpec, len(tasks))}
	var bad []Field
	for i := range tasks {
		bad = append(bad, tasks[i].checkItem(i)...)
		req.Tasks[i] = tasks[i].spec()
	}
	if bad != nil {
		return nil, invalid(op, bad...)
	}
	ctx, span := c.callSpan(ctx)
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.SubmitTasksResponse, error) {
		req.Call = call
		return taskraftv1.NewTaskServiceClient(conn).SubmitTasks(ctx, &req)
	})
	if span != nil {
		endSpan(span, err, tracing.TasksKey.Int(len(tasks)))
	}
	if err != nil {
		return nil, err
	}
	receipts := make([]Receipt, len(resp.GetIds()))
	for i, id := range resp.GetIds() {
		receipts[i] = Receipt{ID: id, Index: resp.GetPosition().GetIndex()}
		if i < len(resp.GetExisting()) {
			receipts[i].Existing = resp.GetExisting()[i]
		}
	}
	return receipts, nil
}

// Get returns a task's record. It is linearizable unless an option says otherwise.
func (c *Client) Get(ctx context.Context, id uint64, opts ...ReadOption) (*taskraftv1.Task, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	resp, err := read(ctx, c, "get task", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetTaskResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).GetTask(ctx, &taskraftv1.GetTaskRequest{Id: id, Consistency: o.consistency, MinIndex: o.minIndex})
	})
	return resp.GetTask(), err
}

// List iterates over the tasks that match filter (see TaskFilter), newest id first, without
// payloads and results. It is stale unless an option says otherwise; pages are
// read as the iteration goes on. It ends after the first error.
func (c *Client) List(ctx context.Context, filter string, opts ...ReadOption) iter.Seq2[*taskraftv1.Task, error] {
	return func(yield func(*taskraftv1.Task, error) bool) {
		for token := ""; ; {
			page, next, err := c.ListPage(ctx, filter, listPage, token, opts...)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range page {
				if !yield(t, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}

// ListPage returns one page of at most size tasks (0: 100; at most 1,000) and the
// token of the next one, empty after the last.
func (c *Client) ListPage(ctx context.Context, filter string, size int, token string, opts ...ReadOption) (tasks []*taskraftv1.Task, next string, err error) {
	const op = "list tasks"
	if bad := checkText(nil, "filter", filter, "page_token", token); bad != nil {
		return nil, "", invalid(op, bad...)
	}
	o := readOptionsOf(taskraftv1.Consistency_STALE, opts)
	req := &taskraftv1.ListTasksRequest{
		PageSize: int32(min(max(size, math.MinInt32), math.MaxInt32)), PageToken: token, Filter: filter,
		Consistency: o.consistency, MinIndex: o.minIndex,
	}
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListTasksResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).ListTasks(ctx, req)
	})
	return resp.GetTasks(), resp.GetNextPageToken(), err
}

// Wait returns the task's record once it is terminal.
func (c *Client) Wait(ctx context.Context, id uint64) (*taskraftv1.Task, error) {
	o := readOptions{consistency: taskraftv1.Consistency_LINEARIZABLE}
	req := &taskraftv1.WaitTaskRequest{Id: id, Timeout: durationpb.New(waitRound)}
	for {
		resp, err := read(ctx, c, "wait for task", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.WaitTaskResponse, error) {
			return taskraftv1.NewTaskServiceClient(conn).WaitTask(ctx, req)
		})
		if err != nil || resp.GetDone() {
			return resp.GetTask(), err
		}
	}
}

// Cancel cancels a task. A running one is STOPPING until its worker confirms.
// The outcome is ACCEPTED, DUPLICATE (it was cancelled before) or ALREADY_TERMINAL.
func (c *Client) Cancel(ctx context.Context, id uint64, reason string) (taskraftv1.Outcome, *taskraftv1.Task, error) {
	const op = "cancel task"
	if bad := checkText(nil, "reason", reason); bad != nil {
		return 0, nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.CancelTaskResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).CancelTask(ctx, &taskraftv1.CancelTaskRequest{Id: id, Reason: reason, Call: call})
	})
	return resp.GetOutcome(), resp.GetTask(), err
}

// Retry starts a new generation of a DEAD or CANCELLED task.
func (c *Client) Retry(ctx context.Context, id uint64) (*taskraftv1.Task, error) {
	resp, err := change(ctx, c, "retry task", func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.RetryTaskResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).RetryTask(ctx, &taskraftv1.RetryTaskRequest{Id: id, Call: call})
	})
	return resp.GetTask(), err
}

// Delete removes the record of a task that has ended, and frees its request id.
func (c *Client) Delete(ctx context.Context, id uint64) error {
	_, err := change(ctx, c, "delete task", func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.DeleteTaskResponse, error) {
		return taskraftv1.NewTaskServiceClient(conn).DeleteTask(ctx, &taskraftv1.DeleteTaskRequest{Id: id, Call: call})
	})
	return err
}
