package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

func (a *app) eventsCommand() *cobra.Command {
	q := new(client.EventQuery)
	types := ""
	rows := settings.Table{
		{Flag: "follow", Short: "f", Value: settings.Switch(&q.Follow), Doc: "go on with what happens, across the loss of masters; begins now unless --since says otherwise"},
		{Flag: "since", Arg: "INDEX[.SUB]", Value: settings.Text(&q.Since, checkSince), Doc: "begin with this log entry, or behind this event; oldest for all that is kept, now for none of it"},
		{Flag: "task", Short: "t", Arg: "ID", Value: settings.Int(&q.Task, 1, math.MaxInt64, nil), Doc: "only what concerns this task"},
		{Flag: "queue", Short: "q", Arg: "QUEUE", Value: settings.Text(&q.Queue, checkQueue), Doc: "only what concerns this queue"},
		{Flag: "worker", Arg: "ID", Value: settings.Text(&q.Worker, nil), Doc: "only what concerns this worker"},
		{Flag: "batch", Arg: "ID", Value: settings.Int(&q.Batch, 1, math.MaxInt64, nil), Doc: "only what concerns this batch"},
		{Flag: "type", Arg: "TYPE,…", Value: settings.Text(&types, checkTypes), Doc: "only these types: " + strings.Join(events.TypeNames(), ", ")},
		{Flag: "limit", Arg: "N", Default: "0", Value: settings.Int(&q.Limit, 0, 1<<40, nil), Doc: "stop after N events; 0 for all"},
	}
	return a.command(commandSpec{
		use: "events [flags]", short: "Show what happened and who asked for it",
		long: `Show what happened, in the order of the log: what became of tasks, sessions of
workers, and everything that somebody changed, with who asked for it. Any master
answers, each from its own copy, which are the same; when one is lost, another goes
on behind the last event shown. None is missing, and none is shown twice.

Each master keeps the newest events, 256 MiB of them unless told otherwise. Of what
is older than that it says so, with exit code 6, and never passes over it.`,
		example: `  taskraft events -f
  taskraft events --task 1042
  taskraft events -f --type dead,expired -o jsonl
  taskraft events --since 5120.3 --limit 100`,
		rows: concat(rows, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			if types != "" {
				q.Types = strings.Split(types, ",")
			}
			if q.Since == "" && q.Follow {
				q.Since = client.Now
			}
			return a.showEvents(ctx, *q)
		},
	})
}

func (a *app) taskHistoryCommand() *cobra.Command {
	var ids []uint64
	return a.command(commandSpec{
		use: "history ID", short: "Show what happened to a task and who asked for it",
		long: `Show what happened to a task, oldest first, as far back as a master keeps events:
taskraft events --task ID.`,
		example: "  taskraft task history 1042",
		rows:    a.dataRows(),
		args:    oneTask(&ids, "taskraft task history 1042"),
		run: func(ctx context.Context, _ []string) error {
			return a.showEvents(ctx, client.EventQuery{Task: ids[0]})
		},
	})
}

// showEvents prints events as they come.
func (a *app) showEvents(ctx context.Context, q client.EventQuery) error {
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		if !q.Follow {
			var cancel context.CancelFunc
			ctx, cancel = a.call(ctx)
			defer cancel()
		}
		out := a.newEventPrinter(q.Follow)
		for e, err := range c.Events(ctx, q) {
			if err == nil {
				err = out.add(e)
			}
			if err != nil {
				return errors.Join(out.close(), eventsFailure(err))
			}
		}
		if out.count == 0 && a.printer().People() {
			a.talk("no events")
		}
		return out.close()
	})
}

// eventsFailure says how to go on when the events are not kept any more.
func eventsFailure(err error) error {
	gone, ok := errors.AsType[*client.CompactedError](err)
	if !ok {
		return err
	}
	return fail(exitConflict, fmt.Sprintf("taskraft events --since %d; taskraft task list shows what there is", gone.Oldest), "%w", gone)
}

func checkSince(s string) error {
	if s == client.Oldest || s == client.Now {
		return nil
	}
	if _, err := events.ParseCursor(s); err != nil {
		return errors.New("want INDEX, INDEX.SUB, oldest or now")
	}
	return nil
}

func checkTypes(list string) error {
	name := ""
	for name = range strings.SplitSeq(list, ",") {
		if events.TypeOf(name) == 0 {
			break
		}
	}
	if events.TypeOf(name) != 0 {
		return nil
	}
	if near := settings.Nearest(name, slices.Values(events.TypeNames())); near != "" {
		return fmt.Errorf("want a type of event: did you mean %s?", near)
	}
	return errors.New("want types of events, as --help lists them")
}
