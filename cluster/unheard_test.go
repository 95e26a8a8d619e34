package cluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A request that the network kept until its repeat was answered is given a task of
// which the process knows nothing: the next poll gets it, at once and before others,
// also from another leader.
func TestThePollAfterALateOneGetsWhatThatGot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		two := func(seq uint64, wait time.Duration) Poll {
			return Poll{Hello: hello("w", "b", 2, "q"), Seq: seq, Max: 2, Wait: wait}
		}
		if res := r.poll(two(1, 0)); len(res.Tasks) != 0 {
			t.Fatalf("got %v of nothing", res.Tasks)
		}
		r.submit("q", 1)
		late := r.poll(two(1, 0)).Tasks // its answer reaches nobody
		if len(late) != 1 {
			t.Fatalf("the late one got %v", late)
		}
		r.e.end(Leader{})
		r.begin(2)
		r.submit("q", 1)
		before := time.Now()
		got := r.poll(two(2, time.Minute)).Tasks
		if len(got) != 2 || got[0].Fence != late[0].Fence || got[0].Attempts != 1 || time.Since(before) > 0 {
			t.Fatalf("the next poll got %v after %v, want fence %d first", fences(got), time.Since(before), late[0].Fence)
		}
		before = time.Now()
		if res := r.poll(listing(two(3, time.Second), got...)); len(res.Tasks) != 0 || time.Since(before) != time.Second {
			t.Errorf("who knows of all that it runs got %v after %v", fences(res.Tasks), time.Since(before))
		}
		r.sameTables()
	})
}

// A request that arrives after a later one is given nothing and leaves the later one
// in its place.
func TestALatePollLeavesTheLaterOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		next := make(chan PollResult, 1)
		go func() { next <- r.poll(pollOf("w", 5, time.Minute)) }()
		synctest.Wait()
		before, n := time.Now(), r.raft.count()
		if late := r.poll(pollOf("w", 4, time.Minute)); len(late.Tasks) != 0 || late.NoMoreTasks || time.Since(before) > 0 || r.raft.count() != n {
			t.Errorf("the late one got %+v after %v", late, time.Since(before))
		}
		r.submit("q", 1)
		if got := <-next; len(got.Tasks) != 1 {
			t.Errorf("the later one got %+v", got)
		}
	})
}

// A poll that waits while the request that it replaced is on its way into the log is
// told what that was given.
func TestAWaitingPollGetsWhatTheOneItReplacedIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.poll(pollOf("w", 1, 0)) // opens the session
		r.raft.pause()
		go r.e.poll(t.Context(), pollOf("w", 2, time.Minute))
		go r.e.propose(t.Context(), submitTo("q", 1))
		synctest.Wait()
		got := make(chan PollResult, 1)
		go func() { got <- r.poll(pollOf("w", 3, time.Minute)) }()
		synctest.Wait()
		r.raft.resume()
		before := time.Now()
		if res := <-got; len(res.Tasks) != 1 || time.Since(before) > time.Second {
			t.Errorf("got %v after %v", fences(res.Tasks), time.Since(before))
		}
	})
}

func TestUnheardListsAreCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.submit("q", 3)
		all := r.poll(Poll{Hello: hello("w", "b", 3, "q"), Seq: 1, Max: 3}).Tasks
		for i := range all {
			p := Poll{Hello: hello("w", "b", 3, "q"), Seq: uint64(i + 2), Max: 1, Wait: time.Minute}
			p.Held = fences(slices.Delete(slices.Clone(all), i, i+1))
			if got := r.poll(p).Tasks; len(got) != 1 || got[0].Fence != all[i].Fence {
				t.Errorf("without fence %d got %v", all[i].Fence, fences(got))
			}
		}
	})
}
