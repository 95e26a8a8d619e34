package rpc

import (
	"context"
	"strconv"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// waiting are the states that a purge is about; live those of a bulk cancellation.
var (
	waiting = []uint32{uint32(fsm.Scheduled), uint32(fsm.Ready)}
	live    = append(waiting, uint32(fsm.Running), uint32(fsm.Stopping))
)

// reasonPurged is what a purge leaves on its tasks.
const reasonPurged = "purged"

// CancelTasks cancels all tasks that match, or counts them.
func (s *Server) CancelTasks(ctx context.Context, req *taskraftv1.CancelTasksRequest) (*taskraftv1.CancelTasksResponse, error) {
	var v violations
	what := v.bulkFilter(req.GetFilter())
	v.text("reason", req.GetReason(), maxReason)
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	if len(what.States) == 0 {
		what.States = live
	}
	sweep, count, pos, err := s.sweep(ctx, cmd, &fsmpb.Sweep{What: what, Reason: req.GetReason()}, req.GetValidateOnly())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.CancelTasksResponse{Sweep: sweep, Count: count, Position: pos}, nil
}

// PurgeQueue cancels what waits in a queue, or counts it.
func (s *Server) PurgeQueue(ctx context.Context, req *taskraftv1.PurgeQueueRequest) (*taskraftv1.PurgeQueueResponse, error) {
	var v violations
	v.queue("name", req.GetName())
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	what := &fsmpb.TaskFilter{Queue: req.GetName(), States: waiting}
	if req.GetRunning() {
		what.States = live
	}
	known := false
	if _, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Linearizable}, func(m *fsm.Machine) { known = m.Queue(req.GetName()) != nil }); err != nil {
		return nil, s.statusOf(err)
	}
	if !known {
		return nil, refusal(fsm.NoQueue, map[string]string{"queue": req.GetName()})
	}
	sweep, count, pos, err := s.sweep(ctx, cmd, &fsmpb.Sweep{What: what, Reason: reasonPurged}, req.GetValidateOnly())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.PurgeQueueResponse{Sweep: sweep, Count: count, Position: pos}, nil
}

// sweep begins a sweep, or counts what it would be about.
func (s *Server) sweep(ctx context.Context, cmd *fsmpb.Command, sweep *fsmpb.Sweep, onlyCount bool) (id, count uint64, at *taskraftv1.Position, err error) {
	if onlyCount {
		pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Linearizable}, func(m *fsm.Machine) {
			count = uint64(m.Count(sweep.GetWhat()))
		})
		if err != nil {
			return 0, 0, nil, s.statusOf(err)
		}
		return 0, count, s.position(pos), nil
	}
	cmd.Kind = &fsmpb.Command_Sweep{Sweep: sweep}
	res, pos, err := s.node.Propose(ctx, cmd)
	switch {
	case err != nil:
		return 0, 0, nil, s.statusOf(err)
	case res.Outcome != fsm.Accepted:
		return 0, 0, nil, refusal(res.Outcome, nil)
	}
	return res.IDs[0], res.Count, s.position(pos), nil
}

// GetSweep returns how far a bulk cancellation is.
func (s *Server) GetSweep(ctx context.Context, req *taskraftv1.GetSweepRequest) (*taskraftv1.GetSweepResponse, error) {
	var v violations
	v.id(req.GetId())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	if err := v.err(); err != nil {
		return nil, err
	}
	var sweep *fsm.Sweep
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) { sweep = m.Sweep(req.GetId()) })
	switch {
	case err != nil:
		return nil, s.statusOf(err)
	case sweep == nil:
		return nil, refusal(fsm.NoSweep, map[string]string{"id": strconv.FormatUint(req.GetId(), 10)})
	}
	return &taskraftv1.GetSweepResponse{Position: s.position(pos), Sweep: &taskraftv1.Sweep{
		Id: sweep.ID, Reason: sweep.Reason, StartTime: timestamp(sweep.StartedAt), FinishTime: timestamp(sweep.FinishedAt),
		Matched: sweep.Matched, Cancelled: sweep.Cancelled, Ended: sweep.Ended, Left: sweep.Left,
	}}, nil
}
