package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func (a *app) deadCommand() *cobra.Command {
	return a.group("dead", "Look at DEAD tasks by what went wrong, and retry them",
		a.deadListCommand(), a.deadGroupsCommand(), a.deadRetryCommand())
}

// deadFlags choose DEAD tasks.
type deadFlags struct {
	filter client.DeadFilter
	kind   string
}

func (f *deadFlags) rows() settings.Table {
	return settings.Table{
		{Flag: "queue", Short: "q", Arg: "QUEUE", Value: settings.Text(&f.filter.Queue, checkQueue), Doc: "only tasks of this queue"},
		{Flag: "kind", Arg: "KIND", Value: settings.Text(&f.kind, nil), Doc: "only tasks of this kind"},
		{Flag: "group", Short: "g", Arg: "GROUP", Value: settings.Text(&f.filter.Group, groupID), Doc: "only tasks of this group, as taskraft dead groups shows them"},
	}
}

// chosen returns the filter.
func (f *deadFlags) chosen() client.DeadFilter {
	if f.kind != "" {
		f.filter.Kind = &f.kind
	}
	return f.filter
}

func (a *app) deadListCommand() *cobra.Command {
	f := new(deadFlags)
	var limit int
	rows := settings.Table{{Flag: "limit", Arg: "N", Default: "100", Value: settings.Int(&limit, 0, 1<<40, nil), Doc: "stop after N tasks; 0 for all"}}
	return a.command(commandSpec{
		use: "list [flags]", short: "List DEAD tasks, newest first", rows: concat(f.rows(), rows, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				list := a.newTaskList()
				for t, err := range c.Dead(ctx, f.chosen()) {
					if err == nil {
						err = list.Add(t)
					}
					if err != nil {
						return errors.Join(list.Close(), err)
					}
					if limit > 0 && list.Count() == limit {
						break
					}
				}
				if list.Count() == 0 && a.printer().People() {
					a.talk("no dead tasks")
				}
				return list.Close()
			})
		},
	})
}

func (a *app) deadGroupsCommand() *cobra.Command {
	f := new(deadFlags)
	return a.command(commandSpec{
		use: "groups [flags]", short: "Group DEAD tasks by queue, kind and error",
		long: `Group DEAD tasks by queue, kind and error. Errors are of one group when they differ
only in numbers, hexadecimal words and quoted parts, which are shown as #.`,
		rows: concat(f.rows(), a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				list := a.newGroupList()
				for g, err := range c.DeadGroups(ctx, f.chosen()) {
					if err == nil {
						err = list.Add(g)
					}
					if err != nil {
						return errors.Join(list.Close(), err)
					}
				}
				if list.Count() == 0 && a.printer().People() {
					a.talk("no dead tasks")
				}
				return list.Close()
			})
		},
	})
}

func (a *app) newGroupList() *show.List[*taskraftv1.DeadGroup] {
	now := time.Now()
	type G = *taskraftv1.DeadGroup
	return show.NewList(a.printer(), "groups", G.GetId, []show.Column[G]{
		{Head: "GROUP", Cell: G.GetId},
		{Head: "QUEUE", Cell: G.GetQueue},
		{Head: "KIND", Cell: G.GetKind},
		{Head: "TASKS", Right: true, Cell: func(g G) string { return strconv.FormatUint(g.GetCount(), 10) }},
		{Head: "FIRST", Right: true, Cell: func(g G) string { return since(now, g.GetFirstTime()) }},
		{Head: "LAST", Right: true, Cell: func(g G) string { return since(now, g.GetLastTime()) }},
		{Head: "EXAMPLE", Right: true, Cell: func(g G) string { return strconv.FormatUint(g.GetExample(), 10) }},
		{Head: "ERROR", Cell: G.GetError},
	})
}

func (a *app) deadRetryCommand() *cobra.Command {
	f := new(deadFlags)
	var ids []uint64
	var all, sure bool
	rows := settings.Table{
		{Flag: "all", Value: settings.Switch(&all), Doc: "every DEAD task of the cluster"},
		{Flag: "yes", Short: "y", Value: settings.Switch(&sure), Doc: "do not ask"},
	}
	return a.command(commandSpec{
		use: "retry ID… | FLAGS", short: "Run DEAD tasks again, by id or all that match",
		long: `Run DEAD tasks again: those with these ids, or all that match the flags. How many
that are is shown first, and asked about on a terminal.`,
		example: "  taskraft dead retry 1042\n  taskraft dead retry --group 9a3f01c2d4e5b687\n  taskraft dead retry --queue mail --yes",
		rows:    concat(f.rows(), rows, a.dataRows()),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			bulk := all || f.filter.Queue != "" || f.kind != "" || f.filter.Group != ""
			var bad []settings.Problem
			ids, bad = idsOrFlags(args, bulk, "taskraft dead retry 1042, or --queue, --kind, --group or --all")
			return bad
		},
		run: func(ctx context.Context, _ []string) error {
			if len(ids) > 0 {
				return a.eachTask(ctx, ids, func(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
					ctx, cancel := a.call(ctx)
					defer cancel()
					return c.Retry(ctx, id)
				})
			}
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error { return a.retryDead(ctx, c, f.chosen(), sure) })
		},
	})
}

// retryDead shows how many tasks are meant, asks if there is somebody to ask, and
// retries them.
func (a *app) retryDead(ctx context.Context, c *client.Client, f client.DeadFilter, sure bool) error {
	callCtx, cancel := a.call(ctx)
	n, err := c.CountDead(callCtx, f)
	cancel()
	if err != nil {
		return err
	}
	if n == 0 {
		a.talk("no dead task matches")
		return nil
	}
	if !sure && !a.agreed(fmt.Sprintf("retry %s?", plural(int(n), "dead task"))) {
		return fail(exitError, "the same with --yes", "nothing was retried")
	}
	callCtx, cancel = a.call(ctx)
	defer cancel()
	n, err = c.RetryDead(callCtx, f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%d\n", n)
	a.talk("%s retried", plural(int(n), "task"))
	return err
}

// agreed asks a question on a terminal; elsewhere the answer is no.
func (a *app) agreed(question string) bool {
	if !isTerminal(a.In) {
		a.talk("%s", question)
		return false
	}
	fmt.Fprint(a.Err, question+" [y/N] ")
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	return err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}
