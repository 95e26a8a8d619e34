package client

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Update is what is new about a task that is followed.
type Update struct {
	Task     *taskraftv1.Task     // its record, without the payload, when it changed
	Output   []Output             // in order
	Progress *taskraftv1.Progress // of the present attempt, when it changed
	Done     bool                 // this is the last one: the task has ended
}

// Output is a piece of what an attempt wrote.
type Output struct {
	Attempt int
	Stderr  bool // else to standard output
	Data    []byte
	// Dropped is how many bytes of the same attempt came before it, and behind the
	// piece before, that are lost: they came faster than they could be followed.
	Dropped uint64
}

// FollowOption changes what Follow tells.
type FollowOption func(*taskraftv1.FollowTaskRequest)

// WithoutOutput leaves the output out: states and progress only.
func WithoutOutput() FollowOption {
	return func(r *taskraftv1.FollowTaskRequest) { r.NoOutput = true }
}

// WithoutWaiting tells what there is now, in one Update, and ends.
func WithoutWaiting() FollowOption {
	return func(r *taskraftv1.FollowTaskRequest) { r.Once = true }
}

// Follow tells of a task's states, progress and output until it has ended, across
// changes of the leader. It ends after an Update that is Done, or after the first
// error.
//
// Output comes once and in order. The leader keeps the end of each task's output
// in memory, and the worker does, 64 KiB each: what an attempt wrote before the
// call, beyond that, or faster than it can be followed, is Dropped.
func (c *Client) Follow(ctx context.Context, id uint64, opts ...FollowOption) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		f := following{c: c, yield: yield, req: &taskraftv1.FollowTaskRequest{Id: id}}
		for _, opt := range opts {
			opt(f.req)
		}
		if err := c.follow.Do(ctx, f.stream); err != nil {
			yield(Update{}, wrap("follow task", err, false))
		}
	}
}

// following is one Follow.
type following struct {
	c     *Client
	yield func(Update, error) bool
	req   *taskraftv1.FollowTaskRequest // as the next stream needs it
}

// stream is a follow.Call. Nil means that the task has ended, or that the caller
// has heard enough.
func (f *following) stream(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := f.c.follow.Position()
	s, err := taskraftv1.NewTaskServiceClient(conn).FollowTask(ctx, f.req)
	for err == nil {
		var m *taskraftv1.FollowTaskResponse
		if m, err = s.Recv(); err != nil {
			break
		}
		at := follow.PositionOf(m.GetPosition())
		if at.Before(seen) {
			return follow.ErrBehind
		}
		f.c.follow.Observe(at)
		f.req.Resumed = true
		u := Update{Task: m.GetTask(), Output: f.output(m.GetOutput()), Progress: m.GetProgress(), Done: m.GetDone()}
		if !f.yield(u, nil) || u.Done {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return status.Error(codes.Unavailable, "the stream ended before the task")
	}
	return err
}

// output converts chunks and notes where they end.
func (f *following) output(chunks []*taskraftv1.OutputChunk) []Output {
	var out []Output
	for _, c := range chunks {
		o := Output{Attempt: int(c.GetAttempt()), Stderr: c.GetStream() == taskraftv1.OutputStream_STDERR, Data: c.GetData()}
		from := f.req.GetOffset()
		if f.req.GetFence() != c.GetFence() {
			from = 0
		}
		if c.GetOffset() > from {
			o.Dropped = c.GetOffset() - from
		}
		f.req.Fence, f.req.Offset = c.GetFence(), c.GetOffset()+uint64(len(c.GetData()))
		out = append(out, o)
	}
	return out
}
