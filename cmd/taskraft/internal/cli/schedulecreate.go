package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster/cron"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// scheduleFlags are the flags of `schedule create`.
type scheduleFlags struct {
	submitFlags
	name             string
	cron, zone       string
	misfire, overlap string
	maxMisfires      int
	replace, paused  bool
}

// taskOptions are the flags of submit that a schedule's task has, too.
var taskOptions = []string{"queue", "kind", "payload", "payload-file", "content-type", "priority", "delay", "timeout", "max-attempts", "backoff", "require", "label", "unique", "unique-until", "concurrency-key", "expires-in", "retain"}

func (f *scheduleFlags) rows() settings.Table {
	rows := settings.Table{
		{
			Flag: "cron", Arg: "RULE", Whole: true, Doc: "minute hour day-of-month month day-of-week; or @hourly, @daily, @every 90s", Example: "30 2 * * MON-FRI",
			Value: settings.Text(&f.cron, func(s string) error { return invalidRule(cron.Parse(s, "")) }),
		},
		{
			Flag: "time-zone", Arg: "ZONE", Doc: "whose clocks the rule means (default UTC)", Example: "Europe/Berlin",
			Value: settings.Text(&f.zone, func(s string) error { return invalidRule(cron.Zone(s)) }),
		},
		{
			Flag: "misfire", Arg: "POLICY", Default: "last", Value: settings.Text(&f.misfire, settings.OneOf("last", "skip", "all")),
			Doc: "what becomes of times missed by more than 30s while no master led: last, skip, all",
		},
		{Flag: "max-misfires", Arg: "N", Value: settings.Int(&f.maxMisfires, 1, 1000, nil), Doc: "with --misfire all: the newest N of them (default 10)"},
		{
			Flag: "overlap", Arg: "POLICY", Default: "allow", Value: settings.Text(&f.overlap, settings.OneOf("allow", "skip", "cancel_old")),
			Doc: "what to do while an earlier task has not ended: allow, skip, cancel_old",
		},
		{Flag: "replace", Value: settings.Switch(&f.replace), Doc: "give a schedule of this name the new rule"},
		{Flag: "paused", Value: settings.Switch(&f.paused), Doc: "make it, but do not let it fire yet"},
	}
	for _, r := range f.submitFlags.rows() {
		if slices.Contains(taskOptions, r.Flag) {
			rows = append(rows, r)
		}
	}
	return rows
}

// invalidRule makes a problem of what package cron refuses.
func invalidRule(_ any, err error) error {
	if err == nil {
		return nil
	}
	problem, want, _ := strings.Cut(err.Error(), ", want ")
	if want == "" {
		want = "see taskraft schedule create --help"
	}
	return &settings.Invalid{Problem: problem, Want: want}
}

func (a *app) scheduleCreateCommand() *cobra.Command {
	f := new(scheduleFlags)
	return a.command(commandSpec{
		use: "create SCHEDULE --cron RULE [flags] [-- PROGRAM ARG…]", short: "Make a schedule and show its next five fire times",
		long: `Make a schedule: at each time of the rule a task is submitted, at most one for each
time, whatever happens to the masters. The same schedule again is no error.

A time that the zone's clocks skip runs once, right after the gap; a time that they
show twice runs once. Rules for every hour follow the passing of time instead.

The task knows its schedule and its nominal time; a program finds them in
TASKRAFT_SCHEDULE and TASKRAFT_FIRE_TIME.`,
		example: `  taskraft schedule create nightly --cron '30 2 * * *' --time-zone Europe/Berlin -- /usr/local/bin/backup
  taskraft schedule create poll --cron '@every 30s' --overlap skip --queue feeds --kind poll`,
		rows: concat(f.rows(), a.dataRows()), args: f.checkArgs, check: f.check,
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error { return a.createSchedule(ctx, c, f) })
		},
	})
}

// checkArgs takes the name, and the program to run from behind --.
func (f *scheduleFlags) checkArgs(cmd *cobra.Command, args []string) []settings.Problem {
	dash := cmd.ArgsLenAtDash()
	names := args
	if dash >= 0 {
		names = args[:dash]
	}
	out := scheduleArgs("create", 1)(cmd, names)
	f.name = strings.Join(names, " ")
	if dash >= 0 {
		out = append(out, f.takeProgram(args[dash:])...)
	}
	return out
}

func (f *scheduleFlags) check() []settings.Problem {
	out := f.submitFlags.check()
	if f.cron == "" {
		out = append(out, settings.Problem{Where: "--cron", Problem: "missing", Want: "a rule", Do: "for example --cron '30 2 * * *'"})
	}
	if f.maxMisfires != 0 && f.misfire != "all" {
		out = append(out, settings.Problem{Where: "--max-misfires", Problem: "given without --misfire all", Want: "--misfire all", Do: "add it, or leave this out"})
	}
	return out
}

func (a *app) createSchedule(ctx context.Context, c *client.Client, f *scheduleFlags) error {
	t, err := a.task(&f.submitFlags)
	if err != nil {
		return err
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	r, err := c.CreateSchedule(ctx, client.Schedule{
		Name: f.name, Cron: f.cron, TimeZone: f.zone, Task: t, MaxMisfires: f.maxMisfires, Replace: f.replace, Paused: f.paused,
		Misfire: taskraftv1.MisfirePolicy(taskraftv1.MisfirePolicy_value["MISFIRE_"+strings.ToUpper(f.misfire)]),
		Overlap: taskraftv1.OverlapPolicy(taskraftv1.OverlapPolicy_value["OVERLAP_"+strings.ToUpper(f.overlap)]),
	})
	if err != nil {
		return err
	}
	if r.Warning != "" {
		a.warn("%s", r.Warning)
	}
	if r.Existing && a.printer().People() {
		a.talk("schedule %s existed already, and says the same", f.name)
	}
	return a.printSchedule(r.Schedule)
}
