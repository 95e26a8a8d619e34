package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// liveStates are those in which a task can be cancelled.
var liveStates = taskStates[:4]

func (a *app) taskCancelCommand() *cobra.Command {
	var ids []uint64
	var reason string
	var all, sure bool
	f := new(filterFlags)
	rows := settings.Table{
		{Flag: "reason", Arg: "TEXT", Value: settings.Text(&reason, nil), Doc: "why, for whoever reads the task later"},
		{Flag: "all", Value: settings.Switch(&all), Doc: "every task of the cluster that has not ended"},
		{Flag: "yes", Short: "y", Value: settings.Switch(&sure), Doc: "do not ask"},
	}
	return a.command(commandSpec{
		use: "cancel ID… | FLAGS", short: "Cancel tasks, by id or all that match; running ones are told to stop",
		long: `Cancel tasks: those with these ids, or all that match the flags and have not ended.
How many that are is shown first, and asked about on a terminal. Exactly those of the
moment are cancelled, and none of them starts any more; how many were is printed.`,
		example: "  taskraft task cancel 1042 --reason 'wrong input'\n  taskraft task cancel --queue mail --label tenant=7 --state scheduled,ready --yes",
		rows:    concat(f.rows(liveStates), rows, a.dataRows()),
		args: func(_ *cobra.Command, args []string) (bad []settings.Problem) {
			ids, bad = idsOrFlags(args, all || f.String() != "", "taskraft task cancel 1042, or --queue, --label, … or --all")
			return bad
		},
		run: func(ctx context.Context, _ []string) error {
			if len(ids) > 0 {
				return a.cancelEach(ctx, ids, reason)
			}
			filter := f.String()
			if filter == "" {
				filter = "id>=1"
			}
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				return a.sweep(ctx, c, sweeping{
					what: "matching task", sure: sure,
					count: func(ctx context.Context) (uint64, error) { return c.CountLive(ctx, filter) },
					begin: func(ctx context.Context) (uint64, uint64, error) { return c.CancelAll(ctx, filter, reason) },
				})
			})
		},
	})
}

// cancelEach cancels tasks by their ids and shows them.
func (a *app) cancelEach(ctx context.Context, ids []uint64, reason string) error {
	return a.eachTask(ctx, ids, func(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
		ctx, cancel := a.call(ctx)
		defer cancel()
		outcome, t, err := c.Cancel(ctx, id, reason)
		if err == nil && outcome == taskraftv1.Outcome_ALREADY_TERMINAL {
			err = fail(exitConflict, fmt.Sprintf("taskraft task get %d", id), "task %d has ended before: %s", id, t.GetState())
		}
		return t, err
	})
}

func (a *app) queuePurgeCommand() *cobra.Command {
	var name string
	var running, sure bool
	rows := settings.Table{
		{Flag: "running", Value: settings.Switch(&running), Doc: "also what runs: it is told to stop"},
		{Flag: "yes", Short: "y", Value: settings.Switch(&sure), Doc: "do not ask"},
	}
	return a.command(commandSpec{
		use: "purge QUEUE [flags]", short: "Cancel what waits in a queue",
		long: `Cancel what waits in a queue. How many tasks that are is shown first, and asked about
on a terminal. Exactly those of the moment are cancelled, reason "purged", and none of
them starts any more; what is submitted meanwhile stays. How many were is printed.`,
		example: "  taskraft queue purge mail\n  taskraft queue purge mail --running --yes",
		rows:    concat(rows, a.config.clientRows()),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			if len(args) != 1 {
				return missing("QUEUE", "taskraft queue purge mail")
			}
			name = args[0]
			if err := checkQueue(name); err != nil {
				return []settings.Problem{{Where: "argument QUEUE", Problem: err.Error()}}
			}
			return nil
		},
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				return a.sweep(ctx, c, sweeping{
					what: "task of " + name, plural: "tasks of " + name, sure: sure,
					count: func(ctx context.Context) (uint64, error) { return c.CountPurge(ctx, name, running) },
					begin: func(ctx context.Context) (uint64, uint64, error) { return c.PurgeQueue(ctx, name, running) },
				})
			})
		},
	})
}

// sweeping is a bulk cancellation that has not begun.
type sweeping struct {
	what, plural string // plural when an s does not make it
	sure         bool
	count        func(context.Context) (uint64, error)
	begin        func(context.Context) (sweep, count uint64, err error)
}

func (s *sweeping) tasks(n uint64) string {
	if n != 1 && s.plural != "" {
		return fmt.Sprintf("%d %s", n, s.plural)
	}
	return plural(int(n), s.what)
}

// sweep shows how many tasks are meant, asks if there is somebody to ask, cancels
// them and prints how many it were.
func (a *app) sweep(ctx context.Context, c *client.Client, s sweeping) error {
	callCtx, cancel := a.call(ctx)
	n, err := s.count(callCtx)
	cancel()
	if err != nil {
		return err
	}
	if n > 0 && !s.sure && !a.agreed(fmt.Sprintf("cancel %s?", s.tasks(n))) {
		return fail(exitError, "the same with --yes", "nothing was cancelled")
	}
	var sweep *taskraftv1.Sweep
	if n > 0 {
		callCtx, cancel = a.call(ctx)
		id, _, err := s.begin(callCtx)
		cancel()
		if err != nil {
			return err
		}
		if sweep, err = a.followSweep(ctx, c, id); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.Out, "%d\n", sweep.GetCancelled())
	a.talk("%s cancelled", s.tasks(sweep.GetCancelled()))
	if sweep.GetEnded() > 0 {
		a.talk("%s had ended before", s.tasks(sweep.GetEnded()))
	}
	return err
}

// followSweep waits for the end of a sweep and tells of its progress.
func (a *app) followSweep(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Sweep, error) {
	const look, tell = 50 * time.Millisecond, 2 * time.Second
	again := time.NewTicker(look)
	defer again.Stop()
	for told := time.Now(); ; {
		callCtx, cancel := a.call(ctx)
		s, err := c.Sweep(callCtx, id)
		cancel()
		if err != nil || s.GetFinishTime() != nil {
			return s, err
		}
		if time.Since(told) >= tell {
			told = time.Now()
			a.talk("%d of %d cancelled", s.GetCancelled(), s.GetMatched())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			a.talk("the rest is cancelled all the same")
			return nil, ctx.Err()
		}
	}
}

// idsOrFlags reads the ids of a command that takes either these or flags that choose
// tasks; try is what to type when there is neither.
func idsOrFlags(args []string, flags bool, try string) ([]uint64, []settings.Problem) {
	switch {
	case len(args) > 0 && flags:
		return nil, []settings.Problem{{Where: "argument ID", Problem: "given together with flags that choose tasks", Want: "one of them", Do: "choose one"}}
	case len(args) == 0 && !flags:
		return nil, missing("ID", try)
	}
	return parseIDs(args)
}
