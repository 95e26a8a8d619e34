package rpc_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func createRequest(name, cron string) *taskraftv1.CreateScheduleRequest {
	return &taskraftv1.CreateScheduleRequest{Name: name, Spec: &taskraftv1.ScheduleSpec{Cron: cron, Task: &spec{Queue: "q"}}}
}

func TestBadSchedules(t *testing.T) {
	m := startMaster(t)
	c := taskraftv1.NewScheduleServiceClient(m.conn)
	with := func(change func(*taskraftv1.ScheduleSpec)) *taskraftv1.CreateScheduleRequest {
		r := createRequest("s", "@daily")
		change(r.Spec)
		return r
	}
	for _, tt := range []struct {
		row, name, field string
		req              *taskraftv1.CreateScheduleRequest
	}{
		{"E24", "six fields", "spec.cron", createRequest("s", "* * * * * *")},
		{"E24", "minute 61", "spec.cron", createRequest("s", "61 * * * *")},
		{"E24", "every nanosecond", "spec.cron", createRequest("s", "@every 1ns")},
		{"E24", "reboot", "spec.cron", createRequest("s", "@reboot")},
		{"A26", "zone", "spec.time_zone", with(func(s *taskraftv1.ScheduleSpec) { s.TimeZone = "Mars/Base" })},
		{"", "name", "name", createRequest("../x", "@daily")},
		{"", "no spec", "spec", &taskraftv1.CreateScheduleRequest{Name: "s"}},
		{"", "no task", "spec.task", with(func(s *taskraftv1.ScheduleSpec) { s.Task = nil })},
		{"", "bad task", "spec.task.queue", with(func(s *taskraftv1.ScheduleSpec) { s.Task.Queue = "Ä" })},
		{"", "time of the task", "spec.task.run_at", with(func(s *taskraftv1.ScheduleSpec) {
			s.Task.Start = &taskraftv1.TaskSpec_RunAt{RunAt: timestamppb.Now()}
		})},
		{"", "request id", "spec.task.request_id", with(func(s *taskraftv1.ScheduleSpec) { s.Task.RequestId = "r" })},
		{"", "parents", "spec.task.after", with(func(s *taskraftv1.ScheduleSpec) { s.Task.After = []uint64{1} })},
		{"", "follow-ups", "spec.task.on_success", with(func(s *taskraftv1.ScheduleSpec) { s.Task.OnSuccess = []*taskraftv1.TaskSpec{{}} })},
		{"E12", "misfire policy", "spec.misfire", with(func(s *taskraftv1.ScheduleSpec) { s.Misfire = 99 })},
		{"E12", "overlap policy", "spec.overlap", with(func(s *taskraftv1.ScheduleSpec) { s.Overlap = 99 })},
		{"", "max without all", "spec.max_misfires", with(func(s *taskraftv1.ScheduleSpec) { s.MaxMisfires = 3 })},
		{"", "max", "spec.max_misfires", with(func(s *taskraftv1.ScheduleSpec) {
			s.Misfire, s.MaxMisfires = taskraftv1.MisfirePolicy_MISFIRE_ALL, 1001
		})},
	} {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			_, err := c.CreateSchedule(t.Context(), tt.req)
			refused(t, err, codes.InvalidArgument, reason.InvalidField, tt.field)
		})
	}
	t.Run("E24 30 February", func(t *testing.T) {
		resp, err := c.CreateSchedule(t.Context(), createRequest("never", "0 0 30 2 *"))
		if err != nil || resp.GetWarning() != "0 0 30 2 * never fires in the next 10 years" || len(resp.GetSchedule().GetNextTimes()) != 0 {
			t.Errorf("got %v, %v", resp, err)
		}
	})
	_, err := c.GetSchedule(t.Context(), &taskraftv1.GetScheduleRequest{Name: "s", Next: 101})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "next")
	_, err = c.ListSchedules(t.Context(), &taskraftv1.ListSchedulesRequest{PageToken: "///"})
	refused(t, err, codes.InvalidArgument, reason.InvalidField, "page_token")
	for name, call := range map[string]func() error{
		"get": func() error {
			_, err := c.GetSchedule(t.Context(), &taskraftv1.GetScheduleRequest{Name: "s"})
			return err
		},
		"pause": func() error {
			_, err := c.PauseSchedule(t.Context(), &taskraftv1.PauseScheduleRequest{Name: "s"})
			return err
		},
		"trigger": func() error {
			_, err := c.TriggerSchedule(t.Context(), &taskraftv1.TriggerScheduleRequest{Name: "s"})
			return err
		},
		"delete": func() error {
			_, err := c.DeleteSchedule(t.Context(), &taskraftv1.DeleteScheduleRequest{Name: "s"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { refused(t, call(), codes.NotFound, reason.ScheduleNotFound, "") })
	}
}

func TestScheduleLife(t *testing.T) {
	m := startMaster(t)
	c := taskraftv1.NewScheduleServiceClient(m.conn)
	ctx := t.Context()
	req := createRequest("s", "@every 1s")
	req.Spec.Overlap = taskraftv1.OverlapPolicy_OVERLAP_SKIP
	req.Spec.Task.Kind, req.Spec.Task.Timeout = "poll", durationpb.New(time.Minute)
	made, err := c.CreateSchedule(ctx, req)
	if err != nil || made.GetExisting() || len(made.GetSchedule().GetNextTimes()) != 5 {
		t.Fatalf("create: %v, %v", made, err)
	}
	again, err := c.CreateSchedule(ctx, req)
	if err != nil || !again.GetExisting() || again.GetSchedule().GetVersion() != made.GetSchedule().GetVersion() {
		t.Errorf("the same again: %v, %v", again, err)
	}
	_, err = c.CreateSchedule(ctx, createRequest("s", "@daily"))
	refused(t, err, codes.AlreadyExists, reason.ScheduleExists, "")

	a := pull(t, m, "w1", 1, "q")
	first := made.GetSchedule().GetNextTimes()[0].AsTime()
	if a.GetSchedule() != "s" || a.GetFireTime().AsTime() != first {
		t.Errorf("the assignment is of %s at %s, want s at %s", a.GetSchedule(), a.GetFireTime().AsTime(), first)
	}
	got, err := m.GetTask(ctx, &taskraftv1.GetTaskRequest{Id: a.GetTask()})
	if err != nil || got.GetTask().GetSchedule() != "s" || got.GetTask().GetFireTime().AsTime() != first {
		t.Errorf("the task is %v, %v", got.GetTask(), err)
	}
	_, err = c.TriggerSchedule(ctx, &taskraftv1.TriggerScheduleRequest{Name: "s"})
	refused(t, err, codes.FailedPrecondition, reason.ScheduleBusy, "")

	paused, err := c.PauseSchedule(ctx, &taskraftv1.PauseScheduleRequest{Name: "s"})
	if err != nil || !paused.GetSchedule().GetPaused() || len(paused.GetSchedule().GetNextTimes()) != 0 {
		t.Errorf("pause: %v, %v", paused, err)
	}
	complete(t, m, "w1", a.GetTask(), a.GetFence(), "")
	triggered, err := c.TriggerSchedule(ctx, &taskraftv1.TriggerScheduleRequest{Name: "s"})
	if err != nil || triggered.GetTask() <= a.GetTask() {
		t.Errorf("trigger: %v, %v", triggered, err)
	}
	if b := pull(t, m, "w1", 2, "q"); b.GetTask() != triggered.GetTask() || b.GetFireTime() != nil {
		t.Errorf("after a trigger got %v", b)
	}
	resumed, err := c.ResumeSchedule(ctx, &taskraftv1.ResumeScheduleRequest{Name: "s"})
	if err != nil || resumed.GetSchedule().GetPaused() || len(resumed.GetSchedule().GetNextTimes()) != 5 {
		t.Errorf("resume: %v, %v", resumed, err)
	}
	replace := createRequest("s", "0 3 * * *")
	replace.Replace, replace.Spec.TimeZone = true, "Europe/Berlin"
	if now, err := c.CreateSchedule(ctx, replace); err != nil || now.GetSchedule().GetSpec().GetTimeZone() != "Europe/Berlin" ||
		now.GetSchedule().GetNextTimes()[0].AsTime().Minute() != 0 {
		t.Errorf("replace: %v, %v", now, err)
	}
	if _, err := c.CreateSchedule(ctx, createRequest("t", "@hourly")); err != nil {
		t.Fatal(err)
	}
	page, err := c.ListSchedules(ctx, &taskraftv1.ListSchedulesRequest{PageSize: 1})
	if err != nil || len(page.GetSchedules()) != 1 || page.GetSchedules()[0].GetName() != "s" {
		t.Fatalf("list: %v, %v", page, err)
	}
	page, err = c.ListSchedules(ctx, &taskraftv1.ListSchedulesRequest{PageSize: 1, PageToken: page.GetNextPageToken()})
	if err != nil || len(page.GetSchedules()) != 1 || page.GetSchedules()[0].GetName() != "t" || page.GetNextPageToken() != "" {
		t.Errorf("second page: %v, %v", page, err)
	}
	if _, err := c.DeleteSchedule(ctx, &taskraftv1.DeleteScheduleRequest{Name: "s"}); err != nil {
		t.Error(err)
	}
	_, err = c.GetSchedule(ctx, &taskraftv1.GetScheduleRequest{Name: "s"})
	refused(t, err, codes.NotFound, reason.ScheduleNotFound, "")
}
