package e2e

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
)

// Cases 7 and 8 (the leader dies before a schedule's time; two leaders overlap):
// TestScheduleSurvivesItsLeader kills the leader within the second before a time
// at which a schedule fires, again and again, or freezes it then and lets it go on
// when another one leads: each time makes exactly one task (S11).
func TestScheduleSurvivesItsLeader(t *testing.T) {
	const period, faults = 2 * time.Second, 8
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	startWorker(t, c, "w1", c.Addrs(), "--queue", "ticks", "--slots", "4")
	made, err := cl.CreateSchedule(within(t, time.Minute), client.Schedule{
		Name: "tick", Cron: "@every 2s", Task: command(t, "ticks", "", "sh", "-c", "echo $TASKRAFT_SCHEDULE $TASKRAFT_FIRE_TIME"),
	})
	must(t, err)
	for n := range faults {
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		early := time.Duration(rand.Int64N(int64(time.Second)))
		tick := time.Now().Add(time.Second).Truncate(period).Add(period)
		pass(t, time.Until(tick.Add(-early)))
		what, end, back := "killed", leader.Kill, leader.Start
		if n%4 == 3 {
			what = "frozen"
			end = func() error { return leader.Process().Signal(syscall.SIGSTOP) }
			back = func() error { return leader.Process().Signal(syscall.SIGCONT) }
		}
		must(t, end())
		_, err = c.NextLeader(within(t, time.Minute), leader)
		must(t, err)
		t.Logf("%s %v before the time, the next leader served %v after it", what, early.Round(time.Millisecond), time.Since(tick).Round(time.Millisecond))
		must(t, back())
		must(t, c.Rejoined(within(t, time.Minute), leader))
		tasks, _, err := cl.ListPage(within(t, time.Minute), "", 1, "", client.WithLinearizable())
		must(t, err)
		if len(tasks) > 0 && time.Since(tasks[0].GetFireTime().AsTime()) > 2*period+time.Second {
			t.Fatalf("the newest fire time is %v, now it is %v", tasks[0].GetFireTime().AsTime(), time.Now())
		}
	}
	pass(t, period)
	_, err = cl.PauseSchedule(within(t, time.Minute), "tick")
	must(t, err)
	allTimes(t, cl, made.Schedule.GetNextTimes()[0].AsTime(), period, faults)
	_, _, err = c.Digest(within(t, time.Minute))
	must(t, err)
}

// allTimes checks that every time from the first one on has made one task, and
// that the task knew it.
func allTimes(t *testing.T, cl *client.Client, first time.Time, period time.Duration, least int) {
	t.Helper()
	var times []time.Time
	for task, err := range cl.List(within(t, time.Minute), "", client.WithLinearizable()) {
		must(t, err)
		times = append(times, task.GetFireTime().AsTime())
		done, err := cl.Wait(within(t, time.Minute), task.GetId())
		must(t, err)
		want := "tick " + task.GetFireTime().AsTime().Format(time.RFC3339) + "\n"
		if got, err := stdout(done); err != nil || got != want {
			t.Errorf("task %d printed %q (%v), want %q", task.GetId(), got, err, want)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, at := range times {
		if want := first.Add(time.Duration(i) * period); !at.Equal(want) {
			t.Fatalf("nominal time %d is %v, want %v (S11): %v", i, at, want, times)
		}
	}
	if len(times) < least {
		t.Errorf("only %d times passed", len(times))
	}
	t.Logf("%d nominal times from %v on, one task each", len(times), first)
}

// TestSchedulesPage runs the example of docs/schedules.md.
func TestSchedulesPage(t *testing.T) {
	c := newCluster(t)
	startWorker(t, c, "w1", c.Addrs())
	runPageOn(t, c, "docs/schedules.md")
}
