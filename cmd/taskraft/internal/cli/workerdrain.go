package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// drainLook is how often a draining worker is looked at.
const drainLook = 200 * time.Millisecond

func (a *app) workerDrainCommand() *cobra.Command {
	var undo, wait bool
	var most time.Duration
	rows := settings.Table{
		{Flag: "undo", Value: settings.Switch(&undo), Doc: "give the workers tasks again"},
		{Flag: "wait", Value: settings.Switch(&wait), Doc: "wait until they hold no tasks"},
		waitRow(&most),
	}
	return a.command(commandSpec{
		use: "drain WORKER… [flags]", short: "Give workers no more tasks; they finish what they hold",
		long: `Give workers no more tasks. They finish what they hold, and stay connected. It
holds for the worker's id, across restarts of its process and of the masters, until
--undo. A broadcast still reaches a drained worker.`,
		example: "  taskraft worker drain w1 --wait --for 10m && ssh w1 reboot",
		rows:    concat(rows, a.dataRows()), args: workerArgs("drain", 1000),
		check: func() []settings.Problem {
			if undo && wait {
				return []settings.Problem{{Where: "--wait", Problem: "given together with --undo", Want: "one of them", Do: "choose one"}}
			}
			return nil
		},
		run: func(ctx context.Context, args []string) error {
			do := (*client.Client).DrainWorker
			if undo {
				do = (*client.Client).UndrainWorker
			}
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				return a.drainWorkers(ctx, c, args, do, wait, most)
			})
		},
	})
}

// drainWorkers drains all of them first and then waits for one after the other.
func (a *app) drainWorkers(ctx context.Context, c *client.Client, ids []string, do func(*client.Client, context.Context, string) (*taskraftv1.Worker, error), wait bool, most time.Duration) error {
	workers := make([]*taskraftv1.Worker, len(ids))
	for i, id := range ids {
		callCtx, cancel := a.call(ctx)
		w, err := do(c, callCtx, id)
		cancel()
		if err != nil {
			return err
		}
		workers[i] = w
	}
	ctx, cancel := forAtMost(ctx, most)
	defer cancel()
	list := a.newWorkerList()
	for _, w := range workers {
		if wait {
			var err error
			if w, err = a.awaitDrained(ctx, c, w); err != nil {
				return errors.Join(list.Close(), err)
			}
		}
		if err := list.Add(w); err != nil {
			return err
		}
	}
	return list.Close()
}

// awaitDrained waits until the worker holds nothing. A lost session holds nothing.
func (a *app) awaitDrained(ctx context.Context, c *client.Client, w *taskraftv1.Worker) (*taskraftv1.Worker, error) {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	id := w.GetWorkerId()
	for w.GetHeld() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			try := "taskraft worker get " + id
			if errors.Is(context.Cause(ctx), errInterrupted) {
				return nil, &failure{exitInterrupted, errors.New("stopped waiting: worker " + id + " goes on draining"), try}
			}
			return nil, fail(exitDeadline, try, "worker %s still holds %s", id, plural(int(w.GetHeld()), "task"))
		}
		callCtx, cancel := a.call(ctx)
		now, err := c.Worker(callCtx, id)
		cancel()
		switch {
		case err == nil:
			w = now
		case ctx.Err() == nil:
			return nil, err
		}
	}
	return w, nil
}

func (a *app) workerRemoveCommand() *cobra.Command {
	var force bool
	rows := settings.Table{{Flag: "force", Value: settings.Switch(&force), Doc: "also when it holds tasks: they return to their places in the queue"}}
	return a.command(commandSpec{
		use: "remove WORKER… [flags]", short: "End workers' sessions and refuse their processes for ever",
		long: `End workers' sessions and refuse their processes for ever: a process that still
runs ends by itself. Another process may come under the same id. Remove a machine
that is gone for good, instead of waiting for its TTL.`,
		example: "  taskraft worker drain w1 --wait && taskraft worker remove w1",
		rows:    concat(rows, a.dataRows()), args: workerArgs("remove", 1000),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				for _, id := range args {
					callCtx, cancel := a.call(ctx)
					err := c.RemoveWorker(callCtx, id, force)
					cancel()
					if err != nil {
						return err
					}
				}
				a.talk("%s removed", plural(len(args), "worker"))
				return nil
			})
		},
	})
}
