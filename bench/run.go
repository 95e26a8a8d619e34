package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/taskraft/taskraft/bench/cells"
	"github.com/taskraft/taskraft/bench/peer"
	"github.com/taskraft/taskraft/bench/report"
	"github.com/taskraft/taskraft/internal/proc"
)

// talk is for what is only of interest while it runs.
func talk(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// run measures everything and reports it.
func run(ctx context.Context, o options) (err error) {
	dir, storage, err := proc.Scratch(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Servers that run as another user must reach their data.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if o.taskraft, err = filepath.Abs(o.taskraft); err != nil {
		return err
	}
	file := &report.File{
		Time: time.Now().UTC(), Command: "make bench-peers BENCHARGS='" + strings.Join(os.Args[1:], " ") + "'",
		Rounds: o.rounds, Seconds: o.measure.Seconds(), Backlog: o.backlog, Versions: versions(ctx, o.taskraft), Settings: settings(o.systems),
	}
	if file.Machine, err = machine(dir); err != nil {
		return err
	}
	talk("data on %s in %s", storage, dir)
	file.Runs = measure(ctx, o, dir)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	file.Summary = report.Summarize(file.Runs)
	if err := report.Table(os.Stdout, file.Summary); err != nil {
		return err
	}
	if o.out != "" {
		if err := file.Write(o.out); err != nil {
			return err
		}
		talk("\nwritten: %s", filepath.Join(o.out, "peers.{json,svg}"))
	}
	return failures(file.Runs)
}

// measure makes all runs: in each round, for each cell, one after another on
// every system.
func measure(ctx context.Context, o options, dir string) []cells.Result {
	plan := &cells.Plan{
		Warmup: o.warmup, Measure: o.measure, Kills: o.kills, Backlog: o.backlog,
		Dir: dir, Taskraft: o.taskraft, Talk: talk,
	}
	missing := make(map[string]bool)
	var results []cells.Result
	for round := range o.rounds {
		for _, c := range o.cells {
			for _, s := range o.systems {
				ways := c.Ways(s)
				if o.mainWays && len(ways) > 0 {
					ways = ways[:1]
				}
				for _, way := range ways {
					if ctx.Err() != nil || missing[s.Name] {
						continue
					}
					r := plan.Run(ctx, c, s, way)
					r.Round = round + 1
					missing[s.Name] = r.Skipped != ""
					results = append(results, r)
					talk("round %d/%d  %-10s %-15s %-26s %s", r.Round, o.rounds, c.Name, s.Name, way, outcome(r))
				}
			}
		}
	}
	return results
}

func outcome(r cells.Result) string {
	switch {
	case r.Skipped != "":
		return "skipped: " + r.Skipped
	case r.Failed != "":
		return "failed: " + r.Failed
	}
	text := fmt.Sprintf("%8.0f/s, submit p50 %.2f ms", r.Lifecycles, r.SubmitP50)
	if len(r.Gaps) > 0 {
		text = fmt.Sprintf("gaps %.1f ms", r.Gaps)
	}
	if r.Unfinished > 0 || r.Repeated > 0 || r.SubmitErrors > 0 {
		text += fmt.Sprintf(", %d unfinished, %d repeated, %d failed submits %s", r.Unfinished, r.Repeated, r.SubmitErrors, r.LastError)
	}
	return text
}

func settings(systems []peer.Spec) map[string][]string {
	all := make(map[string][]string)
	for _, s := range systems {
		all[s.Name] = s.Settings
	}
	return all
}

// failures is an error if any run failed; a skipped system is none.
func failures(results []cells.Result) error {
	failed := 0
	for _, r := range results {
		if r.Failed != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d runs failed", failed, len(results))
	}
	return nil
}
