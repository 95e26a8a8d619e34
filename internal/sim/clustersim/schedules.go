package clustersim

import (
	"context"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// schedules are those of a world that has some: one for each policy of misfires and
// of overlaps. Whoever leads evaluates their rules; the checker's model, which reads
// rules by itself, judges every fire time (S11).
var schedules = []*fsmpb.SetSchedule{
	{Schedule: "last", Cron: "@every 2s", Misfire: uint32(fsm.MisfireLast), Overlap: uint32(fsm.OverlapSkip)},
	{Schedule: "skip", Cron: "* * * * *", TimeZone: "Europe/Berlin", Misfire: uint32(fsm.MisfireSkip), Overlap: uint32(fsm.OverlapAllow)},
	{Schedule: "all", Cron: "@every 5s", Misfire: uint32(fsm.MisfireAll), MaxMisfires: 3, Overlap: uint32(fsm.OverlapCancelOld)},
}

// schedule makes the world's schedules.
func (c *submitter) schedule(ctx context.Context) {
	for _, s := range schedules {
		set := &fsmpb.SetSchedule{
			Schedule: s.Schedule, Cron: s.Cron, TimeZone: s.TimeZone, Misfire: s.Misfire, MaxMisfires: s.MaxMisfires, Overlap: s.Overlap,
			Task: &fsmpb.TaskSpec{Queue: "a", Kind: "k", ExpiresIn: int64(time.Minute)},
		}
		c.manage(ctx, &fsmpb.Command{Kind: &fsmpb.Command_SetSchedule{SetSchedule: set}})
	}
}

// reschedule pauses a schedule, or lets it go on, or submits its task now.
func (c *submitter) reschedule(ctx context.Context) {
	name := schedules[c.rng.IntN(len(schedules))].Schedule
	if c.rng.IntN(3) == 0 {
		c.manage(ctx, &fsmpb.Command{Kind: &fsmpb.Command_TriggerSchedule{TriggerSchedule: &fsmpb.TriggerSchedule{Schedule: name}}})
		return
	}
	pause := &fsmpb.PauseSchedule{Schedule: name, Paused: c.rng.IntN(3) == 0}
	c.manage(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PauseSchedule{PauseSchedule: pause}})
}

// unschedule deletes the world's schedules, so that it comes to rest.
func (c *submitter) unschedule(ctx context.Context) {
	for _, s := range schedules {
		c.manage(ctx, &fsmpb.Command{Kind: &fsmpb.Command_DeleteSchedule{DeleteSchedule: &fsmpb.DeleteSchedule{Schedule: s.Schedule}}})
	}
}

// manage has a command carried out, again if the table has forgotten the call.
func (c *submitter) manage(ctx context.Context, cmd *fsmpb.Command) {
	for {
		a, err := c.order(ctx, cmd)
		if err != nil || a.res.Outcome != fsm.CallForgotten {
			return
		}
		c.met("call forgotten")
	}
}

// fired counts the tasks that schedules have made.
func (j *journal) fired(v *fsm.Event) {
	if x := v.Task.Extra; v.Kind == fsm.TaskSubmitted && x != nil && x.Schedule != "" {
		j.w.met("schedule fired")
		if x.FireTime != 0 && v.Task.SubmittedAt-x.FireTime > fsm.MisfireAfter {
			j.w.met("misfire caught up")
		}
	}
}
