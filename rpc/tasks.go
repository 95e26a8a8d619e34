package rpc

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	defaultWait = 30 * time.Second
	maxWait     = 60 * time.Second
	clientID    = 16 // bytes
	maxReason   = 256
)

// SubmitTask accepts one task.
func (s *Server) SubmitTask(ctx context.Context, req *taskraftv1.SubmitTaskRequest) (*taskraftv1.SubmitTaskResponse, error) {
	var v violations
	spec := s.spec(&v, "", req.GetTask())
	if len(req.GetTask().GetAfterItems()) > 0 {
		v.add("after_items", "a single task has no others in its call: name its parents by id in after")
	}
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	specs := []*fsmpb.TaskSpec{spec}
	cmd.Kind = &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs}}
	traced := s.accept(ctx)
	traced.stamp([]*taskraftv1.TaskSpec{req.GetTask()}, specs)
	res, pos, err := s.submit(ctx, cmd)
	traced.end(res, err)
	if err != nil {
		return nil, err
	}
	return &taskraftv1.SubmitTaskResponse{Id: res.IDs[0], Existing: existing(res, 0), Position: s.position(pos)}, nil
}

// SubmitTasks accepts a batch, whole or not at all.
func (s *Server) SubmitTasks(ctx context.Context, req *taskraftv1.SubmitTasksRequest) (*taskraftv1.SubmitTasksResponse, error) {
	var v violations
	specs := s.specs(&v, req)
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	cmd.Kind = &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs}}
	traced := s.accept(ctx)
	traced.stamp(req.GetTasks(), specs)
	res, pos, err := s.submit(ctx, cmd)
	traced.end(res, err)
	if err != nil {
		return nil, err
	}
	out := &taskraftv1.SubmitTasksResponse{Ids: res.IDs, Position: s.position(pos)}
	for i := range res.Outcomes {
		if existing(res, i) {
			if out.Existing == nil {
				out.Existing = make([]bool, len(res.IDs))
			}
			out.Existing[i] = true
		}
	}
	return out, nil
}

// submit proposes and turns a refusal of the whole into a status.
func (s *Server) submit(ctx context.Context, cmd *fsmpb.Command) (fsm.Result, cluster.Position, error) {
	res, pos, err := s.node.Propose(ctx, cmd)
	switch {
	case err != nil:
		return res, pos, s.statusOf(err)
	case res.Outcome == fsm.Accepted || res.Outcome == fsm.Existing:
		return res, pos, nil
	case res.Outcome == fsm.NoParent:
		return res, pos, noParent(res, 0)
	case res.Outcome == fsm.DependencyCycle:
		return res, pos, cycle(res.IDs)
	case res.Outcome == fsm.QueueFull || res.Outcome == fsm.UniqueKeyTaken:
		i := slices.Index(res.Outcomes, res.Outcome)
		return res, pos, obstructed(res.Outcome, i, res.IDs[i], cmd.GetSubmit().GetTasks()[i].GetQueue())
	}
	var meta map[string]string
	for i, o := range res.Outcomes {
		if o == fsm.RequestIDConflict && i < len(res.IDs) {
			meta = map[string]string{"id": strconv.FormatUint(res.IDs[i], 10), "item": strconv.Itoa(i)}
			break
		}
	}
	return res, pos, refusal(res.Outcome, meta)
}

func existing(res fsm.Result, i int) bool {
	return i < len(res.Outcomes) && res.Outcomes[i] == fsm.Existing
}

// GetTask returns one task.
func (s *Server) GetTask(ctx context.Context, req *taskraftv1.GetTaskRequest) (*taskraftv1.GetTaskResponse, error) {
	var v violations
	v.id(req.GetId())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	if err := v.err(); err != nil {
		return nil, err
	}
	var found *fsm.Task
	var known bool
	var waits int
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		found, known = m.Task(req.GetId())
		waits = m.Awaits(req.GetId())
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	if found == nil {
		return nil, missing(req.GetId(), known)
	}
	out := s.lively(found, true)
	out.WaitsFor = uint32(waits)
	return &taskraftv1.GetTaskResponse{Task: out, Position: s.position(pos)}, nil
}

// WaitTask returns the task when it is terminal, or as it is when the time is up.
func (s *Server) WaitTask(ctx context.Context, req *taskraftv1.WaitTaskRequest) (*taskraftv1.WaitTaskResponse, error) {
	var v violations
	v.id(req.GetId())
	wait := time.Duration(v.duration("timeout", req.GetTimeout(), 0, 100*year))
	if err := v.err(); err != nil {
		return nil, err
	}
	if req.GetTimeout() == nil {
		wait = defaultWait
	}
	t, known, pos, err := s.node.WaitTask(ctx, req.GetId(), min(wait, maxWait))
	if err != nil {
		return nil, s.statusOf(err)
	}
	if t == nil {
		return nil, missing(req.GetId(), known)
	}
	return &taskraftv1.WaitTaskResponse{Task: s.lively(t, true), Done: t.State.Terminal(), Position: s.position(pos)}, nil
}

// CancelTask cancels a waiting task at once and asks a running one to stop.
func (s *Server) CancelTask(ctx context.Context, req *taskraftv1.CancelTaskRequest) (*taskraftv1.CancelTaskResponse, error) {
	var v violations
	v.id(req.GetId())
	v.text("reason", req.GetReason(), maxReason)
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	cmd.Kind = &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{req.GetId()}, Reason: req.GetReason()}}
	o, t, pos, err := s.decide(ctx, cmd, req.GetId())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.CancelTaskResponse{Outcome: outcome(o), Task: t, Position: pos}, nil
}

// RetryTask starts a new generation of a DEAD or CANCELLED task.
func (s *Server) RetryTask(ctx context.Context, req *taskraftv1.RetryTaskRequest) (*taskraftv1.RetryTaskResponse, error) {
	var v violations
	v.id(req.GetId())
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	cmd.Kind = &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: []uint64{req.GetId()}}}
	_, t, pos, err := s.decide(ctx, cmd, req.GetId())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.RetryTaskResponse{Task: t, Position: pos}, nil
}

// DeleteTask removes the record of a task that has ended.
func (s *Server) DeleteTask(ctx context.Context, req *taskraftv1.DeleteTaskRequest) (*taskraftv1.DeleteTaskResponse, error) {
	var v violations
	v.id(req.GetId())
	cmd := command(ctx, &v, req.GetCall())
	if err := v.err(); err != nil {
		return nil, err
	}
	cmd.Kind = &fsmpb.Command_Delete{Delete: &fsmpb.Delete{Tasks: []uint64{req.GetId()}}}
	_, _, pos, err := s.decide(ctx, cmd, req.GetId())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.DeleteTaskResponse{Position: pos}, nil
}

// decide proposes a command about one task and returns its outcome and record.
func (s *Server) decide(ctx context.Context, cmd *fsmpb.Command, id uint64) (fsm.Outcome, *taskraftv1.Task, *taskraftv1.Position, error) {
	res, pos, err := s.node.Propose(ctx, cmd)
	if err != nil {
		return 0, nil, nil, s.statusOf(err)
	}
	o := res.Outcome
	if len(res.Outcomes) == 1 {
		o = res.Outcomes[0]
	}
	if _, refused := refusals[o]; refused {
		return 0, nil, nil, refusal(o, map[string]string{"id": strconv.FormatUint(id, 10)})
	}
	var t *fsm.Task
	if _, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) { t, _ = m.Task(id) }); err != nil {
		return 0, nil, nil, s.statusOf(err)
	}
	return o, task(t, true), s.position(pos), nil
}

func missing(id uint64, known bool) error {
	meta := map[string]string{"id": strconv.FormatUint(id, 10)}
	if known {
		return refusal(fsm.Forgotten, meta)
	}
	return refusal(fsm.UnknownTask, meta)
}

func (v *violations) id(id uint64) {
	if id == 0 {
		v.add("id", "missing, want a task id of 1 or more")
	}
}

func (v *violations) consistency(c taskraftv1.Consistency, unset cluster.Level) cluster.Level {
	switch c {
	case taskraftv1.Consistency_CONSISTENCY_UNSPECIFIED:
		return unset
	case taskraftv1.Consistency_LINEARIZABLE:
		return cluster.Linearizable
	case taskraftv1.Consistency_STALE:
		return cluster.Stale
	}
	v.add("consistency", "unknown value %d, want LINEARIZABLE or STALE", c)
	return unset
}

// command starts a command with who asked and, when given, the call's identity.
func command(ctx context.Context, v *violations, call *taskraftv1.Call) *fsmpb.Command {
	if call == nil {
		return &fsmpb.Command{Principal: "client:" + remote(ctx)}
	}
	switch {
	case len(call.GetClientId()) != clientID:
		v.add("call.client_id", "got %d bytes, want %d", len(call.GetClientId()), clientID)
		return &fsmpb.Command{}
	case call.GetSeq() == 0:
		v.add("call.seq", "got 0, want 1 or more")
	case call.GetAckedBelow() > call.GetSeq():
		v.add("call.acked_below", "got %d, want at most seq %d", call.GetAckedBelow(), call.GetSeq())
	}
	return &fsmpb.Command{
		Principal: "client:" + hex.EncodeToString(call.GetClientId()[:4]),
		Call: &fsmpb.Call{
			Client: call.GetClientId(), Seq: call.GetSeq(), AckedBelow: call.GetAckedBelow(), Repeat: call.GetRepeat(),
		},
	}
}

func remote(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}
