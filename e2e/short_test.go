package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestB14RealFullDisks fills real file systems: first the leader's, which hands over to
// a master with space, then all of them: submits are refused, a task that runs is
// completed all the same, and with space everything is accepted again (B14).
func TestB14RealFullDisks(t *testing.T) {
	dir, err := os.MkdirTemp(scratch, "full-")
	must(t, err)
	c, err := proc.NewCluster(binary, dir, 3)
	must(t, err)
	for _, m := range c.Masters() {
		mountSmall(t, filepath.Join(dir, m.Name))
	}
	t.Cleanup(func() { must(t, c.Close()) })
	must(t, c.Start())
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	cl := newClient(t, c.Addrs())

	fillers := []string{fill(t, dir, leader)}
	other, err := c.NextLeader(within(t, time.Minute), leader)
	must(t, err)
	t.Logf("%s is full, %s leads", leader.Name, other.Name)
	p := newPuller(t, c, "p1", "p1")
	held, err := cl.Submit(within(t, time.Minute), program(t, "p1", "true"))
	must(t, err)
	a := p.take()
	if a.GetTask() != held.ID {
		t.Fatalf("the puller got task %d, want %d", a.GetTask(), held.ID)
	}
	for _, m := range c.Masters() {
		if m != leader {
			fillers = append(fillers, fill(t, dir, m))
		}
	}
	untilSubmit(t, cl, reason.DiskLow)
	expect(t, "a completion while all disks are low", p.complete(a, "done"), taskraftv1.Outcome_ACCEPTED)
	for _, f := range fillers {
		must(t, os.Remove(f))
	}
	untilSubmit(t, cl, "")
}

// mountSmall mounts a file system of 640 MiB, or skips the test where that is not allowed.
func mountSmall(t *testing.T, at string) {
	t.Helper()
	must(t, os.Mkdir(at, 0o700))
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=640m,mode=0700"); err != nil {
		t.Skipf("skipped: no small file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes space of a master's file system until less than the watermark is free.
func fill(t *testing.T, dir string, m *proc.Master) string {
	t.Helper()
	name := filepath.Join(dir, m.Name, "filler")
	f, err := os.Create(name)
	must(t, err)
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, 300<<20))
	must(t, f.Close())
	return name
}

// untilSubmit waits until a submit is answered with this reason, "" for accepted.
func untilSubmit(t *testing.T, cl *client.Client, want string) {
	t.Helper()
	ctx := within(t, time.Minute)
	must(t, proc.Poll(ctx, 100*time.Millisecond, "a submit is answered with "+want, func() bool {
		_, err := cl.Submit(ctx, program(t, "other", "true"))
		e, refused := errors.AsType[*client.Error](err)
		return err == nil && want == "" || refused && e.Reason == want
	}))
}

// TestMemoryLow submits to masters with little memory until they refuse, and purges:
// nothing dies, and submits are accepted again.
func TestMemoryLow(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "64MiB")
	c := newCluster(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	task := client.Task{Queue: "much", Kind: "none", Delay: time.Hour, Payload: make([]byte, 900)}
	many := make([]client.Task, 500)
	for i := range many {
		many[i] = task
	}
	accepted := 0
	for err == nil {
		if _, err = cl.SubmitMany(ctx, many); err == nil {
			accepted += len(many)
		}
	}
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Reason != reason.MemoryLow {
		t.Fatalf("after %d tasks: %v, want %s", accepted, err, reason.MemoryLow)
	}
	t.Logf("%d tasks were accepted", accepted)
	cli(t, c, "queue", "purge", "much", "--yes")
	cli(t, c, "queue", "set", "much", "--retain-count", "0")
	untilSubmit(t, cl, "")
	for _, m := range c.Masters() {
		if !m.Running() {
			t.Errorf("%s has died", m.Name)
		}
	}
	if s := statusOf(t, leader); !s.GetServing() {
		t.Logf("leadership moved from %s meanwhile", leader.Name)
	}
}
