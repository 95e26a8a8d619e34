package command

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/worker"
)

func newLimitedRunner(t *testing.T, l Limits) *runner {
	t.Helper()
	r, err := newRunner(Config{Allow: []string{"*"}, Grace: 50 * time.Millisecond, Limits: l, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A program has its limits from its first instruction on, and so have its
// children; the worker itself does not.
func TestLimitsAreSet(t *testing.T) {
	r := newLimitedRunner(t, Limits{Memory: 512 << 20, CPU: 7 * time.Second, FileSize: 1 << 20, Files: 32})
	const show = `ulimit -v; ulimit -t; ulimit -f; ulimit -n; ulimit -H -t`
	const want = "524288\n7\n2048\n32\n8\n"
	for name, script := range map[string]string{"program": show, "child": `sh -c '` + show + `'`} {
		if got, err := execute(t, t.Context(), r, sh(script)); err != nil || got.Stdout != want {
			t.Errorf("%s: got %q, %v, want %q", name, got.Stdout, err, want)
		}
	}
	got, err := execute(t, t.Context(), newTestRunner(t, "*"), sh(show))
	if err != nil || strings.HasPrefix(got.Stdout, "524288") {
		t.Errorf("without limits: %q, %v", got.Stdout, err)
	}
}

// What goes beyond a limit fails, and the result says of what.
func TestLimitsHold(t *testing.T) {
	r := newLimitedRunner(t, Limits{Memory: 128 << 20, CPU: time.Second, FileSize: 4096, Files: 8})
	file := filepath.Join(t.TempDir(), "file")
	for _, tt := range []struct {
		name, script, signal, stderr string
	}{
		{"memory", `exec dd if=/dev/zero of=/dev/null bs=256M count=1`, "", "memory"},
		{"processor time", `while :; do :; done`, "SIGXCPU", ""},
		{"file size", `exec dd if=/dev/zero bs=5000 count=2 of=` + file, "SIGXFSZ", ""},
		{"open files", `exec tee` + strings.Repeat(" /dev/null", 8), "", "open files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := execute(t, t.Context(), r, sh(tt.script))
			if err == nil || permanent(err) || got.Signal != tt.signal || !strings.Contains(got.Stderr, tt.stderr) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A program with limits is stopped like any other.
func TestLimitedProgramIsStopped(t *testing.T) {
	r := newLimitedRunner(t, Limits{Files: 64})
	pids := filepath.Join(t.TempDir(), "pids")
	p := sh(`sleep 1000 & { echo $$ $!; echo .; } > $PIDS; wait`)
	p.Env = env{"PIDS": pids}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		started(t, pids)
		cancel(worker.ErrCancelled)
	}()
	if _, err := execute(t, ctx, r, p); !errors.Is(err, worker.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	wantDead(t, pids)
}

func TestBadLimits(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		want   string
	}{
		{Limits{Memory: 1}, "limit of memory: got 1 bytes, want 1048576"},
		{Limits{CPU: time.Millisecond}, "limit of processor time: got 1ms"},
		{Limits{CPU: 1500 * time.Millisecond}, "whole seconds"},
		{Limits{FileSize: -1}, "limit of file size: got -1 bytes"},
		{Limits{Files: 3}, "limit of open files: got 3, want 8"},
	} {
		if _, err := New(Config{Allow: []string{"*"}, Limits: tt.limits}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.limits, err, tt.want)
		}
	}
}
