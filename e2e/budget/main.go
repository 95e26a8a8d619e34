package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	warmup  = 4 * time.Second
	measure = 8 * time.Second
	margin  = time.Second // of the measure, before and after the samples
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: budget TASKRAFT [FLAG OF TASKRAFT BENCH]...")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "budget:", err)
		os.Exit(1)
	}
}

// run loads a cluster, samples all cores in the middle of the measure and prints
// the account.
func run(ctx context.Context, taskraft string, args []string) (err error) {
	perf, err := exec.LookPath("perf")
	if err != nil {
		return fmt.Errorf("perf is not installed (package linux-perf): %w", err)
	}
	dir, err := os.MkdirTemp("", "budget-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "perf.data")

	args = append([]string{
		"bench", "--start", "3", "--warmup", warmup.String(), "--duration", measure.String(), "-o", "json",
	}, args...)
	bench := exec.CommandContext(ctx, taskraft, args...)
	bench.Cancel = func() error { return bench.Process.Signal(syscall.SIGTERM) } // it ends its masters
	var report bytes.Buffer
	bench.Stdout, bench.Stderr = &report, os.Stderr
	if err := bench.Start(); err != nil {
		return err
	}
	sampled := sample(ctx, perf, data)
	if err := errors.Join(bench.Wait(), sampled); err != nil {
		return err
	}
	var found struct {
		Rate float64 `json:"lifecycles_per_second"`
	}
	if err := json.Unmarshal(report.Bytes(), &found); err != nil {
		return fmt.Errorf("read the report of bench: %w", err)
	}
	if found.Rate <= 0 {
		return errors.New("no lifecycle was done")
	}
	var script bytes.Buffer
	print := exec.CommandContext(ctx, perf, "script", "-i", data, "-F", "comm,pid,ip,sym")
	print.Stdout = &script
	if err := print.Run(); err != nil {
		return fmt.Errorf("perf script: %w", err)
	}
	stacks, err := readStacks(&script)
	if err != nil {
		return err
	}
	fmt.Printf("%.0f lifecycles/s, %d samples of %d cores\n\n", found.Rate, len(stacks), runtime.NumCPU())
	return take(stacks, filepath.Base(taskraft)).write(os.Stdout, runtime.NumCPU(), found.Rate)
}

// sample records what all cores do in the middle of the measure.
func sample(ctx context.Context, perf, data string) error {
	select {
	case <-time.After(warmup + 2*margin): // masters start in less than margin
	case <-ctx.Done():
		return ctx.Err()
	}
	seconds := strconv.Itoa(int((measure - 2*margin) / time.Second))
	record := exec.CommandContext(ctx, perf, "record", "-a", "-g", "-F", "999", "-o", data, "--", "sleep", seconds)
	if out, err := record.CombinedOutput(); err != nil {
		return fmt.Errorf("perf record: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
