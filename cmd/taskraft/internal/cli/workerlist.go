package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func (a *app) newWorkerList() *show.List[*taskraftv1.Worker] {
	now := time.Now()
	type W = *taskraftv1.Worker
	return show.NewList(a.printer(), "workers", W.GetWorkerId, []show.Column[W]{
		{Head: "WORKER", Cell: W.GetWorkerId, Full: true},
		{Head: "STATE", Cell: workerState, Tint: workerTint},
		{Head: "MODE", Cell: W.GetMode},
		{Head: "QUEUES", Cell: workerQueues},
		{Head: "LABELS", Cell: func(w W) string { return labelText(w.GetLabels()) }},
		{Head: "HELD", Right: true, Cell: heldText},
		{Head: "DONE", Right: true, Cell: func(w W) string { return inSession(w, strconv.FormatUint(w.GetCompletedTotal(), 10)) }},
		{Head: "FAILED", Right: true, Cell: func(w W) string { return inSession(w, strconv.FormatUint(w.GetFailedTotal(), 10)) }},
		{Head: "HEARD", Right: true, Cell: func(w W) string { return heardText(now, w) }},
		{Head: "UP", Right: true, Cell: func(w W) string { return since(now, w.GetOpenTime()) }},
		{Head: "SESSION", Right: true, Wide: true, Cell: func(w W) string { return nonZero(w.GetSession()) }},
		{Head: "PUSH", Wide: true, Cell: W.GetPush},
		{Head: "BOOT", Wide: true, Cell: W.GetBootId},
		{Head: "HOST", Wide: true, Cell: W.GetHost},
		{Head: "PID", Right: true, Wide: true, Cell: func(w W) string { return nonZero(uint64(w.GetPid())) }},
		{Head: "VERSION", Cell: W.GetVersion},
	})
}

// workerState is the state's word, as in "online".
func workerState(w *taskraftv1.Worker) string {
	return strings.ToLower(strings.TrimPrefix(w.GetState().String(), "WORKER_"))
}

func workerTint(w *taskraftv1.Worker) int {
	switch w.GetState() {
	case taskraftv1.WorkerState_WORKER_ONLINE:
		return show.Green
	case taskraftv1.WorkerState_WORKER_AWAY:
		return show.Red
	case taskraftv1.WorkerState_WORKER_DRAINING, taskraftv1.WorkerState_WORKER_DRAINED:
		return show.Yellow
	}
	return show.Faint
}

func workerQueues(w *taskraftv1.Worker) string {
	var out []string
	for _, q := range w.GetQueues() {
		s := q.GetQueue()
		if q.GetWeight() > 1 {
			s += "=" + strconv.FormatUint(uint64(q.GetWeight()), 10)
		}
		out = append(out, s)
	}
	return strings.Join(out, ",")
}

// labelText prints labels as k=v,… by key.
func labelText(labels map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, key+"="+labels[key])
	}
	return strings.Join(out, ",")
}

func heldText(w *taskraftv1.Worker) string {
	return inSession(w, fmt.Sprintf("%d/%d", w.GetHeld(), w.GetSlots()))
}

// inSession is empty for a worker without a session.
func inSession(w *taskraftv1.Worker, text string) string {
	if w.GetSession() == 0 {
		return ""
	}
	return text
}

// heardText is how long ago the worker was heard; of one without a session, when
// that ended.
func heardText(now time.Time, w *taskraftv1.Worker) string {
	switch {
	case w.GetSession() == 0:
		return since(now, w.GetSeenTime())
	case w.GetSilent() == nil:
		return ""
	}
	return show.Duration(max(w.GetSilent().AsDuration(), time.Millisecond))
}

func (a *app) workerListCommand() *cobra.Command {
	var gone bool
	rows := settings.Table{{Flag: "gone", Value: settings.Switch(&gone), Doc: "also workers whose session has ended within the last 24 h"}}
	return a.command(commandSpec{
		use: "list [flags]", short: "List workers with their sessions, slots and counters",
		example: "  taskraft worker list\n  taskraft worker list -o json | jq -r '.workers[] | select(.held == 0) | .worker_id'",
		rows:    concat(rows, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				workers, err := c.Workers(ctx, gone)
				if err != nil {
					return err
				}
				list := a.newWorkerList()
				for _, w := range workers {
					if err := list.Add(w); err != nil {
						return err
					}
				}
				if len(workers) == 0 && a.printer().People() {
					a.talk("no workers: taskraft worker run starts one")
				}
				return list.Close()
			})
		},
	})
}

func (a *app) workerGetCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "get WORKER [flags]", short: "Show one worker: session, slots, counters and the tasks it holds",
		rows: a.dataRows(), args: workerArgs("get", 1),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				w, err := c.Worker(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printWorker(w)
			})
		},
	})
}

// workerArgs checks the ids of at most most workers.
func workerArgs(verb string, most int) func(*cobra.Command, []string) []settings.Problem {
	form := settings.Match("a worker's id", workerIDForm)
	return func(_ *cobra.Command, args []string) []settings.Problem {
		if len(args) == 0 {
			return missing("WORKER", "taskraft worker "+verb+" w1")
		}
		var bad []settings.Problem
		for i, id := range args {
			switch {
			case i >= most:
				bad = append(bad, settings.Problem{Where: "argument WORKER", Problem: "too many", Got: quoted(id), Want: plural(most, "worker"), Do: "leave it out"})
			case form(id) != nil:
				bad = append(bad, settings.Problem{Where: "argument WORKER", Problem: "not a worker's id", Got: quoted(id), Want: workerIDForm, Do: "see taskraft worker list"})
			}
		}
		return bad
	}
}

// printWorker prints the status report of one worker.
func (a *app) printWorker(w *taskraftv1.Worker) error {
	return a.printer().Object(w, w.GetWorkerId(), func(out io.Writer) error { return describeWorker(out, w) })
}

func describeWorker(out io.Writer, w *taskraftv1.Worker) error {
	now := time.Now()
	drained := ""
	if w.GetDrained() {
		drained = "yes: no ordinary tasks until taskraft worker drain --undo " + w.GetWorkerId()
	}
	ttl := ""
	if w.GetTtl() != nil {
		ttl = w.GetTtl().AsDuration().String()
	}
	err := show.Fields(out,
		"worker", w.GetWorkerId(),
		"state", workerState(w),
		"drained", drained,
		"mode", w.GetMode(),
		"called at", w.GetPush(),
		"session", nonZero(w.GetSession()),
		"boot", show.Clean(w.GetBootId()),
		"version", show.Clean(w.GetVersion()),
		"host", show.Clean(w.GetHost()),
		"pid", nonZero(uint64(w.GetPid())),
		"labels", show.Clean(labelText(w.GetLabels())),
		"queues", workerQueues(w),
		"ttl", ttl,
		"last heard", ago(heardText(now, w)),
		"session since", stamp(w.GetOpenTime()),
		"slots", inSession(w, fmt.Sprintf("%d of %d in use", w.GetHeld(), w.GetSlots())),
		"tasks", inSession(w, fmt.Sprintf("%d assigned, %d completed, %d failed in this session", w.GetAssignedTotal(), w.GetCompletedTotal(), w.GetFailedTotal())),
	)
	if err != nil {
		return err
	}
	for _, t := range w.GetTasks() {
		if _, err := fmt.Fprintf(out, "  %s task %d, fence %d, queue %s, kind %q, for %s of %s\n", t.GetState(), t.GetTask(), t.GetFence(),
			t.GetQueue(), show.Clean(t.GetKind()), since(now, t.GetStartTime()),
			show.Duration(t.GetDeadline().AsTime().Sub(t.GetStartTime().AsTime()))); err != nil {
			return err
		}
	}
	return nil
}

func ago(text string) string {
	if text == "" {
		return ""
	}
	return text + " ago"
}
