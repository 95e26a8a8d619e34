package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/internal/load"
)

// benchFlags are the flags of `taskraft bench`.
type benchFlags struct {
	start, dataDir   string
	producers, batch int
	workers, slots   int
	payload          int64
	backlog          int
	duration, warmup time.Duration
	killLeader       int
	observedDeath    bool
	raftTiming       string
	logStore         string
}

func (f *benchFlags) rows() settings.Table {
	return settings.Table{
		{Flag: "start", Arg: "1|3|5", Value: settings.Text(&f.start, settings.OneOf("1", "3", "5")), Doc: "start this many masters as processes of their own, instead of using --masters"},
		{Flag: "data-dir", Arg: "DIR", Default: ".data", Value: settings.Text(&f.dataDir, checkPath), Doc: "where the started masters keep their data, on a real disk; removed at the end"},
		{Flag: "producers", Arg: "N", Default: "64", Value: settings.Int(&f.producers, 1, 10_000, nil), Doc: "goroutines that submit, each one call at a time"},
		{Flag: "batch", Arg: "N", Default: "1", Value: settings.Int(&f.batch, 1, 1000, nil), Doc: "tasks per submit call"},
		{Flag: "workers", Arg: "N", Default: "4", Value: settings.Int(&f.workers, 1, 1000, nil), Doc: "workers, each with a stream of its own"},
		{Flag: "slots", Arg: "N", Default: "64", Value: settings.Int(&f.slots, 1, 1_000_000, nil), Doc: "tasks that run at once, on all workers together"},
		{Flag: "payload", Arg: "SIZE", Default: "256", Value: settings.Size(&f.payload, 8, 1<<20), Doc: "payload of a task", Example: "256"},
		{Flag: "backlog", Arg: "N", Default: "0", Value: settings.Int(&f.backlog, 0, 100_000_000, nil), Doc: "tasks submitted and not completed at most; 0 for as many as keep all slots busy"},
		{Flag: "duration", Arg: "DURATION", Default: "10s", Value: settings.Duration(&f.duration, 100*time.Millisecond, 24*time.Hour), Doc: "how long to measure"},
		{Flag: "warmup", Arg: "DURATION", Default: "2s", Value: settings.Duration(&f.warmup, time.Millisecond, time.Hour), Doc: "how long to run before that"},
		{Flag: "kill-leader", Arg: "N", Value: settings.Int(&f.killLeader, 0, 1000, nil), Doc: "with --start 3 or 5: measure the gap in completions when the leader is killed with -9, N times"},
		{Flag: "observed-death", Default: "true", Value: settings.Switch(&f.observedDeath), Doc: "the started masters' --observed-death"},
		{Flag: "raft-timing", Arg: "default|lan|wan", Default: "default", Value: settings.Text(&f.raftTiming, settings.OneOf("default", "lan", "wan")), Doc: "the started masters' --raft-timing"},
		{Flag: "log-store", Arg: "wal|bolt", Default: "wal", Value: settings.Text(&f.logStore, settings.OneOf("wal", "bolt")), Doc: "the started masters' --log-store"},
	}
}

func (a *app) benchCommand() *cobra.Command {
	f := new(benchFlags)
	return a.command(commandSpec{
		use: "bench [flags]", short: "Measure throughput, latencies and fail-over under load",
		long: `Put a load on a running cluster (--masters), or on one that it starts itself as
separate processes with real fsync (--start 3). Producers submit no-op tasks, workers
in this process complete them; a lifecycle counts when the completion is confirmed.
In the end every acknowledged task is compared with the confirmed completions.`,
		example: `  taskraft bench --start 3 --producers 64 --batch 1 --slots 64
  taskraft bench --start 3 --producers 8 --batch 500 --slots 2000
  taskraft bench --start 3 --kill-leader 20 -o json`,
		rows: concat(f.rows(), a.config.outputRows(), a.config.mastersRows()),
		check: func() []settings.Problem {
			var out []settings.Problem
			if f.killLeader > 0 && f.start != "3" && f.start != "5" {
				out = append(out, settings.Problem{Where: "--kill-leader", Problem: "the leader can only be killed in a cluster that survives it and was started for that", Want: "--start 3 or --start 5", Do: "say --start 3"})
			}
			if f.slots > 0 && f.workers > f.slots {
				out = append(out, settings.Problem{Where: "--slots", Problem: "fewer slots than workers", Got: fmt.Sprint(f.slots), Want: fmt.Sprintf("%d or more", f.workers), Do: "raise --slots or lower --workers"})
			}
			return out
		},
		run: func(ctx context.Context, _ []string) error { return a.runBench(ctx, f) },
	})
}

func (a *app) runBench(ctx context.Context, f *benchFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	b := &benchRun{app: a, flags: f, masters: a.config.masters}
	defer b.close()
	if f.start != "" {
		if err := b.start(ctx); err != nil {
			return err
		}
	} else if err := b.reach(ctx); err != nil {
		return err
	}
	cfg := load.Config{
		Masters: b.masters, Producers: f.producers, Batch: f.batch, Workers: f.workers, Slots: f.slots,
		Payload: int(f.payload), Backlog: f.backlog, Warmup: f.warmup, Duration: f.duration,
		Progress: b.progress, Logger: slog.New(slog.DiscardHandler),
		During: func(ctx context.Context, gaps *load.Gaps) error { return b.during(ctx, gaps) },
	}
	report, err := load.Run(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return quietly(exitInterrupted)
		}
		return b.explain(err)
	}
	return b.finish(report)
}
