package client

import (
	"context"
	"math"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Schedule is a rule that submits tasks. What is zero takes its default.
type Schedule struct {
	Name     string
	Cron     string // five fields, @daily and the like, or @every DURATION
	TimeZone string // a name of the tz database; default UTC
	Task     Task   // without RunAt and RequestID

	Misfire     taskraftv1.MisfirePolicy // default MISFIRE_LAST
	MaxMisfires int                      // with MISFIRE_ALL: 1…1,000, default 10
	Overlap     taskraftv1.OverlapPolicy // default OVERLAP_ALLOW

	Replace bool // a schedule of this name gets the new rule
	Paused  bool // make it, but do not let it fire yet
}

// ScheduleReceipt says that a schedule is on a majority's disks.
type ScheduleReceipt struct {
	Schedule *taskraftv1.Schedule // with its next five fire times
	Existing bool                 // it was there and says the same
	Warning  string               // for example that it never fires
}

// CreateSchedule makes a schedule. The same schedule again is no error.
func (c *Client) CreateSchedule(ctx context.Context, s Schedule) (ScheduleReceipt, error) {
	const op = "create schedule"
	bad := checkText(s.Task.check("spec.task."), "name", s.Name, "spec.cron", s.Cron, "spec.time_zone", s.TimeZone)
	if bad != nil {
		return ScheduleReceipt{}, invalid(op, bad...)
	}
	req := taskraftv1.CreateScheduleRequest{Name: s.Name, Replace: s.Replace, Paused: s.Paused, Spec: &taskraftv1.ScheduleSpec{
		Cron: s.Cron, TimeZone: s.TimeZone, Task: s.Task.spec(), Misfire: s.Misfire, Overlap: s.Overlap,
		MaxMisfires: int32(min(max(s.MaxMisfires, math.MinInt32), math.MaxInt32)),
	}}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.CreateScheduleResponse, error) {
		req.Call = call
		return taskraftv1.NewScheduleServiceClient(conn).CreateSchedule(ctx, &req)
	})
	return ScheduleReceipt{Schedule: resp.GetSchedule(), Existing: resp.GetExisting(), Warning: resp.GetWarning()}, err
}

// Schedule returns one schedule with its next fire times: so many (0: five; at
// most 100).
func (c *Client) Schedule(ctx context.Context, name string, next int, opts ...ReadOption) (*taskraftv1.Schedule, error) {
	const op = "get schedule"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	req := &taskraftv1.GetScheduleRequest{
		Name: name, Next: int32(min(max(next, math.MinInt32), math.MaxInt32)), Consistency: o.consistency, MinIndex: o.minIndex,
	}
	resp, err := read(ctx, c, op, o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.GetScheduleResponse, error) {
		return taskraftv1.NewScheduleServiceClient(conn).GetSchedule(ctx, req)
	})
	return resp.GetSchedule(), err
}

// Schedules returns all schedules, each with its next fire time, by name.
func (c *Client) Schedules(ctx context.Context, opts ...ReadOption) ([]*taskraftv1.Schedule, error) {
	o := readOptionsOf(taskraftv1.Consistency_LINEARIZABLE, opts)
	var all []*taskraftv1.Schedule
	for token := ""; ; {
		resp, err := read(ctx, c, "list schedules", o, func(ctx context.Context, conn grpc.ClientConnInterface) (*taskraftv1.ListSchedulesResponse, error) {
			return taskraftv1.NewScheduleServiceClient(conn).ListSchedules(ctx, &taskraftv1.ListSchedulesRequest{
				PageSize: listPage, PageToken: token, Consistency: o.consistency, MinIndex: o.minIndex,
			})
		})
		if err != nil {
			return nil, err
		}
		all = append(all, resp.GetSchedules()...)
		if token = resp.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// PauseSchedule stops a schedule from firing; its tasks go on.
func (c *Client) PauseSchedule(ctx context.Context, name string) (*taskraftv1.Schedule, error) {
	const op = "pause schedule"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.PauseScheduleResponse, error) {
		return taskraftv1.NewScheduleServiceClient(conn).PauseSchedule(ctx, &taskraftv1.PauseScheduleRequest{Name: name, Call: call})
	})
	return resp.GetSchedule(), err
}

// ResumeSchedule lets a paused schedule go on from now.
func (c *Client) ResumeSchedule(ctx context.Context, name string) (*taskraftv1.Schedule, error) {
	const op = "resume schedule"
	if bad := checkText(nil, "name", name); bad != nil {
		return nil, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.ResumeScheduleResponse, error) {
		return taskraftv1.NewScheduleServiceClient(conn).ResumeSchedule(ctx, &taskraftv1.ResumeScheduleRequest{Name: name, Call: call})
	})
	return resp.GetSchedule(), err
}

// TriggerSchedule submits a schedule's task now and returns its id. Its overlap
// policy holds.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (uint64, error) {
	const op = "trigger schedule"
	if bad := checkText(nil, "name", name); bad != nil {
		return 0, invalid(op, bad...)
	}
	resp, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.TriggerScheduleResponse, error) {
		return taskraftv1.NewScheduleServiceClient(conn).TriggerSchedule(ctx, &taskraftv1.TriggerScheduleRequest{Name: name, Call: call})
	})
	return resp.GetTask(), err
}

// DeleteSchedule forgets a schedule; its tasks go on.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	const op = "delete schedule"
	if bad := checkText(nil, "name", name); bad != nil {
		return invalid(op, bad...)
	}
	_, err := change(ctx, c, op, func(ctx context.Context, conn grpc.ClientConnInterface, call *taskraftv1.Call) (*taskraftv1.DeleteScheduleResponse, error) {
		return taskraftv1.NewScheduleServiceClient(conn).DeleteSchedule(ctx, &taskraftv1.DeleteScheduleRequest{Name: name, Call: call})
	})
	return err
}
