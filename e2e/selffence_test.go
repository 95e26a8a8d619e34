package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
)

// H10: TestH10SelfFence freezes all masters while a program runs that must not go on
// unheard: it is gone within the worker's TTL, and runs again, with no failure
// counted, when the masters are back.
func TestH10SelfFence(t *testing.T) {
	const ttl = 3 * time.Second
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	_, err := cl.UpdateQueue(ctx, "alone", client.QueueSettings{SelfFence: true})
	must(t, err)
	startWorker(t, c, "w1", c.Addrs(), "--queue", "alone", "--ttl", ttl.String())
	file := filepath.Join(c.Dir(), "signs")
	r, err := cl.Submit(ctx, program(t, "alone", "trap '' TERM; while :; do date +%s%N >> "+file+"; sleep 0.05; done"))
	must(t, err)
	first := running(t, cl, r.ID, 0)
	lastSign := func() time.Time {
		text, _ := os.ReadFile(file)
		words := strings.Fields(string(text))
		if len(words) == 0 {
			return time.Time{}
		}
		ns, err := strconv.ParseInt(words[len(words)-1], 10, 64)
		must(t, err)
		return time.Unix(0, ns)
	}
	must(t, proc.Poll(ctx, 10*time.Millisecond, "a sign of the program", func() bool { return !lastSign().IsZero() }))
	for _, m := range c.Masters() {
		must(t, m.Process().Signal(syscall.SIGSTOP))
	}
	frozen := time.Now()
	pass(t, ttl+time.Second)
	last := lastSign()
	t.Logf("the last sign of the program came %v after the masters had frozen", last.Sub(frozen).Round(time.Millisecond))
	if last.After(frozen.Add(ttl)) {
		t.Errorf("the program ran on for longer than its worker's TTL of %v", ttl)
	}
	for _, m := range c.Masters() {
		must(t, m.Process().Signal(syscall.SIGCONT))
	}
	again := running(t, cl, r.ID, first.GetAttempt().GetFence())
	if again.GetFailures() != 0 {
		t.Errorf("%d failures are counted: %v", again.GetFailures(), again.GetEnded())
	}
	_, _, err = cl.Cancel(ctx, r.ID, "seen enough")
	must(t, err)
}
