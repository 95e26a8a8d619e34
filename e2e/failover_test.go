package e2e

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// fault is one thing that was done to the cluster, and when.
type fault struct {
	kind   string
	at, to time.Time // until the cluster was whole again
}

// TestFailover does to a cluster under continuous submits and completions what
// can be done to its processes. Nothing that was acknowledged may be lost, run
// to two completions, or end with a wrong result, and the tables must be equal.
func TestFailover(t *testing.T) {
	c := newCluster(t)
	for i := range 3 {
		startWorker(t, c, fmt.Sprintf("w%d", i+1), c.Addrs(), "--queue", "load", "--slots", "4")
	}
	l := startLoad(t, c.Addrs(), "load", 10*time.Millisecond)
	tally := proc.NewTally()
	var faults []fault
	inject := func(kind string, f func(*testing.T)) {
		t.Helper()
		steady(t, c, tally)
		one := fault{kind: kind, at: time.Now()}
		f(t)
		one.to = time.Now()
		faults = append(faults, one)
	}
	for range 10 {
		inject("kill -9 of the leader", func(t *testing.T) { killLeader(t, c) })
	}
	before := l.failures()
	for range 5 {
		inject("SIGTERM to the leader", func(t *testing.T) { stopLeader(t, c) })
	}
	if n := l.failures() - before; n > 0 {
		t.Errorf("%d client calls failed while leaders were stopped with SIGTERM, want none", n)
	}
	inject("SIGSTOP of the leader for 3 s", func(t *testing.T) { freezeLeader(t, c, 3*time.Second) })
	t.Run("worker killed and restarted", func(t *testing.T) { workerKilled(t, c, true) })
	t.Run("worker killed for good", func(t *testing.T) { workerKilled(t, c, false) })
	steady(t, c, tally)
	l.finish(t)
	l.check(t, c, tally, nil)
	must(t, c.StopWorkers())
	index, digest, err := c.Digest(within(t, time.Minute))
	if err != nil {
		t.Errorf("the masters' tables (C1): %v", err)
	}
	t.Logf("%d tasks acknowledged and completed once; outcomes in the journals: %v", len(l.want), tally.Outcomes())
	t.Logf("all three tables have digest %s at index %d", digest, index)
	report(t, faults, tally)
}

// steady waits until a hundred more tasks are completed.
func steady(t *testing.T, c *proc.Cluster, tally *proc.Tally) {
	t.Helper()
	enough := tally.Completed() + 100
	must(t, proc.Poll(within(t, time.Minute), 10*time.Millisecond, "100 more tasks are completed", func() bool {
		lines, err := c.Settled()
		must(t, err)
		tally.Add(lines...)
		return tally.Completed() >= enough
	}))
}

func killLeader(t *testing.T, c *proc.Cluster) {
	t.Helper()
	ctx := within(t, time.Minute)
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	_, err = c.Leader(ctx)
	must(t, err)
	must(t, leader.Start())
	must(t, c.Rejoined(ctx, leader))
}

func stopLeader(t *testing.T, c *proc.Cluster) {
	t.Helper()
	ctx := within(t, time.Minute)
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Stop())
	if exit := leader.Process().Exit(); exit != "exit status 0" {
		t.Errorf("%s after SIGTERM: %s, want exit status 0", leader.Name, exit)
	}
	must(t, leader.Start())
	must(t, c.Rejoined(ctx, leader))
}

func freezeLeader(t *testing.T, c *proc.Cluster, d time.Duration) {
	t.Helper()
	ctx := within(t, time.Minute)
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Process().Signal(syscall.SIGSTOP))
	pass(t, d)
	must(t, leader.Process().Signal(syscall.SIGCONT))
	must(t, c.Rejoined(ctx, leader))
}

// workerKilled kills a worker in the middle of a task. The task must run again:
// at once when the worker comes back under its id, else when its session has
// expired. It counts as a crash, not as a failure.
func workerKilled(t *testing.T, c *proc.Cluster, restart bool) {
	ctx := within(t, 2*time.Minute)
	queue := fmt.Sprintf("slow-%t", restart)
	cl := newClient(t, c.Addrs())
	victim := startWorker(t, c, "victim-"+queue, c.Addrs(), "--queue", queue, "--slots", "1")
	receipt, err := cl.Submit(ctx, command(t, queue, "", "sh", "-c", "sleep 1; echo done"))
	must(t, err)
	first := running(t, cl, receipt.ID, 0)
	must(t, victim.Kill())
	killed := time.Now()
	id := "heir-" + queue
	if restart {
		id = victim.ID
	}
	heir := startWorker(t, c, id, c.Addrs(), "--queue", queue, "--slots", "1")
	second := running(t, cl, receipt.ID, first.GetAttempt().GetFence())
	t.Logf("its task ran again %v after the kill", time.Since(killed).Round(time.Millisecond))
	task, err := cl.Wait(ctx, receipt.ID)
	must(t, err)
	if got, err := stdout(task); err != nil || got != "done\n" {
		t.Errorf("the task printed %q (%v), want done", got, err)
	}
	if second.GetAttempt().GetFence() <= first.GetAttempt().GetFence() {
		t.Errorf("fence %d after %d, want a greater one (S6)", second.GetAttempt().GetFence(), first.GetAttempt().GetFence())
	}
	if task.GetFailures() != 0 {
		t.Errorf("the crash counts as %d failures, want 0 (S8)", task.GetFailures())
	}
	if len(task.GetEnded()) == 0 || !slices.Contains([]string{"taken_over", "expired"}, task.GetEnded()[0].GetCause()) {
		t.Errorf("ended attempts %v, want the first taken over or expired", task.GetEnded())
	}
	must(t, heir.Stop(time.Minute))
}

// report prints the gaps between completions around each kind of fault.
func report(t *testing.T, faults []fault, tally *proc.Tally) {
	t.Helper()
	gaps := make(map[string][]time.Duration)
	var kinds []string
	for _, f := range faults {
		if gaps[f.kind] == nil {
			kinds = append(kinds, f.kind)
		}
		gaps[f.kind] = append(gaps[f.kind], tally.Gap(f.at, f.to))
	}
	t.Log("longest gap between two completions, under load:")
	for _, kind := range kinds {
		g := gaps[kind]
		slices.Sort(g)
		t.Logf("  %-30s %2d times  p50 %4d ms  max %4d ms", kind, len(g), g[len(g)/2].Milliseconds(), g[len(g)-1].Milliseconds())
	}
}
