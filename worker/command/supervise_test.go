//go:build linux

package command

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/worker"
)

// started waits until a program under test has written its pid file.
func started(t *testing.T, file string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		if data, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(data), ".\n") {
			if err := os.WriteFile(file, []byte(strings.TrimSuffix(string(data), ".\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the program did not start")
		}
	}
}

// H06: whatever a program does, it and its children are gone within the grace
// period, and the handler returns.
func TestH06(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script string // writes its pids and a "." line to $PIDS
		signal string // that ended it
	}{
		{"never ends", `{ echo $$; echo .; } > $PIDS; exec sleep 1000`, "SIGTERM"},
		{"ends on TERM with 0", `trap 'exit 0' TERM; { echo $$; echo .; } > $PIDS; while :; do sleep 0.01; done`, ""},
		{"ignores TERM", `trap '' TERM; { echo $$; echo .; } > $PIDS; while :; do sleep 0.01; done`, "SIGKILL"},
		{"forks", `sleep 1000 & a=$!; sleep 1000 & { echo $$ $a $!; echo .; } > $PIDS; wait`, "SIGTERM"},
		{"forks and ignores", `trap '' TERM; sleep 1000 & a=$!; { echo $$ $a; echo .; } > $PIDS; while :; do sleep 0.01; done`, "SIGKILL"},
		{"setsid holding the output", `setsid sh -c 'trap "" TERM; { echo $$; echo .; } > $PIDS; while :; do sleep 0.01; done' & wait`, "SIGTERM"},
		{"closes its output", `exec >&- 2>&-; { echo $$; echo .; } > $PIDS; exec sleep 1000`, "SIGTERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTestRunner(t, "*")
			pids := filepath.Join(t.TempDir(), "pids")
			p := sh(tt.script)
			p.Env = env{"PIDS": pids}
			ctx, cancel := context.WithCancelCause(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				started(t, pids)
				cancel(worker.ErrTimedOut)
			})
			got, err := execute(t, ctx, r, p)
			wg.Wait()
			if !errors.Is(err, worker.ErrTimedOut) || got.Signal != tt.signal {
				t.Errorf("got signal %q, %v; want %q, %v", got.Signal, err, tt.signal, worker.ErrTimedOut)
			}
			wantDead(t, pids)
		})
	}
}

// The time limit is the context's deadline.
func TestDeadline(t *testing.T) {
	r := newTestRunner(t, "sleep")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, worker.ErrTimedOut)
	defer cancel()
	got, err := execute(t, ctx, r, payload{Argv: []string{"sleep", "1000"}})
	if !errors.Is(err, worker.ErrTimedOut) || permanent(err) || got.Signal != "SIGTERM" || got.ExitCode != 143 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// The program ends, but children of its group or beyond hold its output.
func TestChildrenLeftBehind(t *testing.T) {
	for name, script := range map[string]string{
		"in the group":   `sleep 1000 & { echo $!; echo .; } > $PIDS; echo done`,
		"out of session": `setsid sh -c '{ echo $$; echo .; } > $PIDS; exec sleep 1000' & until [ -s $PIDS ]; do sleep 0.01; done; echo done`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRunner(t, "*")
			pids := filepath.Join(t.TempDir(), "pids")
			p := sh(script)
			p.Env = env{"PIDS": pids}
			got, err := execute(t, t.Context(), r, p)
			if err != nil || got.Stdout != "done\n" {
				t.Fatalf("got %+v, %v", got, err)
			}
			started(t, pids)
			wantDead(t, pids)
		})
	}
}

// A program that SIGKILL does not end is reported, and keeps its slot until it ends.
func TestStuckProgramKeepsItsSlot(t *testing.T) {
	var logged strings.Builder
	var mu sync.Mutex
	reported := make(chan struct{})
	r := newTestRunner(t, "*")
	r.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		logged.Write(p)
		close(reported)
		return len(p), nil
	}), nil))
	r.grace, r.stuck = time.Millisecond, time.Millisecond
	// As for a process in an endless system call.
	r.signal, r.marked = func(int, syscall.Signal) {}, func(string) {}
	pids := filepath.Join(t.TempDir(), "pids")
	p := sh(`{ echo $$; echo .; } > $PIDS; read line < $PIDS.fifo; exit 3`)
	p.Env = env{"PIDS": pids}
	if err := syscall.Mkfifo(pids+".fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() {
		got, _ := execute(t, ctx, r, p)
		ended <- got
	}()
	started(t, pids)
	cancel()
	<-reported
	select {
	case got := <-ended:
		t.Fatalf("returned %+v while its program runs", got)
	default:
	}
	if err := os.WriteFile(pids+".fifo", []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got.ExitCode != 3 {
		t.Fatalf("got %+v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(logged.String(), "stuck") {
		t.Fatalf("logged %q", logged.String())
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// When the worker is killed its programs die with it.
func TestWorkerKilled(t *testing.T) {
	if pids := os.Getenv("COMMAND_TEST_PIDS"); pids != "" {
		p := sh(`{ echo $$; echo .; } > ` + pids + `; exec sleep 1000`)
		_, _ = execute(t, t.Context(), newTestRunner(t, "*"), p)
		return
	}
	pids := filepath.Join(t.TempDir(), "pids")
	cmd := exec.Command(os.Args[0], "-test.run=^TestWorkerKilled$")
	cmd.Env = append(os.Environ(), "COMMAND_TEST_PIDS="+pids)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started(t, pids)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	wantDead(t, pids)
}
