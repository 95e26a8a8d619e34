package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Case 23 (children die with their task): TestCancelKillsTheProcessGroup cancels a program that has started others, which
// ignore SIGTERM: all of them are gone when the task is CANCELLED.
func TestCancelKillsTheProcessGroup(t *testing.T) {
	c := newCluster(t)
	ctx := within(t, 2*time.Minute)
	startWorker(t, c, "w1", c.Addrs())
	cl := newClient(t, c.Addrs())
	pids := filepath.Join(c.Dir(), "pids")
	script := fmt.Sprintf(`trap '' TERM
sh -c 'trap "" TERM; echo $$ >> %[1]s; while :; do sleep 1; done' &
sh -c 'echo $$ >> %[1]s; exec sleep 1000' &
echo $$ >> %[1]s
while :; do sleep 1; done`, pids)
	task := program(t, "default", script)
	task.Timeout = time.Minute
	r, err := cl.Submit(ctx, task)
	must(t, err)
	var group []int
	must(t, proc.Poll(ctx, 10*time.Millisecond, "three processes", func() bool {
		text, _ := os.ReadFile(pids)
		group = nil
		for word := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(word)
			must(t, err)
			group = append(group, pid)
		}
		return len(group) == 3
	}))
	for _, pid := range group {
		if !runs(pid) {
			t.Fatalf("process %d does not run", pid)
		}
	}
	outcome, _, err := cl.Cancel(ctx, r.ID, "enough")
	must(t, err)
	if outcome != taskraftv1.Outcome_ACCEPTED {
		t.Errorf("cancel: %v", outcome)
	}
	got, err := cl.Wait(ctx, r.ID)
	must(t, err)
	if got.GetState() != taskraftv1.TaskState_CANCELLED || got.GetReason() != "enough" {
		t.Errorf("the task is %v, %q", got.GetState(), got.GetReason())
	}
	for _, pid := range group {
		if runs(pid) {
			t.Errorf("process %d outlives its task", pid)
		}
	}
}

// runs reports whether a process runs; one that only waits to be buried does not.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
