package rpc

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxPatience = 30 * 24 * time.Hour
	maxRequire  = 1_000_000
)

// broadcast checks a broadcast's options.
func (v *violations) broadcast(field string, in *taskraftv1.BroadcastSpec) *fsmpb.BroadcastSpec {
	if in == nil {
		return nil
	}
	if n := in.GetRequire(); n > maxRequire {
		v.add(field+".require", "got %d, want 0 (all) to %d", n, maxRequire)
	}
	out := &fsmpb.BroadcastSpec{
		Selector: v.require(field+".selector", in.GetSelector()), Require: in.GetRequire(), Late: in.GetLateJoiners(),
	}
	if d := in.GetDeadline(); d != nil {
		out.Patience = v.duration(field+".deadline", d, time.Millisecond, maxPatience)
	}
	return out
}

// GetBroadcast returns a broadcast and a page of its targets.
func (s *Server) GetBroadcast(ctx context.Context, req *taskraftv1.GetBroadcastRequest) (*taskraftv1.GetBroadcastResponse, error) {
	var v violations
	v.id(req.GetId())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	size := v.pageSize(req.GetPageSize())
	after := v.targetToken(req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	var whole *fsm.Task
	var known bool
	out := &taskraftv1.GetBroadcastResponse{}
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		whole, known = m.Task(req.GetId())
		if whole == nil {
			return
		}
		bytes := 0
		for t := range m.Targets(whole.ID, after) {
			if len(out.Targets) == size || bytes > maxPageSize {
				out.NextPageToken = targetToken(after)
				return
			}
			after = t.ID
			row := target(m, t)
			bytes += proto.Size(row)
			out.Targets = append(out.Targets, row)
		}
	})
	switch {
	case err != nil:
		return nil, s.statusOf(err)
	case whole == nil:
		return nil, missing(req.GetId(), known)
	case whole.Extra == nil || whole.Extra.Broadcast == nil:
		return nil, statusError(codes.FailedPrecondition, reason.NotBroadcast, "the task is not a broadcast", map[string]string{"id": strconv.FormatUint(whole.ID, 10)})
	}
	out.Task, out.Position = task(whole, true), s.position(pos)
	return out, nil
}

// target converts one target as it stands in m.
func target(m *fsm.Machine, t *fsm.Task) *taskraftv1.Target {
	x := t.Extra.Target
	out := &taskraftv1.Target{
		WorkerId: x.Worker, State: targetState(m, t), Task: t.ID, Attempts: t.Attempts, Failures: t.Failures, Fence: t.Fence,
		Result: t.Result, ResultContentType: t.ResultContentType, Error: t.Error, Reason: t.Reason,
		StartTime: timestamp(t.StartedAt), FinishTime: timestamp(t.FinishedAt),
	}
	if n := len(t.Ended); out.Fence == 0 && n > 0 {
		out.Fence = t.Ended[n-1].Fence
	}
	return out
}

func targetState(m *fsm.Machine, t *fsm.Task) taskraftv1.TargetState {
	switch {
	case t.State == fsm.Succeeded:
		return taskraftv1.TargetState_TARGET_ACKED
	case t.State == fsm.Cancelled && t.Reason == fsm.ReasonGone:
		return taskraftv1.TargetState_TARGET_GONE
	case t.State.Terminal():
		return taskraftv1.TargetState_TARGET_FAILED
	case m.SessionOf(t.Extra.Target.Worker) == nil:
		return taskraftv1.TargetState_TARGET_GONE
	case t.State == fsm.Running || t.State == fsm.Stopping:
		return taskraftv1.TargetState_TARGET_DELIVERED
	}
	return taskraftv1.TargetState_TARGET_PENDING
}

// setExtra adds what few tasks have.
func setExtra(out *taskraftv1.Task, x *fsm.Extra) {
	out.Schedule, out.FireTime = x.Schedule, timestamp(x.FireTime)
	if b := x.Broadcast; b != nil {
		spec := &taskraftv1.BroadcastSpec{Require: b.Require, Deadline: duration(b.Patience), LateJoiners: b.Late}
		for _, label := range b.Selector {
			if spec.Selector == nil {
				spec.Selector = make(map[string]string)
			}
			spec.Selector[label.Key] = label.Value
		}
		out.Spec.Broadcast = spec
		out.Broadcast = &taskraftv1.BroadcastState{
			Targets: b.Targets, Acked: b.Acked, Failed: b.Failed, Open: b.Open(), Deadline: timestamp(b.Until),
		}
	}
	if t := x.Target; t != nil {
		out.TargetOf = &taskraftv1.TargetOf{Broadcast: t.Broadcast, WorkerId: t.Worker, Deadline: timestamp(t.Until)}
	}
}

// A token of targets is the task id of the last one seen.
func targetToken(after uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(after, 10)))
}

func (v *violations) targetToken(token string) uint64 {
	if token == "" {
		return 0
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		var after uint64
		if after, err = strconv.ParseUint(string(text), 10, 64); err == nil {
			return after
		}
	}
	v.add("page_token", "not a token of this list: start again without one")
	return 0
}
