package rpc

import (
	"context"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// DrainWorker keeps ordinary tasks from a worker, or ends that.
func (s *Server) DrainWorker(ctx context.Context, req *taskraftv1.DrainWorkerRequest) (*taskraftv1.DrainWorkerResponse, error) {
	o, pos, err := s.operate(ctx, req.GetWorkerId(), req.GetCall(), &fsmpb.Command{Kind: &fsmpb.Command_DrainWorker{
		DrainWorker: &fsmpb.DrainWorker{Worker: req.GetWorkerId(), Undo: req.GetUndo()},
	}})
	if err != nil {
		return nil, err
	}
	w, _, err := s.readWorker(ctx, req.GetWorkerId(), cluster.ReadOptions{Level: cluster.Stale})
	if err != nil {
		return nil, err
	}
	return &taskraftv1.DrainWorkerResponse{Outcome: outcome(o), Worker: w, Position: s.position(pos)}, nil
}

// RemoveWorker ends a worker's session and refuses its process for ever.
func (s *Server) RemoveWorker(ctx context.Context, req *taskraftv1.RemoveWorkerRequest) (*taskraftv1.RemoveWorkerResponse, error) {
	_, pos, err := s.operate(ctx, req.GetWorkerId(), req.GetCall(), &fsmpb.Command{Kind: &fsmpb.Command_RemoveWorker{
		RemoveWorker: &fsmpb.RemoveWorker{Worker: req.GetWorkerId(), Force: req.GetForce()},
	}})
	if err != nil {
		return nil, err
	}
	return &taskraftv1.RemoveWorkerResponse{Position: s.position(pos)}, nil
}

// operate proposes an operator's command about a worker.
func (s *Server) operate(ctx context.Context, worker string, call *taskraftv1.Call, cmd *fsmpb.Command) (fsm.Outcome, cluster.Position, error) {
	var v violations
	v.workerID("worker_id", worker)
	who := command(ctx, &v, call)
	if err := v.err(); err != nil {
		return 0, cluster.Position{}, err
	}
	cmd.Principal, cmd.Call = who.Principal, who.Call
	res, pos, err := s.node.Propose(ctx, cmd)
	switch {
	case err != nil:
		return 0, pos, s.statusOf(err)
	case res.Outcome != fsm.Accepted && res.Outcome != fsm.Duplicate:
		return 0, pos, refusal(res.Outcome, map[string]string{"worker": worker})
	}
	return res.Outcome, pos, nil
}
