package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster/cron"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func (a *app) scheduleCommand() *cobra.Command {
	return a.group("schedule", "Submit tasks by cron rules that survive the masters",
		a.scheduleCreateCommand(), a.scheduleListCommand(), a.scheduleGetCommand(), a.scheduleNextCommand(),
		a.scheduleSwitchCommand("pause", "Stop schedules from firing; their tasks go on", (*client.Client).PauseSchedule),
		a.scheduleSwitchCommand("resume", "Let paused schedules go on from now", (*client.Client).ResumeSchedule),
		a.scheduleTriggerCommand(), a.scheduleDeleteCommand())
}

func (a *app) newScheduleList() *show.List[*taskraftv1.Schedule] {
	now := time.Now()
	type S = *taskraftv1.Schedule
	number := func(head string, get func(S) uint64) show.Column[S] {
		return show.Column[S]{Head: head, Right: true, Wide: true, Cell: func(s S) string { return strconv.FormatUint(get(s), 10) }}
	}
	return show.NewList(a.printer(), "schedules", S.GetName, []show.Column[S]{
		{Head: "SCHEDULE", Cell: S.GetName},
		{Head: "CRON", Cell: func(s S) string { return s.GetSpec().GetCron() }},
		{Head: "ZONE", Cell: func(s S) string { return orUTC(s.GetSpec().GetTimeZone()) }},
		{Head: "PAUSED", Cell: func(s S) string { return yes(s.GetPaused()) }, Tint: func(S) int { return show.Yellow }},
		{Head: "NEXT", Right: true, Cell: func(s S) string { return until(now, s) }},
		{Head: "LAST", Right: true, Cell: func(s S) string { return since(now, s.GetLastTime()) }},
		{Head: "LAST TASK", Right: true, Cell: func(s S) string { return nonZero(s.GetLastTask()) }},
		{Head: "FIRED", Right: true, Cell: func(s S) string { return strconv.FormatUint(s.GetFiredTotal(), 10) }},
		number("MISFIRES", S.GetMisfiresTotal), number("OVERLAPS", S.GetOverlapsTotal), number("REFUSED", S.GetRefusedTotal),
		{Head: "QUEUE", Wide: true, Cell: func(s S) string { return s.GetSpec().GetTask().GetQueue() }},
	})
}

func orUTC(zone string) string {
	if zone == "" {
		return "UTC"
	}
	return zone
}

// until is how long it is until a schedule fires.
func until(now time.Time, s *taskraftv1.Schedule) string {
	switch next := s.GetNextTimes(); {
	case len(next) > 0:
		if d := next[0].AsTime().Sub(now).Truncate(time.Second); d > 0 {
			return "in " + show.Duration(d)
		}
		return "now"
	case s.GetPaused():
		return ""
	}
	return "never"
}

func (a *app) scheduleListCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "list [flags]", short: "List schedules with their next fire time", rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				schedules, err := c.Schedules(ctx)
				if err != nil {
					return err
				}
				list := a.newScheduleList()
				for _, s := range schedules {
					if err := list.Add(s); err != nil {
						return err
					}
				}
				if len(schedules) == 0 && a.printer().People() {
					a.talk("no schedules: see taskraft schedule create --help")
				}
				return list.Close()
			})
		},
	})
}

func (a *app) scheduleGetCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "get SCHEDULE [flags]", short: "Show one schedule with its rule, task and counters",
		rows: a.dataRows(), args: scheduleArgs("get", 1),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				s, err := c.Schedule(ctx, args[0], 0)
				if err != nil {
					return err
				}
				return a.printSchedule(s)
			})
		},
	})
}

func (a *app) scheduleNextCommand() *cobra.Command {
	var count int
	rows := settings.Table{{Flag: "count", Arg: "N", Default: "5", Value: settings.Int(&count, 1, 100, nil), Doc: "so many times"}}
	return a.command(commandSpec{
		use: "next SCHEDULE [flags]", short: "Show when a schedule fires next",
		example: "  taskraft schedule next nightly --count 10",
		rows:    concat(rows, a.dataRows()), args: scheduleArgs("next", 1),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				s, err := c.Schedule(ctx, args[0], count)
				if err != nil {
					return err
				}
				return a.printTimes(s)
			})
		},
	})
}

// fireTime is one time to come, as -o json shows it.
type fireTime struct {
	Time  string `json:"time"`
	Local string `json:"local"`
}

// timesOf returns the times to come, also as the clocks of the schedule's zone
// show them.
func timesOf(s *taskraftv1.Schedule) []fireTime {
	zone, err := cron.Zone(s.GetSpec().GetTimeZone())
	if err != nil {
		zone = time.UTC
	}
	var out []fireTime
	for _, at := range s.GetNextTimes() {
		out = append(out, fireTime{at.AsTime().Format(time.RFC3339), at.AsTime().In(zone).Format("Mon 2006-01-02 15:04:05 MST")})
	}
	return out
}

func (a *app) printTimes(s *taskraftv1.Schedule) error {
	list := show.NewList(a.printer(), "times", func(t fireTime) string { return t.Time }, []show.Column[fireTime]{
		{Head: "NEXT", Cell: func(t fireTime) string { return t.Local }},
		{Head: "UTC", Cell: func(t fireTime) string { return t.Time }},
	})
	for _, t := range timesOf(s) {
		if err := list.Add(t); err != nil {
			return err
		}
	}
	if list.Count() == 0 && a.printer().People() {
		why := "its rule has no time to come"
		if s.GetPaused() {
			why = "it is paused"
		}
		a.talk("schedule %s does not fire: %s", s.GetName(), why)
	}
	return list.Close()
}

func (a *app) printSchedule(s *taskraftv1.Schedule) error {
	return a.printer().Object(s, s.GetName(), func(w io.Writer) error {
		spec := s.GetSpec()
		misfire := strings.ToLower(strings.TrimPrefix(spec.GetMisfire().String(), "MISFIRE_"))
		if n := spec.GetMaxMisfires(); n > 0 {
			misfire += fmt.Sprintf(", at most %d", n)
		}
		pairs := []string{
			"schedule", s.GetName(),
			"cron", spec.GetCron() + " in " + orUTC(spec.GetTimeZone()),
			"paused", yes(s.GetPaused()),
			"misfires", misfire,
			"overlap", strings.ToLower(strings.TrimPrefix(spec.GetOverlap().String(), "OVERLAP_")),
			"queue", spec.GetTask().GetQueue(),
			"kind", show.Clean(spec.GetTask().GetKind()),
			"payload", describeBytes(spec.GetTask().GetPayload(), spec.GetTask().GetContentType()),
			"fired", fmt.Sprintf("%d, %d left out as misfires, %d because of an overlap, %d refused", s.GetFiredTotal(), s.GetMisfiresTotal(), s.GetOverlapsTotal(), s.GetRefusedTotal()),
			"last time", stamp(s.GetLastTime()),
			"last task", nonZero(s.GetLastTask()),
			"last refusal", s.GetLastRefusal(),
		}
		for _, t := range timesOf(s) {
			pairs = append(pairs, "next", t.Local)
		}
		return show.Fields(w, pairs...)
	})
}

// scheduleArgs checks the names of at most most schedules.
func scheduleArgs(verb string, most int) func(*cobra.Command, []string) []settings.Problem {
	return nameArgs("SCHEDULE", "schedule", "taskraft schedule "+verb+" nightly", "taskraft schedule list", most)
}

func (a *app) scheduleSwitchCommand(verb, short string, do func(*client.Client, context.Context, string) (*taskraftv1.Schedule, error)) *cobra.Command {
	return a.command(commandSpec{
		use: verb + " SCHEDULE… [flags]", short: short, rows: a.dataRows(), args: scheduleArgs(verb, 1000),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				list := a.newScheduleList()
				for _, name := range args {
					callCtx, cancel := a.call(ctx)
					s, err := do(c, callCtx, name)
					cancel()
					if err != nil {
						return err
					}
					if err := list.Add(s); err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	})
}

func (a *app) scheduleTriggerCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "trigger SCHEDULE [flags]", short: "Submit a schedule's task now and print its id",
		example: "  taskraft task wait $(taskraft schedule trigger nightly)",
		rows:    a.dataRows(), args: scheduleArgs("trigger", 1),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				id, err := c.TriggerSchedule(ctx, args[0])
				if err != nil {
					return err
				}
				r := receipt{ID: strconv.FormatUint(id, 10)}
				return a.printer().Object(r, r.ID, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, r.ID)
					return err
				})
			})
		},
	})
}

func (a *app) scheduleDeleteCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "delete SCHEDULE… [flags]", short: "Forget schedules; their tasks go on",
		rows: a.config.clientRows(), args: scheduleArgs("delete", 1000),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				for _, name := range args {
					callCtx, cancel := a.call(ctx)
					err := c.DeleteSchedule(callCtx, name)
					cancel()
					if err != nil {
						return err
					}
					a.talk("schedule %s is deleted", name)
				}
				return nil
			})
		},
	})
}
