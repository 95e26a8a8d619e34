package rpc

import (
	"context"
	"encoding/base64"
	"strconv"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	defaultNext        = 5 // fire times shown
	maxNext            = 100
	defaultMaxMisfires = 10
)

// CreateSchedule makes a schedule, or replaces one when asked to.
func (s *Server) CreateSchedule(ctx context.Context, req *taskraftv1.CreateScheduleRequest) (*taskraftv1.CreateScheduleResponse, error) {
	var v violations
	set := s.scheduleSpec(&v, req.GetSpec())
	set.Schedule, set.Replace, set.Paused = req.GetName(), req.GetReplace(), req.GetPaused()
	cmd := command(ctx, &v, req.GetCall())
	cmd.Kind = &fsmpb.Command_SetSchedule{SetSchedule: set}
	res, sched, pos, err := s.changeSchedule(ctx, v, cmd, req.GetName())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.CreateScheduleResponse{
		Schedule: sched, Existing: res.Outcome == fsm.Existing, Warning: neverFires(set), Position: pos,
	}, nil
}

// GetSchedule returns one schedule with its next fire times.
func (s *Server) GetSchedule(ctx context.Context, req *taskraftv1.GetScheduleRequest) (*taskraftv1.GetScheduleResponse, error) {
	var v violations
	v.queue("name", req.GetName())
	level := v.consistency(req.GetConsistency(), cluster.Linearizable)
	n := int(req.GetNext())
	if n < 0 || n > maxNext {
		v.add("next", "got %d, want 0 to %d", n, maxNext)
	}
	if n == 0 {
		n = defaultNext
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	var found *fsm.Schedule
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		found = m.Schedule(req.GetName())
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	if found == nil {
		return nil, refusal(fsm.NoSchedule, map[string]string{"schedule": req.GetName()})
	}
	return &taskraftv1.GetScheduleResponse{Schedule: schedule(found, n), Position: s.position(pos)}, nil
}

// ListSchedules returns one page of schedules by name.
func (s *Server) ListSchedules(ctx context.Context, req *taskraftv1.ListSchedulesRequest) (*taskraftv1.ListSchedulesResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	after := v.namePage(req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	var page []*fsm.Schedule
	out := &taskraftv1.ListSchedulesResponse{}
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		for c := range m.SchedulesAfter(after) {
			if len(page) == size {
				out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(page[size-1].Name))
				return
			}
			page = append(page, c)
		}
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	for _, c := range page {
		out.Schedules = append(out.Schedules, schedule(c, 1))
	}
	out.Position = s.position(pos)
	return out, nil
}

// PauseSchedule stops a schedule from firing.
func (s *Server) PauseSchedule(ctx context.Context, req *taskraftv1.PauseScheduleRequest) (*taskraftv1.PauseScheduleResponse, error) {
	c, pos, err := s.setPaused(ctx, req.GetName(), req.GetCall(), true)
	if err != nil {
		return nil, err
	}
	return &taskraftv1.PauseScheduleResponse{Schedule: c, Position: pos}, nil
}

// ResumeSchedule lets a paused schedule go on from now.
func (s *Server) ResumeSchedule(ctx context.Context, req *taskraftv1.ResumeScheduleRequest) (*taskraftv1.ResumeScheduleResponse, error) {
	c, pos, err := s.setPaused(ctx, req.GetName(), req.GetCall(), false)
	if err != nil {
		return nil, err
	}
	return &taskraftv1.ResumeScheduleResponse{Schedule: c, Position: pos}, nil
}

func (s *Server) setPaused(ctx context.Context, name string, call *taskraftv1.Call, paused bool) (*taskraftv1.Schedule, *taskraftv1.Position, error) {
	var v violations
	cmd := command(ctx, &v, call)
	cmd.Kind = &fsmpb.Command_PauseSchedule{PauseSchedule: &fsmpb.PauseSchedule{Schedule: name, Paused: paused}}
	_, c, pos, err := s.changeSchedule(ctx, v, cmd, name)
	return c, pos, err
}

// TriggerSchedule submits a schedule's task now.
func (s *Server) TriggerSchedule(ctx context.Context, req *taskraftv1.TriggerScheduleRequest) (*taskraftv1.TriggerScheduleResponse, error) {
	var v violations
	cmd := command(ctx, &v, req.GetCall())
	cmd.Kind = &fsmpb.Command_TriggerSchedule{TriggerSchedule: &fsmpb.TriggerSchedule{Schedule: req.GetName()}}
	res, _, pos, err := s.changeSchedule(ctx, v, cmd, req.GetName())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.TriggerScheduleResponse{Task: res.IDs[0], Position: pos}, nil
}

// DeleteSchedule forgets a schedule.
func (s *Server) DeleteSchedule(ctx context.Context, req *taskraftv1.DeleteScheduleRequest) (*taskraftv1.DeleteScheduleResponse, error) {
	var v violations
	cmd := command(ctx, &v, req.GetCall())
	cmd.Kind = &fsmpb.Command_DeleteSchedule{DeleteSchedule: &fsmpb.DeleteSchedule{Schedule: req.GetName()}}
	_, _, pos, err := s.changeSchedule(ctx, v, cmd, req.GetName())
	if err != nil {
		return nil, err
	}
	return &taskraftv1.DeleteScheduleResponse{Position: pos}, nil
}

// changeSchedule checks the name, proposes the change and returns the schedule
// after it, nil when it is gone.
func (s *Server) changeSchedule(ctx context.Context, v violations, cmd *fsmpb.Command, name string) (res fsm.Result, c *taskraftv1.Schedule, at *taskraftv1.Position, err error) {
	v.queue("name", name)
	if err := v.err(); err != nil {
		return res, nil, nil, err
	}
	res, pos, err := s.node.Propose(ctx, cmd)
	if err != nil {
		return res, nil, nil, s.statusOf(err)
	}
	if res.Outcome != fsm.Accepted && res.Outcome != fsm.Existing && res.Outcome != fsm.Duplicate {
		meta := map[string]string{"schedule": name}
		if len(res.IDs) == 1 && res.IDs[0] != 0 {
			meta["id"] = strconv.FormatUint(res.IDs[0], 10)
		}
		return res, nil, nil, refusal(res.Outcome, meta)
	}
	var after *fsm.Schedule
	if _, err := s.node.Read(ctx, cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) { after = m.Schedule(name) }); err != nil {
		return res, nil, nil, s.statusOf(err)
	}
	return res, schedule(after, defaultNext), s.position(pos), nil
}
