package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/taskraft/taskraft/internal/load"
	"github.com/taskraft/taskraft/internal/proc"
)

const (
	payload = 256 // bytes, where nothing else is said
	// startPatience is how long masters may take to have a leader.
	startPatience = 30 * time.Second
)

// bench is one run.
type bench struct {
	options
	began   time.Time
	step    string
	storage string
	figures []figure
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.1f s  %-8s %s\n", time.Since(b.began).Seconds(), b.step, fmt.Sprintf(format, args...))
}

// note records one figure of the step.
func (b *bench) note(what string, value float64, unit string) { b.judge(what, value, unit, bound{}) }

// judge records a figure that has a target, which only a full run must meet.
func (b *bench) judge(what string, value float64, unit string, want bound) {
	f := figure{Step: b.step, What: what, Value: value, Unit: unit, Short: b.short, Time: time.Now().UTC().Truncate(time.Second)}
	if want != (bound{}) {
		f.Target, f.Met = want.String(), new(want.holds(value))
	}
	b.figures = append(b.figures, f)
	b.say("%s: %s %s", what, number(value), unit)
}

// with starts a cluster of n masters, has it used and ends it.
func (b *bench) with(ctx context.Context, n int, args []string, use func(context.Context, *proc.Cluster) error) (err error) {
	dir, storage, err := proc.Scratch(b.data)
	if err != nil {
		return err
	}
	b.storage = storage
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := proc.NewCluster(b.binary, dir, n, append([]string{"--log-level", "warn", "--max-payload", "1MiB"}, args...)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Start(); err != nil {
		return err
	}
	started, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if _, err := c.Leader(started); err == nil {
		err = use(ctx, c)
		if err == nil {
			return nil
		}
		return fmt.Errorf("%w\n%s", err, c.Logs())
	}
	return fmt.Errorf("%w\n%s", err, c.Logs())
}

// batched and single are the two loads; both keep the masters busy.
func (b *bench) batched(c *proc.Cluster) load.Config {
	return b.load(c, load.Config{Producers: 8, Batch: 500, Workers: 4, Slots: 4000})
}

func (b *bench) single(c *proc.Cluster) load.Config {
	return b.load(c, load.Config{Producers: 64, Batch: 1, Workers: 4, Slots: 64})
}

func (b *bench) load(c *proc.Cluster, cfg load.Config) load.Config {
	cfg.Masters, cfg.Payload, cfg.Logger = c.Addrs(), payload, slog.New(slog.DiscardHandler)
	cfg.Warmup, cfg.Duration = b.measure/5, b.measure
	return cfg
}

// outcome is what a load came to.
type outcome struct {
	*load.Report
	perSecond float64       // lifecycles
	cost      time.Duration // CPU of all masters per lifecycle
}

// put puts a load on the cluster; a lost or doubled task is an error.
func (b *bench) put(ctx context.Context, c *proc.Cluster, cfg load.Config) (outcome, error) {
	during := cfg.During
	var cpu time.Duration
	cfg.During = func(ctx context.Context, gaps *load.Gaps) error {
		before := usage(c)
		defer func() { cpu = usage(c).CPU - before.CPU }()
		if during != nil {
			return during(ctx, gaps)
		}
		return sleep(ctx, cfg.Duration)
	}
	r, err := load.Run(ctx, cfg)
	if err != nil {
		return outcome{}, err
	}
	if r.Lost > 0 || r.Duplicates > 0 {
		return outcome{}, fmt.Errorf("lost %d acknowledged tasks, %d completions recorded twice", r.Lost, r.Duplicates)
	}
	if r.Completed == 0 {
		return outcome{}, fmt.Errorf("no task was completed; the last error of a submit: %w", r.LastError)
	}
	return outcome{r, float64(r.Completed) / r.Elapsed.Seconds(), cpu / time.Duration(r.Completed)}, nil
}

// usage adds up the masters' CPU and takes the largest memory.
func usage(c *proc.Cluster) proc.Usage {
	var all proc.Usage
	for _, m := range c.Masters() {
		u := m.Process().Usage()
		all.CPU += u.CPU
		all.RSS, all.PeakRSS = max(all.RSS, u.RSS), max(all.PeakRSS, u.PeakRSS)
	}
	return all
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
