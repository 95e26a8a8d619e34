package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// Case 3 (polls are given up under load): a worker that ends its request, at any
// moment, and asks again with the same number finds what it was given meanwhile.
// Every task is done once, in its first attempt.
func TestPollsGivenUpUnderLoadLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.latency = time.Millisecond
		const tasks, workers = 500, 20
		var mu sync.Mutex
		done, givenUp := make(map[uint64]int), 0
		var wg sync.WaitGroup
		for i := range workers {
			random := rand.New(rand.NewPCG(3, uint64(i)))
			worker := fmt.Sprint("w", i)
			wg.Go(func() {
				for seq := uint64(1); ; {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(5000))*time.Microsecond)
					res, _, err := r.e.poll(ctx, pollOf(worker, seq, time.Minute))
					cancel()
					mu.Lock()
					over := len(done) == tasks
					if err != nil {
						givenUp++
					}
					mu.Unlock()
					switch {
					case over:
						return
					case err != nil:
						continue // the same number again
					}
					for _, task := range res.Tasks {
						if o := r.completeUnary(worker, task); o != fsm.Accepted || task.Attempts != 1 {
							t.Errorf("task %d, attempt %d: %v", task.ID, task.Attempts, o)
						}
						mu.Lock()
						done[task.ID]++
						mu.Unlock()
					}
					seq++
				}
			})
		}
		for range tasks / 10 {
			r.submit("q", 10)
			time.Sleep(2 * time.Millisecond)
		}
		wg.Wait()
		for id, n := range done {
			if n != 1 {
				t.Errorf("task %d was done %d times", id, n)
			}
		}
		if givenUp < tasks/10 {
			t.Errorf("only %d polls were given up", givenUp)
		}
		r.sameTables()
	})
}

// Case 8 (two leaders that overlap): what a deposed leader had in flight, and is told
// nobody knows about, was applied; the next leader, or the same one, proposes the
// expiry again. The worker counts as lost once. TestTwoLeadersFireOnce is the same
// for schedules.
func TestTwoLeadersExpireOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		const rounds = 5
		ids := r.submit("q", 1)
		for round := range rounds {
			s := r.attach(hello(fmt.Sprint("w", round), "b", 1, "q"))
			if got := r.next(s).Assignments; len(got) != 1 {
				t.Fatalf("round %d: assigned %v", round, got)
			}
			r.raft.fail(ErrUncertain, true)
			time.Sleep(fsm.SessionTTL + 2*time.Second) // it is silent
			r.raft.fail(nil, false)
			r.e.end(Leader{})
			r.begin(uint64(round + 2))
			time.Sleep(fsm.SessionTTL + 2*time.Second)
			synctest.Wait()
			if task := r.task(ids[0]); int(task.Crashes) != round+1 || task.State == fsm.Running {
				t.Fatalf("round %d: %d crashes, %v", round, task.Crashes, task.State)
			}
			s.Close()
			if round+1 == fsm.SoloAfterCrashes+fsm.PoisonCrashes-1 {
				break
			}
		}
		r.sameTables()
	})
}

// Case 25 (heartbeats are free): a thousand workers that do nothing but live cost
// the log as many entries as ten do: none.
func TestHeartbeatsCostNoEntries(t *testing.T) {
	for _, n := range []int{10, 1000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			defer r.close()
			streams := make([]*Stream, n)
			for i := range streams {
				streams[i] = r.attach(hello(fmt.Sprint("w", i), "b", 1, "q"))
			}
			synctest.Wait()
			before := r.raft.count()
			for seq := range uint64(150) { // five minutes
				for _, s := range streams {
					s.Heartbeat(seq+1, 0, 0)
				}
				time.Sleep(2 * time.Second)
			}
			synctest.Wait()
			if entries := r.raft.count() - before; entries != 0 {
				t.Errorf("%d workers: %d entries for 150 heartbeats of each", n, entries)
			}
			if _, sessions, _ := r.table.m.Counts(); sessions != n {
				t.Errorf("%d sessions of %d live", sessions, n)
			}
			for _, s := range streams {
				s.Close()
			}
		})
	}
}
