package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// taskStates are the values of --state.
var taskStates = []string{"SCHEDULED", "READY", "RUNNING", "STOPPING", "SUCCEEDED", "DEAD", "CANCELLED"}

func (a *app) taskCommand() *cobra.Command {
	return a.group("task", "Look at tasks, wait for them, cancel, retry or delete them",
		a.taskListCommand(), a.taskGetCommand(), a.taskWaitCommand(), a.taskLogsCommand(), a.taskHistoryCommand(),
		a.taskCancelCommand(), a.taskRetryCommand(), a.taskDeleteCommand())
}

// dataRows are the settings of commands that ask the masters and print data.
func (a *app) dataRows() settings.Table { return concat(a.config.outputRows(), a.config.clientRows()) }

func (a *app) taskListCommand() *cobra.Command {
	f := new(filterFlags)
	var limit int
	rows := settings.Table{
		{Flag: "error", Arg: "GROUP", Value: settings.Text(&f.filter.Error, nil), Doc: "DEAD tasks of this group: see taskraft dead groups"},
		{Flag: "limit", Arg: "N", Default: "100", Value: settings.Int(&limit, 0, 1<<40, nil), Doc: "stop after N tasks; 0 for all"},
	}
	return a.command(commandSpec{
		use: "list [flags]", short: "List tasks, newest first",
		long: `List tasks, newest first: those that all given flags choose. All of them are looked up
in indexes, so a page costs the same however many tasks there are.`,
		example: "  taskraft task list --state dead --queue mail\n  taskraft task list --label tenant=7 --since 1h\n  taskraft task list -o name --limit 0 | wc -l",
		rows:    concat(f.rows(taskStates), rows, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				return a.listTasks(ctx, c, f.String(), limit)
			})
		},
	})
}

const queueForm = `[a-z0-9][a-z0-9_.-]{0,63}`

var checkQueue = settings.Match("a queue's name", queueForm)

// listTasks prints up to limit tasks page by page, each bounded by --call-timeout.
func (a *app) listTasks(ctx context.Context, c *client.Client, filter string, limit int) error {
	const page = 500
	list := a.newTaskList()
	for token := ""; ; {
		size := page
		if limit > 0 {
			size = min(page, limit-list.Count())
		}
		callCtx, cancel := a.call(ctx)
		tasks, next, err := c.ListPage(callCtx, filter, size, token)
		cancel()
		if err != nil {
			return errors.Join(list.Close(), err)
		}
		for _, t := range tasks {
			if err := list.Add(t); err != nil {
				return err
			}
		}
		if token = next; token == "" {
			break
		}
		if limit > 0 && list.Count() >= limit {
			defer a.talk("… and more: the first %d are shown; --limit 0 shows all", limit)
			break
		}
	}
	if list.Count() == 0 && a.printer().People() {
		a.talk("no tasks")
	}
	return list.Close()
}

func (a *app) taskGetCommand() *cobra.Command {
	var stale bool
	var ids []uint64
	rows := settings.Table{{Flag: "stale", Value: settings.Switch(&stale), Doc: "let any master answer from what it knows"}}
	return a.command(commandSpec{
		use: "get ID… [flags]", short: "Show tasks with their attempts, payload and result",
		example: "  taskraft task get 1042\n  taskraft task get 1042 -o json | jq -r .state",
		rows:    concat(rows, a.dataRows()),
		args:    idArgs(&ids, "taskraft task get 1042"),
		run: func(ctx context.Context, _ []string) error {
			return a.eachTask(ctx, ids, func(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
				var opts []client.ReadOption
				if stale {
					opts = append(opts, client.WithStale())
				}
				ctx, cancel := a.call(ctx)
				defer cancel()
				return c.Get(ctx, id, opts...)
			})
		},
	})
}

func idArgs(ids *[]uint64, example string) func(*cobra.Command, []string) []settings.Problem {
	return func(_ *cobra.Command, args []string) []settings.Problem {
		if len(args) == 0 {
			return missing("ID", example)
		}
		var bad []settings.Problem
		*ids, bad = parseIDs(args)
		return bad
	}
}

// oneTask is idArgs for commands about a single task.
func oneTask(ids *[]uint64, example string) func(*cobra.Command, []string) []settings.Problem {
	return func(cmd *cobra.Command, args []string) []settings.Problem {
		if len(args) > 1 {
			return []settings.Problem{{Where: "argument ID", Problem: "given more than once", Got: fmt.Sprintf("%q", args), Want: "one task", Do: "see taskraft task list"}}
		}
		return idArgs(ids, example)(cmd, args)
	}
}

// eachTask calls do for each id, goes on past errors, and prints what it got:
// one task in full, several as a list.
func (a *app) eachTask(ctx context.Context, ids []uint64, do func(context.Context, *client.Client, uint64) (*taskraftv1.Task, error)) error {
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		if len(ids) == 1 {
			t, err := do(ctx, c, ids[0])
			if t == nil {
				return err
			}
			return errors.Join(a.printTask(t), err)
		}
		list := a.newTaskList()
		code := quietly(exitOK)
		for _, id := range ids {
			t, err := do(ctx, c, id)
			if err != nil && ctx.Err() == nil {
				code = quietly(worse(int(code), report(a.Err, fmt.Errorf("task %d: %w", id, err))))
			} else if err != nil {
				return errors.Join(list.Close(), err)
			}
			if t == nil {
				continue
			}
			if err := list.Add(t); err != nil {
				return err
			}
		}
		if err := list.Close(); err != nil || code == exitOK {
			return err
		}
		return code
	})
}

// worse is the exit code that says more: DEAD before CANCELLED, any other error
// before both.
func worse(a, b int) int {
	rank := func(code int) int {
		switch code {
		case exitOK:
			return 0
		case exitCancelled:
			return 1
		case exitDead:
			return 2
		}
		return 3
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func (a *app) taskWaitCommand() *cobra.Command {
	var ids []uint64
	var most time.Duration
	rows := settings.Table{waitRow(&most)}
	return a.command(commandSpec{
		use: "wait ID… [flags]", short: "Wait until tasks have ended, and exit with their result's code",
		long: `Wait until every task has ended. The exit code is 0 when all SUCCEEDED, 3 when one
is DEAD, 4 when one is CANCELLED.`,
		example: "  taskraft task wait 1042 --for 10m && echo done",
		rows:    concat(rows, a.dataRows()),
		args:    idArgs(&ids, "taskraft task wait 1042"),
		run: func(ctx context.Context, _ []string) error {
			ctx, cancel := forAtMost(ctx, most)
			defer cancel()
			return a.eachTask(ctx, ids, func(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
				t, err := a.await(ctx, c, id)
				if err != nil {
					return nil, waitFailure(ctx, err, id)
				}
				return t, stateFailure(t)
			})
		},
	})
}

func waitRow(p *time.Duration) *settings.Row {
	return &settings.Row{
		Flag: "for", Arg: "DURATION", Value: settings.Duration(p, time.Millisecond, 1000*time.Hour),
		Doc: "how long to wait (default: until it ends)", Example: "10m",
	}
}

func forAtMost(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// waitFailure is what a wait that was cut short says: how to go on.
func waitFailure(ctx context.Context, err error, id uint64) error {
	try := fmt.Sprintf("taskraft task wait %d", id)
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(context.Cause(ctx), errInterrupted):
		return &failure{exitInterrupted, fmt.Errorf("stopped waiting: task %d goes on", id), try}
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, client.ErrNoLeader):
		return &failure{exitDeadline, fmt.Errorf("task %d has not ended in time", id), try}
	}
	return err
}

// stateFailure is nil for a task that SUCCEEDED, and its exit code otherwise.
func stateFailure(t *taskraftv1.Task) error {
	why := t.GetError()
	if why == "" {
		why = t.GetReason()
	}
	if why != "" {
		why = ": " + show.Clean(why)
	}
	switch t.GetState() {
	case taskraftv1.TaskState_SUCCEEDED:
		return nil
	case taskraftv1.TaskState_DEAD:
		return fail(exitDead, fmt.Sprintf("taskraft task get %d, then taskraft task retry %d", t.GetId(), t.GetId()), "task %d is DEAD%s", t.GetId(), why)
	case taskraftv1.TaskState_CANCELLED:
		return fail(exitCancelled, fmt.Sprintf("taskraft task retry %d", t.GetId()), "task %d is CANCELLED%s", t.GetId(), why)
	}
	return fail(exitError, "", "task %d is %s", t.GetId(), t.GetState())
}

func (a *app) taskRetryCommand() *cobra.Command {
	var ids []uint64
	return a.command(commandSpec{
		use: "retry ID… [flags]", short: "Run DEAD or CANCELLED tasks again",
		example: "  taskraft task retry $(taskraft task list --state dead -o name)",
		rows:    a.dataRows(),
		args:    idArgs(&ids, "taskraft task retry 1042"),
		run: func(ctx context.Context, _ []string) error {
			return a.eachTask(ctx, ids, func(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
				ctx, cancel := a.call(ctx)
				defer cancel()
				return c.Retry(ctx, id)
			})
		},
	})
}
