package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

type batchStream = grpc.ClientStreamingServer[taskraftv1.SubmitBatchRequest, taskraftv1.SubmitBatchResponse]

// SubmitBatch stages what it receives, chunk by chunk, and commits it at the end
// of the stream. A batch of one message needs no staging: it is one submit.
func (s *Server) SubmitBatch(stream batchStream) error {
	in := batchInput{s: s, stream: stream, sum: sha256.New(), traced: s.accept(stream.Context())}
	first, err := in.next()
	switch {
	case errors.Is(err, io.EOF):
		return violated("tasks", "got none, want 1 or more")
	case err != nil:
		return err
	}
	second, err := in.next()
	var res fsm.Result
	var pos cluster.Position
	switch {
	case errors.Is(err, io.EOF):
		in.spec.ContentDigest = in.digest()
		res, pos, err = s.submit(stream.Context(), in.command(&fsmpb.Command{Kind: &fsmpb.Command_Submit{
			Submit: &fsmpb.Submit{Tasks: first.tasks, Batch: in.spec},
		}}))
	case err == nil:
		res, pos, err = in.stage(stream.Context(), first, second)
	}
	in.traced.end(res, err)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&taskraftv1.SubmitBatchResponse{
		Id: res.Batch, FirstTask: res.IDs[0], Total: res.Count, Existing: res.Outcome == fsm.Existing, Position: s.position(pos),
	})
}

// batchInput is a batch as it comes in.
type batchInput struct {
	s      *Server
	stream batchStream
	spec   *fsmpb.BatchSpec
	n      int       // tasks so far
	queues []string  // of each of them; runs of one queue share their text
	sum    hash.Hash // of all so far
	traced acceptance
}

// batchChunk is the tasks of one message.
type batchChunk struct {
	offset int
	digest uint64 // of the batch up to its last task
	tasks  []*fsmpb.TaskSpec
}

// next receives and checks one message.
func (in *batchInput) next() (*batchChunk, error) {
	req, err := in.stream.Recv()
	if err != nil {
		return nil, err
	}
	var v violations
	switch {
	case in.spec == nil:
		in.spec = in.s.batchSpec(&v, req.GetBatch())
		in.add(in.spec)
	case req.GetBatch() != nil:
		v.add("batch", "only the first message has it")
	}
	tasks := req.GetTasks()
	if n := len(tasks); n == 0 || n > fsm.MaxBatch {
		v.add("tasks", "got %d tasks, want 1 to %d in one message", n, fsm.MaxBatch)
		return nil, v.err()
	}
	if size := proto.Size(req); size > maxBatchBytes {
		v.add("tasks", "got %d bytes, want at most %d in one message", size, maxBatchBytes)
		return nil, v.err()
	}
	c := &batchChunk{offset: in.n, tasks: in.s.items(&v, in.n, tasks)}
	for i, spec := range tasks {
		if spec.GetRequestId() != "" {
			v.add(fmt.Sprintf("tasks[%d].request_id", in.n+i), "a task of a batch has none: give the batch one")
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	for _, spec := range c.tasks {
		in.add(spec)
	}
	for _, spec := range c.tasks {
		in.queues = append(in.queues, spec.GetQueue())
	}
	in.n += len(tasks)
	c.digest = in.digest()
	in.traced.stamp(tasks, c.tasks)
	if b := req.GetBatch(); b != nil {
		at := in.traced.common(0)
		follow(b.GetFollowUp(), in.spec.GetFollowUp(), at)
		follow(b.GetOnSuccess(), in.spec.GetOnSuccess(), at)
	}
	return c, nil
}

// stage opens the batch, adds what is not there yet and commits the whole.
func (in *batchInput) stage(ctx context.Context, first, second *batchChunk) (fsm.Result, cluster.Position, error) {
	open, _, err := in.propose(ctx, &fsmpb.Command{Kind: &fsmpb.Command_OpenBatch{OpenBatch: &fsmpb.OpenBatch{Batch: in.spec}}}, 0)
	if err != nil {
		return open, cluster.Position{}, err
	}
	c := first
	for c != nil {
		_, _, err := in.propose(ctx, &fsmpb.Command{Kind: &fsmpb.Command_StageBatch{StageBatch: &fsmpb.StageBatch{
			Batch: open.Batch, Offset: uint64(c.offset), Digest: c.digest, Tasks: c.tasks,
		}}}, c.offset)
		if err != nil {
			return open, cluster.Position{}, err
		}
		if c = second; c != nil {
			second = nil
			continue
		}
		if c, err = in.next(); err != nil && !errors.Is(err, io.EOF) {
			return open, cluster.Position{}, err
		}
	}
	return in.propose(ctx, &fsmpb.Command{Kind: &fsmpb.Command_CommitBatch{CommitBatch: &fsmpb.CommitBatch{
		Batch: open.Batch, Total: uint64(in.n), ContentDigest: in.digest(),
	}}}, 0)
}

// propose orders one step and turns a refusal into a status; first is the place of
// the step's first task.
func (in *batchInput) propose(ctx context.Context, cmd *fsmpb.Command, first int) (fsm.Result, cluster.Position, error) {
	res, pos, err := in.s.node.Propose(ctx, in.command(cmd))
	switch {
	case err != nil:
		return res, pos, in.s.statusOf(err)
	case res.Outcome == fsm.Accepted, res.Outcome == fsm.Existing, res.Outcome == fsm.Duplicate:
		return res, pos, nil
	case res.Outcome == fsm.NoParent:
		return res, pos, noParent(res, first)
	case res.Outcome == fsm.DependencyCycle:
		return res, pos, cycle(res.IDs)
	case res.Outcome == fsm.QueueFull || res.Outcome == fsm.UniqueKeyTaken:
		place := int(res.IDs[0])
		return res, pos, obstructed(res.Outcome, place, res.IDs[1], in.queues[place])
	}
	return res, pos, refusal(res.Outcome, nil)
}

func (in *batchInput) command(cmd *fsmpb.Command) *fsmpb.Command {
	cmd.Principal = "client:" + remote(in.stream.Context())
	return cmd
}

// add adds a part to what the batch's request id stands for.
func (in *batchInput) add(part proto.Message) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(part)
	if err != nil {
		panic(err) // all strings are checked to be UTF-8 by the decoder
	}
	in.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	in.sum.Write(b)
}

func (in *batchInput) digest() uint64 { return binary.BigEndian.Uint64(in.sum.Sum(nil)) }

// batchSpec checks what the tasks have in common.
func (s *Server) batchSpec(v *violations, b *taskraftv1.BatchSpec) *fsmpb.BatchSpec {
	v.text("batch.name", b.GetName(), maxID)
	v.text("batch.request_id", b.GetRequestId(), maxID)
	return &fsmpb.BatchSpec{
		Name: b.GetName(), RequestId: b.GetRequestId(),
		FollowUp:  s.followUps(v, "batch.follow_up", b.GetFollowUp()),
		OnSuccess: s.followUps(v, "batch.on_success", b.GetOnSuccess()),
	}
}
