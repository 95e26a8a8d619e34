package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/load"
	"github.com/taskraft/taskraft/internal/proc"
)

const (
	// killPause is how far kills are apart: observed death acts at most once in 5 s.
	killPause = 6 * time.Second
	// settle is how long after a kill completions must flow for the gap to be over.
	settle = 2 * time.Second
	// flowing is the silence below which completions flow.
	flowing = 100 * time.Millisecond
	// benchReach is how long a running cluster may take to answer.
	benchReach = 5 * time.Second
	// benchReady is how long the started cluster may take to have a leader.
	benchReady = 30 * time.Second
)

// benchRun is one run of `taskraft bench`.
type benchRun struct {
	app     *app
	flags   *benchFlags
	masters []string

	cluster *proc.Cluster // nil unless started here
	dir, fs string
	fsync   time.Duration
	gaps    []time.Duration
	faults  []checker.Fault                        // one for each gap
	victim  func(context.Context) (*victim, error) // nil: the started cluster's leader
	cpu     cpuTimes                               // of the measurement
}

// start starts a cluster on a real disk.
func (b *benchRun) start(ctx context.Context) error {
	dir, storage, err := proc.Scratch(b.flags.dataDir)
	if err != nil {
		return fail(exitData, "--data-dir DIR with a directory on a disk", "%w", err)
	}
	b.dir = dir
	if b.fs, b.fsync, err = datadir.Probe(dir); err != nil {
		return fail(exitData, "--data-dir DIR with a directory on a disk", "%w", err)
	}
	b.app.talk("data on %s in %s", storage, dir)
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find my own program: %w", err)
	}
	n, err := strconv.Atoi(b.flags.start)
	if err != nil {
		return err
	}
	args := []string{
		"--log-level", "warn", "--raft-timing", b.flags.raftTiming, "--log-store", b.flags.logStore,
		"--observed-death=" + strconv.FormatBool(b.flags.observedDeath), "--max-payload", "1MiB",
	}
	if b.cluster, err = proc.NewCluster(binary, dir, n, args...); err != nil {
		return err
	}
	if err := b.cluster.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, benchReady)
	defer cancel()
	leader, err := b.cluster.Leader(ctx)
	if err != nil {
		return b.explain(err)
	}
	b.masters = b.cluster.Addrs()
	b.app.talk("%s up, %s leads", plural(n, "master"), leader.Name)
	return nil
}

// reach makes sure that the given cluster has a leader.
func (b *benchRun) reach(ctx context.Context) error {
	c, err := client.New(client.Config{Masters: b.masters})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, benchReach)
	defer cancel()
	_, err = c.Queues(ctx)
	if errors.Is(err, client.ErrNoLeader) {
		return fail(exitNoLeader, "taskraft bench --start 3, or taskraft cluster status", "no leader at %s within %s", strings.Join(b.masters, ", "), benchReach)
	}
	return err
}

// explain adds the started masters' last words to an error.
func (b *benchRun) explain(err error) error {
	if b.cluster != nil && b.app.IO.Err != nil {
		b.app.talk("%s", b.cluster.Logs())
	}
	return err
}

// during is the measured part of the run.
func (b *benchRun) during(ctx context.Context, gaps *load.Gaps) error {
	before := b.cpuTimes()
	defer func() { b.cpu = b.cpuTimes().since(before) }()
	if b.flags.killLeader == 0 {
		return pause(ctx, b.flags.duration)
	}
	for i := range b.flags.killLeader {
		if err := b.kill(ctx, gaps, i+1); err != nil {
			return err
		}
	}
	return nil
}

// kill ends the leader with kill -9 under load, measures the gap, and starts it again.
func (b *benchRun) kill(ctx context.Context, gaps *load.Gaps, i int) error {
	find := b.victim
	if find == nil {
		find = b.startedVictim
	}
	leader, err := find(ctx)
	if err != nil {
		return err
	}
	gaps.Reset()
	at := time.Now()
	if err := leader.kill(ctx); err != nil {
		return err
	}
	err = proc.Poll(ctx, 10*time.Millisecond, "completions flow again", func() bool {
		return time.Since(at) > settle && gaps.Silence() < flowing
	})
	if err != nil {
		return err
	}
	gap := gaps.Longest()
	b.gaps = append(b.gaps, gap)
	b.faults = append(b.faults, checker.Fault{
		Kind: "kill leader", Target: leader.name, Start: at.UnixNano(), End: time.Now().UnixNano(),
		Effect: "completions go on after " + gap.String(),
	})
	b.app.talk("kill %d of %d: %s, gap %s", i, b.flags.killLeader, leader.name, gap.Round(100*time.Microsecond))
	if err := leader.back(ctx); err != nil {
		return err
	}
	return pause(ctx, killPause-time.Since(at))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *benchRun) progress(p load.Progress) {
	b.app.talk("%-8s %4.0fs  %9.0f lifecycles/s  submit p99 %s  %d unfinished",
		p.Phase, p.Elapsed.Seconds(), p.PerSecond, p.SubmitP99.Round(10*time.Microsecond), p.Unfinished)
}

// keep leaves the started cluster's data where it is.
func (b *benchRun) keep() {
	if b.dir != "" {
		b.app.talk("the masters' data stays in %s", b.dir)
		b.dir = ""
	}
}

// close ends the started cluster and removes its data.
func (b *benchRun) close() {
	var errs []error
	if b.cluster != nil {
		errs = append(errs, b.cluster.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	if err := errors.Join(errs...); err != nil {
		b.app.warn("clean up: %s", err)
	}
}

// gapStats returns the middle and the longest gap.
func (b *benchRun) gapStats() (p50, longest time.Duration) {
	if len(b.gaps) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(b.gaps))
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}
