package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func (a *app) batchCommand() *cobra.Command {
	return a.group("batch", "Look at batches, wait for them, cancel them",
		a.batchListCommand(), a.batchGetCommand(), a.batchWaitCommand(), a.batchCancelCommand())
}

func batchName(b *taskraftv1.Batch) string { return strconv.FormatUint(b.GetId(), 10) }

func (a *app) newBatchList() *show.List[*taskraftv1.Batch] {
	now := time.Now()
	type B = *taskraftv1.Batch
	number := func(head string, wide bool, tint int, get func(B) uint64) show.Column[B] {
		return show.Column[B]{
			Head: head, Right: true, Wide: wide, Cell: func(b B) string { return strconv.FormatUint(get(b), 10) },
			Tint: func(b B) int { return min(int(get(b)), 1) * tint },
		}
	}
	return show.NewList(a.printer(), "batches", batchName, []show.Column[B]{
		{Head: "ID", Right: true, Cell: batchName},
		{Head: "NAME", Cell: B.GetName},
		{Head: "STATE", Cell: batchState},
		number("TASKS", false, 0, B.GetTotal), number("SCHEDULED", true, 0, B.GetScheduled), number("READY", true, 0, B.GetReady),
		number("RUNNING", false, show.Yellow, B.GetRunning), number("STOPPING", true, 0, B.GetStopping),
		number("SUCCEEDED", false, show.Green, B.GetSucceeded), number("DEAD", false, show.Red, B.GetDead),
		number("CANCELLED", false, 0, B.GetCancelled),
		{Head: "AGE", Right: true, Cell: func(b B) string { return since(now, b.GetSubmitTime()) }},
		{Head: "REASON", Cell: B.GetReason},
	})
}

// batchState is the state without its prefix.
func batchState(b *taskraftv1.Batch) string { return b.GetState().String()[len("BATCH_"):] }

func (a *app) batchListCommand() *cobra.Command {
	var limit int
	rows := settings.Table{{Flag: "limit", Arg: "N", Default: "100", Value: settings.Int(&limit, 0, 1<<40, nil), Doc: "stop after N batches; 0 for all"}}
	return a.command(commandSpec{
		use: "list [flags]", short: "List batches with their counters, newest first", rows: concat(rows, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				list := a.newBatchList()
				for b, err := range c.Batches(ctx) {
					if err == nil {
						err = list.Add(b)
					}
					if err != nil {
						return errors.Join(list.Close(), err)
					}
					if limit > 0 && list.Count() == limit {
						break
					}
				}
				if list.Count() == 0 && a.printer().People() {
					a.talk("no batches: taskraft submit --batch NAME makes one")
				}
				return list.Close()
			})
		},
	})
}

func (a *app) batchGetCommand() *cobra.Command {
	var ids []uint64
	return a.command(commandSpec{
		use: "get ID [flags]", short: "Show a batch's progress", rows: a.dataRows(),
		example: "  taskraft batch get 7\n  taskraft batch get 7 -o json | jq .succeeded",
		args:    oneID(&ids, "batch get"),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				b, err := c.Batch(ctx, ids[0])
				if err != nil {
					return err
				}
				return a.printBatch(b)
			})
		},
	})
}

// oneID takes one id.
func oneID(ids *[]uint64, verb string) func(*cobra.Command, []string) []settings.Problem {
	return func(_ *cobra.Command, args []string) []settings.Problem {
		if len(args) == 0 {
			return missing("ID", "taskraft "+verb+" 7")
		}
		if len(args) > 1 {
			return []settings.Problem{{Where: "argument ID", Problem: "too many", Got: fmt.Sprintf("%q", args[1:]), Want: "one id", Do: "leave them out"}}
		}
		var bad []settings.Problem
		*ids, bad = parseIDs(args)
		for i := range bad {
			bad[i].Problem, bad[i].Do = "not a batch id", "see taskraft batch list"
		}
		return bad
	}
}

func (a *app) printBatch(b *taskraftv1.Batch) error {
	return a.printer().Object(b, batchName(b), func(w io.Writer) error {
		tasks := ""
		if b.GetFirstTask() != 0 {
			tasks = fmt.Sprintf("%d, ids %d to %d", b.GetTotal(), b.GetFirstTask(), b.GetFirstTask()+b.GetTotal()-1)
		}
		count := func(n uint64) string { return strconv.FormatUint(n, 10) }
		return show.Fields(w,
			"batch", batchName(b),
			"name", show.Clean(b.GetName()),
			"state", batchState(b),
			"request id", show.Clean(b.GetRequestId()),
			"tasks", tasks,
			"scheduled", count(b.GetScheduled()), "ready", count(b.GetReady()), "running", count(b.GetRunning()), "stopping", nonZero(b.GetStopping()),
			"succeeded", count(b.GetSucceeded()), "dead", count(b.GetDead()), "cancelled", count(b.GetCancelled()),
			"submitted", stamp(b.GetSubmitTime()), "cancelled at", stamp(b.GetCancelTime()), "reason", show.Clean(b.GetReason()),
			"finished", stamp(b.GetFinishTime()),
		)
	})
}

func (a *app) batchWaitCommand() *cobra.Command {
	var ids []uint64
	var most time.Duration
	rows := settings.Table{waitRow(&most)}
	return a.command(commandSpec{
		use: "wait ID [flags]", short: "Wait until all tasks of a batch have ended",
		long: `Wait until all tasks of a batch have ended, and show its counters. The exit code is
0 when all SUCCEEDED, 3 when one is DEAD, 4 when one is CANCELLED.`,
		example: "  taskraft batch wait 7 --for 10m && echo done",
		rows:    concat(rows, a.dataRows()),
		args:    oneID(&ids, "batch wait"),
		run: func(ctx context.Context, _ []string) error {
			ctx, cancel := forAtMost(ctx, most)
			defer cancel()
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error { return a.waitBatch(ctx, c, ids[0]) })
		},
	})
}

// waitBatch waits for a batch, shows it, and returns its code.
func (a *app) waitBatch(ctx context.Context, c *client.Client, id uint64) error {
	b, err := c.WaitBatch(ctx, id)
	if err != nil {
		return batchWaitFailure(ctx, err, id)
	}
	return errors.Join(a.printBatch(b), batchFailure(b))
}

// batchWaitFailure is what a wait that was cut short says: how to go on.
func batchWaitFailure(ctx context.Context, err error, id uint64) error {
	try := fmt.Sprintf("taskraft batch wait %d", id)
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(context.Cause(ctx), errInterrupted):
		return &failure{exitInterrupted, fmt.Errorf("stopped waiting: batch %d goes on", id), try}
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, client.ErrNoLeader):
		return &failure{exitDeadline, fmt.Errorf("batch %d has not finished in time", id), try}
	}
	return err
}

// batchFailure is nil when all tasks SUCCEEDED, and the batch's exit code otherwise.
func batchFailure(b *taskraftv1.Batch) error {
	switch {
	case b.GetDead() > 0:
		return fail(exitDead, "taskraft dead groups, then taskraft dead retry", "batch %d: %d of %s DEAD", b.GetId(), b.GetDead(), plural(int(b.GetTotal()), "task"))
	case b.GetCancelled() > 0:
		return fail(exitCancelled, "", "batch %d: %d of %s CANCELLED", b.GetId(), b.GetCancelled(), plural(int(b.GetTotal()), "task"))
	}
	return nil
}

func (a *app) batchCancelCommand() *cobra.Command {
	var ids []uint64
	var because string
	rows := settings.Table{{Flag: "reason", Arg: "TEXT", Value: settings.Text(&because, nil), Doc: "why, for whoever reads the tasks later"}}
	return a.command(commandSpec{
		use: "cancel ID [flags]", short: "Cancel what of a batch has not ended; running tasks are told to stop",
		example: "  taskraft batch cancel 7 --reason 'wrong input'",
		rows:    concat(rows, a.dataRows()),
		args:    oneID(&ids, "batch cancel"),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				callCtx, cancel := a.call(ctx)
				defer cancel()
				outcome, count, err := c.CancelBatch(callCtx, ids[0], because)
				switch {
				case err != nil:
					return err
				case outcome == taskraftv1.Outcome_ALREADY_TERMINAL:
					return fail(exitConflict, fmt.Sprintf("taskraft batch get %d", ids[0]), "batch %d has finished before", ids[0])
				}
				a.talk("batch %d: %s cancelled, those that run are told to stop", ids[0], plural(int(count), "task"))
				b, err := c.Batch(callCtx, ids[0])
				if e, ok := errors.AsType[*client.Error](err); ok && e.Reason == reason.BatchNotFound {
					return nil // it was not committed, and is gone
				}
				if err != nil {
					return err
				}
				return a.printBatch(b)
			})
		},
	})
}
