package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestOneFollowerIsEnough gives a client and a worker the address of one follower
// only. They must do their work before and after the leader is killed: they learn
// the others from it.
func TestOneFollowerIsEnough(t *testing.T) {
	c := newCluster(t)
	ctx := within(t, 2*time.Minute)
	followers, err := c.Followers(ctx)
	must(t, err)
	only := []string{followers[0].GRPC}
	startWorker(t, c, "w1", only, "--slots", "2")
	cl := newClient(t, only)
	round := func(when string) {
		t.Helper()
		for n := range 20 {
			text := fmt.Sprintf("%s %d", when, n)
			receipt, err := cl.Submit(ctx, command(t, "", text, "sha256sum"))
			must(t, err)
			task, err := cl.Wait(ctx, receipt.ID)
			must(t, err)
			if got, err := stdout(task); err != nil || got != sum(text) {
				t.Errorf("%s the kill: task %d printed %q (%v), want %q", when, receipt.ID, got, err, sum(text))
			}
		}
	}
	round("before")
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	round("after")
}
