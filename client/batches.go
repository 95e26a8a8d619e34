package client

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// chunkBytes is what one message of a batch carries at most, below the masters' 1 MiB.
const chunkBytes = 512 << 10

// Batch is tasks submitted together with a counter.
type Batch struct {
	Name  string // for people
	Tasks []Task // 1 to 100,000; without RequestID

	// Submitted in the very log entry in which the last task ends, once: OnSuccess
	// only when all SUCCEEDED. As of Task.OnSuccess.
	FollowUp, OnSuccess []Task

	// RequestID makes a submit safe to repeat from anywhere, as of Task.RequestID.
	// Empty: SubmitBatch makes one, for its own repeats.
	RequestID string
}

// BatchReceipt says that all tasks of a batch are on a majority's disks. Their ids
// are First … First+Total−1, in the order of the tasks.
type BatchReceipt struct {
	ID       uint64
	First    uint64
	Total    uint64
	Existing bool   // an earlier batch with the same RequestID
	Index    uint64 // of the log: see WithMinIndex
}

// SubmitBatch submits all tasks of a batch at once: when it returns without error
// all of them exist, otherwise none does, or ErrUncertain says that it is not
// known. A change of leader in the middle is gone on from where it was.
func (c *Client) SubmitBatch(ctx context.Context, b Batch) (BatchReceipt, error) {
	const op = "submit batch"
	bad := checkText(nil, "batch.name", b.Name, "batch.request_id", b.RequestID)
	bad = append(bad, checkItems("tasks", b.Tasks)...)
	bad = append(bad, checkItems("batch.follow_up", b.FollowUp)...)
	bad = append(bad, checkItems("batch.on_success", b.OnSuccess)...)
	if len(b.Tasks) == 0 {
		bad = append(bad, field("tasks", "got none, want 1 or more"))
	}
	if bad != nil {
		return BatchReceipt{}, invalid(op, bad...)
	}
	ctx, span := c.callSpan(ctx)
	requests := b.requests()
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, _ *taskraftv1.Call) (*taskraftv1.SubmitBatchResponse, error) {
		return sendBatch(ctx, conn, requests)
	})
	if span != nil {
		endSpan(span, err, tracing.Number(tracing.BatchKey, resp.GetId()), tracing.TasksKey.Int(len(b.Tasks)))
	}
	if err != nil {
		return BatchReceipt{}, err
	}
	return BatchReceipt{
		ID: resp.GetId(), First: resp.GetFirstTask(), Total: resp.GetTotal(), Existing: resp.GetExisting() && b.RequestID != "",
		Index: resp.GetPosition().GetIndex(),
	}, nil
}

// requests cuts the batch into messages, the same each time.
func (b *Batch) requests() []*taskraftv1.SubmitBatchRequest {
	id := b.RequestID
	if id == "" {
		id = rand.Text()
	}
	at := &taskraftv1.SubmitBatchRequest{Batch: &taskraftv1.BatchSpec{
		Name: b.Name, RequestId: id, FollowUp: specs(b.FollowUp), OnSuccess: specs(b.OnSuccess),
	}}
	all := []*taskraftv1.SubmitBatchRequest{at}
	size := proto.Size(at)
	for i := range b.Tasks {
		spec := b.Tasks[i].spec()
		n := proto.Size(spec) + 8
		if len(at.Tasks) == maxBatch || len(at.Tasks) > 0 && size+n > chunkBytes {
			at, size = &taskraftv1.SubmitBatchRequest{}, 0
			all = append(all, at)
		}
		at.Tasks = append(at.Tasks, spec)
		size += n
	}
	return all
}

// sendBatch makes one try.
func sendBatch(ctx context.Context, conn grpc.ClientConnInterface, requests []*taskraftv1.SubmitBatchRequest) (*taskraftv1.SubmitBatchResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := taskraftv1.NewBatchServiceClient(conn).SubmitBatch(ctx)
	if err != nil {
		return nil, err
	}
	for _, req := range requests {
		if err := stream.Send(req); errors.Is(err, io.EOF) {
			break // the answer says why
		} else if err != nil {
			return nil, err
		}
	}
	return stream.CloseAndRecv()
}

// Batch returns a batch's progress.
func (c *Client) Batch(ctx context.Context, id uint64, opts ...ReadOption) (*taskraftv1.Batch, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	resp, err := read(ctx, c, "get batch", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetBatchResponse, error) {
		return taskraftv1.NewBatchServiceClient(conn).GetBatch(ctx, &taskraftv1.GetBatchRequest{Id: id, Consistency: o.consistency, MinIndex: o.minIndex})
	})
	return resp.GetBatch(), err
}

// Batches iterates over batches, newest first. It is stale unless an option says
// otherwise, and ends after the first error.
func (c *Client) Batches(ctx context.Context, opts ...ReadOption) iter.Seq2[*taskraftv1.Batch, error] {
	o := readOptionsOf(taskraftv1.Consistency_STALE, opts)
	return pages(func(token string) ([]*taskraftv1.Batch, string, error) {
		resp, err := read(ctx, c, "list batches", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListBatchesResponse, error) {
			return taskraftv1.NewBatchServiceClient(conn).ListBatches(ctx, &taskraftv1.ListBatchesRequest{
				PageSize: listPage, PageToken: token, Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		return resp.GetBatches(), resp.GetNextPageToken(), err
	})
}

// pages iterates over the rows of all pages, and ends after the first error.
func pages[T any](page func(token string) (rows []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token := ""; ; {
			rows, next, err := page(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}

// WaitBatch returns the batch once all its tasks have ended.
func (c *Client) WaitBatch(ctx context.Context, id uint64) (*taskraftv1.Batch, error) {
	o := readOptions{consistency: taskraftv1.Consistency_LINEARIZABLE}
	req := &taskraftv1.WaitBatchRequest{Id: id, Timeout: durationpb.New(waitRound)}
	for {
		resp, err := read(ctx, c, "wait for batch", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.WaitBatchResponse, error) {
			return taskraftv1.NewBatchServiceClient(conn).WaitBatch(ctx, req)
		})
		if err != nil || resp.GetDone() {
			return resp.GetBatch(), err
		}
	}
}

// CancelBatch cancels what of a batch has not ended and returns how many tasks that
// were. The outcome is ACCEPTED, DUPLICATE (it was cancelled before) or
// ALREADY_TERMINAL.
func (c *Client) CancelBatch(ctx context.Context, id uint64, reason string) (outcome taskraftv1.Outcome, count uint64, err error) {
	const op = "cancel batch"
	if bad := checkText(nil, "reason", reason); bad != nil {
		return 0, 0, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.CancelBatchResponse, error) {
		return taskraftv1.NewBatchServiceClient(conn).CancelBatch(ctx, &taskraftv1.CancelBatchRequest{Id: id, Reason: reason, Call: call})
	})
	return resp.GetOutcome(), resp.GetCount(), err
}
