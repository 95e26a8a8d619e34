package command

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/worker"
)

// pipeDelay is how long the output may stay open after the program has ended.
const pipeDelay = 2 * time.Second

// supervise runs cmd in its own process group until nothing of the group is left.
// What left the group is known by mark, a variable of its environment. The error is
// about the start only: how the program ended is in cmd.ProcessState.
func (r *runner) supervise(ctx context.Context, cmd *exec.Cmd, t *worker.Task, mark string) error {
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	pgid := cmd.Process.Pid
	var unconfined error
	if r.limits != (Limits{}) {
		unconfined = confine(pgid, r.limits)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if awaitExit(pgid) {
			// Not reaped yet, so the number still belongs to this group.
			r.signal(pgid, syscall.SIGKILL)
		}
		if ctx.Err() != nil {
			r.marked(mark)
		}
		if errors.Is(cmd.Wait(), exec.ErrWaitDelay) {
			r.marked(mark)
		}
	}()
	select {
	case <-ended:
		return unconfined
	case <-ctx.Done():
	}
	grace := r.grace
	if errors.Is(context.Cause(ctx), worker.ErrSelfFenced) {
		grace = 0 // the task may be about to start elsewhere
	} else {
		r.signal(pgid, syscall.SIGTERM)
	}
	if !endsWithin(ended, grace) {
		r.signal(pgid, syscall.SIGKILL)
		r.marked(mark)
		if !endsWithin(ended, r.stuck) {
			r.log.Error("program is stuck: it survives SIGKILL and keeps its slot", "worker", t.Worker, "task", t.ID, "attempt", t.Attempt, "pid", pgid)
			<-ended
		}
	}
	return unconfined
}

func endsWithin(ended <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// signalGroup signals a process group. Its only failure is that nobody is left.
func signalGroup(pgid int, sig syscall.Signal) { _ = syscall.Kill(-pgid, sig) }
