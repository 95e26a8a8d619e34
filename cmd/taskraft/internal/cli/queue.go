package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func (a *app) queueCommand() *cobra.Command {
	return a.group("queue", "Look at queues, pause and purge them, set their options",
		a.queueListCommand(), a.queueGetCommand(), a.queueSetCommand(),
		a.queueSwitchCommand("pause", "Stop assignments from queues; running tasks go on", (*client.Client).PauseQueue),
		a.queueSwitchCommand("resume", "End the pause of queues", (*client.Client).ResumeQueue),
		a.queuePurgeCommand())
}

func (a *app) newQueueList() *show.List[*taskraftv1.Queue] {
	now := time.Now()
	type Q = *taskraftv1.Queue
	number := func(head string, wide bool, get func(Q) uint64) show.Column[Q] {
		return show.Column[Q]{Head: head, Right: true, Wide: wide, Cell: func(q Q) string { return strconv.FormatUint(get(q), 10) }}
	}
	return show.NewList(a.printer(), "queues", Q.GetName, []show.Column[Q]{
		{Head: "QUEUE", Cell: Q.GetName},
		{Head: "HELD BY", Cell: Q.GetHeldBy, Tint: func(Q) int { return show.Yellow }},
		number("SCHEDULED", false, Q.GetScheduled), number("READY", false, Q.GetReady), number("RUNNING", false, Q.GetRunning),
		number("STOPPING", true, Q.GetStopping), number("SUCCEEDED", false, Q.GetSucceeded),
		{
			Head: "DEAD", Right: true, Cell: func(q Q) string { return strconv.FormatUint(q.GetDead(), 10) },
			Tint: func(q Q) int { return min(int(q.GetDead()), 1) * show.Red },
		},
		number("CANCELLED", false, Q.GetCancelled), number("SUBMITTED", false, Q.GetSubmittedTotal), number("TRIMMED", true, Q.GetTrimmedTotal),
		{Head: "OLDEST READY", Right: true, Cell: func(q Q) string { return since(now, q.GetOldestReadyTime()) }},
	})
}

func (a *app) queueListCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "list [flags]", short: "List queues with their counters", rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				queues, err := c.Queues(ctx)
				if err != nil {
					return err
				}
				list := a.newQueueList()
				for _, q := range queues {
					if err := list.Add(q); err != nil {
						return err
					}
				}
				if len(queues) == 0 && a.printer().People() {
					a.talk("no queues: the first submit makes one")
				}
				return list.Close()
			})
		},
	})
}

func (a *app) queueGetCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "get QUEUE [flags]", short: "Show one queue with its counters and settings",
		rows: a.dataRows(), args: queueArgs("get", 1),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				q, err := c.Queue(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printQueue(q)
			})
		},
	})
}

// queueArgs checks the names of at most most queues.
func queueArgs(verb string, most int) func(*cobra.Command, []string) []settings.Problem {
	return nameArgs("QUEUE", "queue", "taskraft queue "+verb+" mail", "taskraft queue list", most)
}

// nameArgs checks the names of at most most things of a kind, which have the form
// of queues' names.
func nameArgs(arg, kind, example, list string, most int) func(*cobra.Command, []string) []settings.Problem {
	return func(_ *cobra.Command, args []string) []settings.Problem {
		if len(args) == 0 {
			return missing(arg, example)
		}
		var bad []settings.Problem
		for i, name := range args {
			switch {
			case i >= most:
				bad = append(bad, settings.Problem{Where: "argument " + arg, Problem: "too many", Got: quoted(name), Want: plural(most, kind), Do: "leave it out"})
			case checkQueue(name) != nil:
				bad = append(bad, settings.Problem{Where: "argument " + arg, Problem: "not a " + kind + "'s name", Got: quoted(name), Want: queueForm, Do: "see " + list})
			}
		}
		return bad
	}
}

func (a *app) printQueue(q *taskraftv1.Queue) error {
	return a.printer().Object(q, q.GetName(), func(w io.Writer) error {
		list := a.newQueueList()
		if err := list.Add(q); err != nil {
			return err
		}
		if err := list.Close(); err != nil {
			return err
		}
		return show.Fields(w, settingsOf(q)...)
	})
}

// settingsOf are the settings that were made on a queue, as label and value.
func settingsOf(q *taskraftv1.Queue) []string {
	s := q.GetSettings()
	var out []string
	add := func(set bool, name, value string) {
		if set {
			out = append(out, name, value)
		}
	}
	add(s.GetTimeout() != nil, "default timeout", s.GetTimeout().AsDuration().String())
	add(s != nil && s.Priority != nil, "default priority", strconv.Itoa(int(s.GetPriority())))
	add(s != nil && s.MaxAttempts != nil, "default max attempts", strconv.Itoa(int(s.GetMaxAttempts())))
	add(s.GetBackoff() != nil, "default backoff", fmt.Sprintf("%s, at most %s", s.GetBackoff().GetBase().AsDuration(), s.GetBackoff().GetMax().AsDuration()))
	add(s.GetRetain() != nil, "default retain", s.GetRetain().AsDuration().String())
	add(s != nil && s.RetainCount != nil, "retain count", strconv.FormatUint(s.GetRetainCount(), 10))
	add(s != nil && s.RetainBytes != nil, "retain bytes", settings.FormatSize(int64(s.GetRetainBytes())))
	add(s != nil && s.MaxRunning != nil, "max running", strconv.Itoa(int(s.GetMaxRunning())))
	add(s != nil && s.MaxRunningPerKey != nil, "max running per key", strconv.Itoa(int(s.GetMaxRunningPerKey())))
	if r := s.GetRate(); r != nil {
		add(true, "rate", fmt.Sprintf("%s, burst %d", rateText(r.GetTokens(), r.GetPeriod().AsDuration()), r.GetBurst()))
	}
	add(s != nil && s.MaxTasks != nil, "max tasks", strconv.FormatUint(s.GetMaxTasks(), 10))
	add(s != nil && s.MaxBytes != nil, "max bytes", fmt.Sprintf("%s, %s in use", settings.FormatSize(int64(s.GetMaxBytes())), settings.FormatSize(int64(q.GetPayloadBytes()))))
	add(s.GetSelfFence(), "self fence", "attempts stop when their worker hears of no master")
	add(s.GetAgeing() != nil, "ageing", s.GetAgeing().AsDuration().String()+" for a step of priority")
	return out
}

func (a *app) queueSwitchCommand(verb, short string, do func(*client.Client, context.Context, string) (*taskraftv1.Queue, error)) *cobra.Command {
	return a.command(commandSpec{
		use: verb + " QUEUE… [flags]", short: short, rows: a.dataRows(), args: queueArgs(verb, 1000),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				list := a.newQueueList()
				for _, name := range args {
					callCtx, cancel := a.call(ctx)
					q, err := do(c, callCtx, name)
					cancel()
					if err != nil {
						return err
					}
					if err := list.Add(q); err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	})
}
