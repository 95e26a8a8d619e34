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
	at, to time.Time     // until the cluster was whole again
	leader time.Duration // until another leader served
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
	inject := func(kind string, f func(*testing.T, *proc.Cluster, *proc.Master)) {
		t.Helper()
		steady(t, c, tally)
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		one := fault{kind: kind, at: time.Now()}
		heir := make(chan time.Duration, 1)
		go func() { heir <- untilNextLeader(t, c, leader) }()
		f(t, c, leader)
		must(t, c.Rejoined(within(t, time.Minute), leader))
		one.to, one.leader = time.Now(), <-heir
		faults = append(faults, one)
	}
	for range 10 { // what the machine itself does to the gaps
		steady(t, c, tally)
		at := time.Now()
		pass(t, 300*time.Millisecond)
		faults = append(faults, fault{kind: "nothing, for comparison", at: at, to: time.Now()})
	}
	for range 10 {
		inject("kill -9 of the leader", killAndRestart)
	}
	before := l.failures()
	for range 5 {
		inject("SIGTERM to the leader", stopAndRestart)
	}
	if n := l.failures() - before; n > 0 {
		t.Errorf("%d client calls failed while leaders were stopped with SIGTERM, want none", n)
	}
	inject("SIGSTOP of the leader for 3 s", freeze)
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

// untilNextLeader returns how long it takes from now until another master serves
// as leader in a later term.
func untilNextLeader(t *testing.T, c *proc.Cluster, old *proc.Master) time.Duration {
	began := time.Now()
	if _, err := c.NextLeader(within(t, time.Minute), old); err != nil {
		t.Error(err)
	}
	return time.Since(began)
}

func killAndRestart(t *testing.T, c *proc.Cluster, leader *proc.Master) {
	t.Helper()
	must(t, leader.Kill())
	_, err := c.NextLeader(within(t, time.Minute), leader)
	must(t, err)
	must(t, leader.Start())
}

func stopAndRestart(t *testing.T, _ *proc.Cluster, leader *proc.Master) {
	t.Helper()
	must(t, leader.Stop())
	if exit := leader.Process().Exit(); exit != "exit status 0" {
		t.Errorf("%s after SIGTERM: %s, want exit status 0", leader.Name, exit)
	}
	must(t, leader.Start())
}

func freeze(t *testing.T, _ *proc.Cluster, leader *proc.Master) {
	t.Helper()
	must(t, leader.Process().Signal(syscall.SIGSTOP))
	pass(t, 3*time.Second)
	must(t, leader.Process().Signal(syscall.SIGCONT))
}

// Case 6 (a worker is killed and restarted with its id): workerKilled kills a worker in the middle of a task. The task must run again:
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

// report prints, for each kind of fault, the longest gap between two completions
// around it and the time until another leader served.
func report(t *testing.T, faults []fault, tally *proc.Tally) {
	t.Helper()
	gaps, leaders := make(map[string][]time.Duration), make(map[string][]time.Duration)
	var kinds []string
	for _, f := range faults {
		if gaps[f.kind] == nil {
			kinds = append(kinds, f.kind)
		}
		gaps[f.kind] = append(gaps[f.kind], tally.Gap(f.at, f.to))
		leaders[f.kind] = append(leaders[f.kind], f.leader)
	}
	t.Log("under load, in ms:              times  longest gap in completions  until the next leader")
	for _, kind := range kinds {
		t.Logf("  %-30s %4d  %s  %s", kind, len(gaps[kind]), percentiles(gaps[kind]), percentiles(leaders[kind]))
	}
}

func percentiles(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("p50 %5d  max %5d       ", d[len(d)/2].Milliseconds(), d[len(d)-1].Milliseconds())
}
