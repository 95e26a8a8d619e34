package rpc

import (
	"context"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// GetQueue returns one queue's settings and counters.
func (s *Server) GetQueue(ctx context.Context, req *taskraftv1.GetQueueRequest) (*taskraftv1.GetQueueResponse, error) {
	var v violations
	v.queue("name", req.GetName())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	if err := v.err(); err != nil {
		return nil, err
	}
	var q *fsm.Queue
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		q = m.Queue(req.GetName())
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	if q == nil {
		return nil, refusal(fsm.NoQueue, map[string]string{"queue": req.GetName()})
	}
	return &taskraftv1.GetQueueResponse{Queue: queue(q), Position: s.position(pos)}, nil
}

// PauseQueue stops assignments from a queue; running tasks go on.
func (s *Server) PauseQueue(ctx context.Context, req *taskraftv1.PauseQueueRequest) (*taskraftv1.PauseQueueResponse, error) {
	q, pos, err := s.setQueue(ctx, req.GetName(), req.GetCall(), &fsmpb.SetQueue{Paused: new(true)}, nil)
	if err != nil {
		return nil, err
	}
	return &taskraftv1.PauseQueueResponse{Queue: q, Position: pos}, nil
}

// ResumeQueue lets a paused queue be assigned from again.
func (s *Server) ResumeQueue(ctx context.Context, req *taskraftv1.ResumeQueueRequest) (*taskraftv1.ResumeQueueResponse, error) {
	q, pos, err := s.setQueue(ctx, req.GetName(), req.GetCall(), &fsmpb.SetQueue{Paused: new(false)}, nil)
	if err != nil {
		return nil, err
	}
	return &taskraftv1.ResumeQueueResponse{Queue: q, Position: pos}, nil
}

// UpdateQueue changes a queue's settings.
func (s *Server) UpdateQueue(ctx context.Context, req *taskraftv1.UpdateQueueRequest) (*taskraftv1.UpdateQueueResponse, error) {
	var v violations
	set, unset := v.settings(req.GetSettings(), req.GetUpdateMask())
	q, pos, err := s.setQueue(ctx, req.GetName(), req.GetCall(), &fsmpb.SetQueue{Settings: set, Unset: unset}, v)
	if err != nil {
		return nil, err
	}
	return &taskraftv1.UpdateQueueResponse{Queue: q, Position: pos}, nil
}

// setQueue checks the name, proposes the change and returns the queue after it.
func (s *Server) setQueue(ctx context.Context, name string, call *taskraftv1.Call, set *fsmpb.SetQueue, v violations) (*taskraftv1.Queue, *taskraftv1.Position, error) {
	v.queue("name", name)
	cmd := command(ctx, &v, call)
	if err := v.err(); err != nil {
		return nil, nil, err
	}
	set.Queue = name
	cmd.Kind = &fsmpb.Command_SetQueue{SetQueue: set}
	res, pos, err := s.node.Propose(ctx, cmd)
	if err != nil {
		return nil, nil, s.statusOf(err)
	}
	if res.Outcome != fsm.Accepted {
		return nil, nil, refusal(res.Outcome, map[string]string{"queue": name})
	}
	var q *fsm.Queue
	if _, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) { q = m.Queue(name) }); err != nil {
		return nil, nil, s.statusOf(err)
	}
	return queue(q), s.position(pos), nil
}
