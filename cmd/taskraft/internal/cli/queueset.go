package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// queueDefaults are the flags of `queue set`.
type queueDefaults struct {
	priority               int32
	timeout, retain        time.Duration
	maxAttempts            int
	backoff                []time.Duration
	retainCount            uint64
	retainBytes            int64
	priorityGiven          bool
	countGiven, bytesGiven bool
	unset                  []string
}

// defaultNames are what --unset takes.
var defaultNames = []string{"priority", "timeout", "max-attempts", "backoff", "retain", "retain-count", "retain-bytes"}

func (d *queueDefaults) rows() settings.Table {
	const year = 365 * 24 * time.Hour
	return settings.Table{
		{Flag: "priority", Arg: "N", Value: settings.Int(&d.priority, -100, 100, &d.priorityGiven), Doc: "priority, higher first"},
		{Flag: "timeout", Arg: "DURATION", Value: settings.Duration(&d.timeout, time.Millisecond, 30*24*time.Hour), Doc: "limit of one attempt"},
		{Flag: "max-attempts", Arg: "N", Value: settings.Int(&d.maxAttempts, 1, 100, nil), Doc: "attempts before a task is DEAD"},
		{Flag: "backoff", Arg: "BASE,MAX", List: true, Value: backoffValue(&d.backoff), Doc: "pause after a failure, doubling up to MAX", Example: "1s,10m"},
		{Flag: "retain", Arg: "DURATION", Value: settings.Duration(&d.retain, time.Second, year), Doc: "how long the records of ended tasks are kept"},
		{Flag: "retain-count", Arg: "N", Value: settings.Int(&d.retainCount, 0, 1<<40, &d.countGiven), Doc: "how many of them are kept"},
		{Flag: "retain-bytes", Arg: "SIZE", Value: givenSize(&d.retainBytes, &d.bytesGiven), Doc: "how large they may be in all", Example: "64MiB"},
		{Flag: "unset", Arg: "NAME,...", List: true, Value: settings.List(&d.unset, settings.OneOf(defaultNames...)), Doc: "take the cluster's default again: " + strings.Join(defaultNames, ", ")},
	}
}

// sizeGiven notes that a size was given.
type sizeGiven struct {
	settings.Value
	given *bool
}

func (s sizeGiven) Set(texts []string) error {
	*s.given = true
	return s.Value.Set(texts)
}

func givenSize(p *int64, given *bool) settings.Value {
	return sizeGiven{settings.Size(p, 0, 1<<40), given}
}

// backoffPair takes BASE or BASE,MAX.
type backoffPair struct{ p *[]time.Duration }

func backoffValue(p *[]time.Duration) settings.Value { return backoffPair{p} }

func (b backoffPair) Set(texts []string) error {
	const most = 30 * 24 * time.Hour
	if len(texts) > 2 {
		return &settings.Invalid{Problem: "more than two durations", Want: "BASE or BASE,MAX"}
	}
	pair := make([]time.Duration, len(texts))
	for i, s := range texts {
		if err := settings.Duration(&pair[i], time.Millisecond, most).Set([]string{s}); err != nil {
			return err
		}
	}
	if len(pair) == 2 && pair[1] < pair[0] {
		return &settings.Invalid{Problem: "the maximum is less than the base", Want: "BASE,MAX with MAX ≥ BASE"}
	}
	*b.p = pair
	return nil
}

func (b backoffPair) String() string {
	var out []string
	for _, d := range *b.p {
		out = append(out, settings.ShortDuration(d))
	}
	return strings.Join(out, ",")
}

func (a *app) queueSetCommand() *cobra.Command {
	d := new(queueDefaults)
	return a.command(commandSpec{
		use: "set QUEUE [flags]", short: "Set the options that a queue's tasks take when they have none",
		long:    "Set the options that a queue's tasks take when they have none. What is not named stays as it is.",
		example: "  taskraft queue set mail --timeout 30s --max-attempts 10\n  taskraft queue set mail --unset timeout",
		rows:    concat(d.rows(), a.dataRows()), args: queueArgs("set", 1),
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				now, err := c.Queue(ctx, args[0])
				if err != nil && classify(err).code != exitNotFound {
					return err
				}
				q, err := c.SetQueueDefaults(ctx, args[0], d.over(now.GetDefaults()))
				if err != nil {
					return err
				}
				return a.printQueue(q)
			})
		},
	})
}

// over is what was set before, with what the flags say on top.
func (d *queueDefaults) over(old *taskraftv1.QueueDefaults) client.QueueDefaults {
	n := client.QueueDefaults{
		Timeout: old.GetTimeout().AsDuration(), MaxAttempts: int(old.GetMaxAttempts()), Retain: old.GetRetain().AsDuration(),
		BackoffBase: old.GetBackoff().GetBase().AsDuration(), BackoffMax: old.GetBackoff().GetMax().AsDuration(),
	}
	if old != nil {
		n.Priority, n.RetainCount, n.RetainBytes = old.Priority, old.RetainCount, old.RetainBytes
	}
	for _, name := range d.unset {
		switch name {
		case "priority":
			n.Priority = nil
		case "timeout":
			n.Timeout = 0
		case "max-attempts":
			n.MaxAttempts = 0
		case "backoff":
			n.BackoffBase, n.BackoffMax = 0, 0
		case "retain":
			n.Retain = 0
		case "retain-count":
			n.RetainCount = nil
		case "retain-bytes":
			n.RetainBytes = nil
		}
	}
	if d.priorityGiven {
		n.Priority = &d.priority
	}
	if d.countGiven {
		n.RetainCount = &d.retainCount
	}
	if d.bytesGiven {
		bytes := uint64(d.retainBytes)
		n.RetainBytes = &bytes
	}
	n.Timeout, n.Retain = orOld(d.timeout, n.Timeout), orOld(d.retain, n.Retain)
	n.MaxAttempts = orOld(d.maxAttempts, n.MaxAttempts)
	if pair := slices.Concat(d.backoff, []time.Duration{0, 0}); len(d.backoff) > 0 {
		n.BackoffBase, n.BackoffMax = pair[0], pair[1]
	}
	return n
}

func orOld[T comparable](given, old T) T {
	var zero T
	if given == zero {
		return old
	}
	return given
}
