package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func (r *rig) limit(queue string, s *fsmpb.QueueSettings) {
	r.t.Helper()
	if _, _, err := r.e.propose(r.t.Context(), limitQueue(queue, s)); err != nil {
		r.t.Fatal(err)
	}
}

// A queue with a rate limit wakes the leader for its next token: tasks go out one
// by one at the pace of the limit, with nothing else going on, and all quiet after.
func TestRateLimitWakesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.limit("q", &fsmpb.QueueSettings{Rate: &fsmpb.RateLimit{Tokens: 10, Period: int64(time.Second), Burst: 2}})
		h := hello("w", "b", 16, "q")
		h.TTL = time.Hour
		s := r.attach(h)
		begin := time.Now()
		r.submit("q", 6)
		for n := 0; n < 6; {
			b := r.next(s)
			for range b.Assignments {
				n++
				want := time.Duration(max(n-2, 0)) * 100 * time.Millisecond // two at once, then one each 100 ms
				if late := time.Since(begin) - want; late < 0 || late > 10*time.Millisecond {
					t.Errorf("task %d came after %v, want %v", n, time.Since(begin), want)
				}
			}
		}
		time.Sleep(time.Second) // the last token is announced
		n := r.raft.count()
		time.Sleep(time.Minute)
		if more := r.raft.count() - n; more != 0 {
			t.Errorf("%d entries although nothing waits", more)
		}
		r.noIdleWork()
	})
}

// A freed limit lets the next task go out at once, to whoever has room.
func TestFreedLimitStartsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.limit("q", &fsmpb.QueueSettings{MaxRunning: new(uint32(1))})
		var all []*Stream
		for i := range 40 { // more than are asked in one apply
			all = append(all, r.attach(hello(fmt.Sprint("w", i), "b", 4, "q")))
		}
		r.submit("q", 5)
		for done := range 5 {
			synctest.Wait()
			time.Sleep(5 * time.Millisecond)
			var running []*fsm.Task
			var at *Stream
			for _, s := range all {
				if b, err := s.take(); err == nil && b != nil && len(b.Assignments) > 0 {
					running, at = append(running, b.Assignments...), s
				}
			}
			if len(running) != 1 {
				t.Fatalf("%d tasks run at once after %d are done, want 1", len(running), done)
			}
			r.noIdleWork()
			r.complete(at, running[0])
		}
	})
}

// A task that requires a label finds the one worker that has it among many that
// are idle.
func TestLabelFindsItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		var all []*Stream
		for i := range 100 {
			h := hello(fmt.Sprint("w", i), "b", 1, "q")
			h.Labels = map[string]string{"host": fmt.Sprint("h", i)}
			all = append(all, r.attach(h))
		}
		begin := time.Now()
		for _, i := range []int{99, 0, 50} {
			cmd := submitTo("q", 1)
			cmd.GetSubmit().GetTasks()[0].Require = []*fsmpb.Label{{Key: "host", Value: fmt.Sprint("h", i)}}
			if _, _, err := r.e.propose(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
			if b := r.next(all[i]); len(b.Assignments) != 1 {
				t.Errorf("worker %d got %d tasks", i, len(b.Assignments))
			}
		}
		if took := time.Since(begin); took > lookEvery/2 {
			t.Errorf("three tasks found their workers in %v", took)
		}
		synctest.Wait()
		r.noIdleWork()
	})
}
