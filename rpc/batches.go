package rpc

import (
	"context"
	"strconv"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// GetBatch returns one batch's progress.
func (s *Server) GetBatch(ctx context.Context, req *taskraftv1.GetBatchRequest) (*taskraftv1.GetBatchResponse, error) {
	var v violations
	v.id(req.GetId())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	if err := v.err(); err != nil {
		return nil, err
	}
	var b *fsm.Batch
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		b = m.Batch(req.GetId())
	})
	switch {
	case err != nil:
		return nil, s.statusOf(err)
	case b == nil:
		return nil, noBatch(req.GetId())
	}
	return &taskraftv1.GetBatchResponse{Batch: batch(b), Position: s.position(pos)}, nil
}

// ListBatches returns one page of batches, newest first.
func (s *Server) ListBatches(ctx context.Context, req *taskraftv1.ListBatchesRequest) (*taskraftv1.ListBatchesResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	before, ok := pageID(req.GetPageToken(), "batches")
	if !ok {
		v.add("page_token", "not a token of this list: start again without one")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &taskraftv1.ListBatchesResponse{}
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		for b := range m.BatchesBefore(before) {
			if len(out.Batches) == size {
				out.NextPageToken = pageToken(out.Batches[size-1].GetId(), "batches")
				return
			}
			out.Batches = append(out.Batches, batch(b))
		}
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	out.Position = s.position(pos)
	return out, nil
}

// WaitBatch returns the batch when it has finished, or as it is when the time is up.
func (s *Server) WaitBatch(ctx context.Context, req *taskraftv1.WaitBatchRequest) (*taskraftv1.WaitBatchResponse, error) {
	var v violations
	v.id(req.GetId())
	wait := time.Duration(v.duration("timeout", req.GetTimeout(), 0, 100*year))
	if err := v.err(); err != nil {
		return nil, err
	}
	if req.GetTimeout() == nil {
		wait = defaultWait
	}
	b, pos, err := s.node.WaitBatch(ctx, req.GetId(), min(wait, maxWait))
	switch {
	case err != nil:
		return nil, s.statusOf(err)
	case b == nil:
		return nil, noBatch(req.GetId())
	}
	return &taskraftv1.WaitBatchResponse{Batch: batch(b), Done: b.FinishedAt != 0, Position: s.position(pos)}, nil
}

// CancelBatch cancels what of a batch has not ended.
func (s *Server) CancelBatch(ctx context.Context, req *taskraftv1.CancelBatchRequest) (*taskraftv1.CancelBatchResponse, error) {
	var v violations
	v.id(req.GetId())
	v.text("reason", req.GetReason(), maxReason)
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	cmd.Kind = &fsmpb.Command_CancelBatch{CancelBatch: &fsmpb.CancelBatch{Batch: req.GetId(), Reason: req.GetReason()}}
	res, pos, err := s.node.Propose(ctx, cmd)
	if err != nil {
		return nil, s.statusOf(err)
	}
	if _, refused := refusals[res.Outcome]; refused {
		return nil, refusal(res.Outcome, map[string]string{"id": strconv.FormatUint(req.GetId(), 10)})
	}
	return &taskraftv1.CancelBatchResponse{Outcome: outcome(res.Outcome), Count: res.Count, Position: s.position(pos)}, nil
}

func noBatch(id uint64) error {
	return refusal(fsm.NoBatch, map[string]string{"id": strconv.FormatUint(id, 10)})
}

func batch(b *fsm.Batch) *taskraftv1.Batch {
	n := func(s fsm.State) uint64 { return uint64(b.Counts[s]) }
	out := &taskraftv1.Batch{
		Id: b.ID, Name: b.Name, RequestId: b.RequestID, State: taskraftv1.BatchState_BATCH_RUNNING, FirstTask: b.First, Total: b.Total,
		Scheduled: n(fsm.Scheduled), Ready: n(fsm.Ready), Running: n(fsm.Running), Stopping: n(fsm.Stopping),
		Succeeded: n(fsm.Succeeded), Dead: n(fsm.Dead), Cancelled: n(fsm.Cancelled),
		SubmitTime: timestamp(b.CommittedAt), FinishTime: timestamp(b.FinishedAt), CancelTime: timestamp(b.CancelledAt), Reason: b.Reason,
	}
	switch {
	case b.CommittedAt == 0:
		out.State = taskraftv1.BatchState_BATCH_STAGING
	case b.FinishedAt != 0:
		out.State = taskraftv1.BatchState_BATCH_FINISHED
	}
	return out
}
