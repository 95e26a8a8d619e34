package proc

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(Spec{Name: "p", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcessEnds(t *testing.T) {
	p := start(t, "echo hello; exit 3")
	if err := p.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Wait returned %v, want the exit status", err)
	}
	if p.Running() {
		t.Error("an ended process runs")
	}
	if got := p.LogTail(100); got != "hello\n" {
		t.Errorf("log is %q", got)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to an ended process: %v", err)
	}
}

func TestProcessStops(t *testing.T) {
	if err := start(t, "exec sleep 100").Stop(time.Minute); err != nil {
		t.Error(err)
	}
	stubborn := start(t, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
	err := Poll(t.Context(), time.Millisecond, "the trap is set", func() bool { return stubborn.LogTail(9) != "" })
	if err != nil {
		t.Fatal(err)
	}
	if err := stubborn.Stop(10 * time.Millisecond); err == nil {
		t.Error("a process that ignores SIGTERM stopped in time")
	}
	if stubborn.Running() {
		t.Error("a process that ignores SIGTERM still runs")
	}
}

func TestStartFails(t *testing.T) {
	_, err := Start(Spec{Name: "p", Path: "/nonexistent", Log: filepath.Join(t.TempDir(), "log")})
	if err == nil {
		t.Fatal("a program that does not exist started")
	}
}

func TestPollSaysWhatItWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Poll(ctx, time.Millisecond, "pigs fly", func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "pigs fly") {
		t.Errorf("Poll returned %v", err)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	ports, err := FreePorts(9)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for _, p := range ports {
		if seen[p] {
			t.Errorf("port %d twice", p)
		}
		seen[p] = true
	}
}
