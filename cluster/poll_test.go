package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func pollOf(worker string, seq uint64, wait time.Duration) Poll {
	return Poll{Hello: hello(worker, "b", 1, "q"), Seq: seq, Max: 1, Wait: wait}
}

// listing is the poll of a process that runs these.
func listing(p Poll, tasks ...*fsm.Task) Poll {
	p.Held = fences(tasks)
	return p
}

func (r *rig) poll(p Poll) PollResult {
	r.t.Helper()
	res, _, err := r.e.poll(r.t.Context(), p)
	if err != nil {
		r.t.Fatalf("poll: %v", err)
	}
	return res
}

func (r *rig) completeUnary(worker string, t *fsm.Task) fsm.Outcome {
	r.t.Helper()
	res, _, err := r.e.propose(r.t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
		Worker: worker, Boot: "b", Items: []*fsmpb.Completion{{Task: t.ID, Fence: t.Fence}},
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.Outcomes[0]
}

func TestPollReturnsTheSameTasksForTheSameSeq(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.submit("q", 3)
		first := r.poll(pollOf("w", 1, 0))
		if len(first.Tasks) != 1 || first.TTL != fsm.SessionTTL {
			t.Fatalf("got %+v", first)
		}
		again := r.poll(pollOf("w", 1, 0))
		if !slices.Equal(fences(again.Tasks), fences(first.Tasks)) {
			t.Errorf("the same seq got %v, then %v", fences(first.Tasks), fences(again.Tasks))
		}
		r.e.end(Leader{}) // on any leader
		r.begin(2)
		again = r.poll(pollOf("w", 1, 0))
		if !slices.Equal(fences(again.Tasks), fences(first.Tasks)) {
			t.Errorf("another leader gave %v", fences(again.Tasks))
		}
		if o := r.completeUnary("w", first.Tasks[0]); o != fsm.Accepted {
			t.Errorf("complete: %v", o)
		}
		if old := r.poll(pollOf("w", 1, 0)); len(old.Tasks) != 0 {
			t.Errorf("what is over was given again: %+v", old.Tasks)
		}
		if next := r.poll(pollOf("w", 2, 0)); len(next.Tasks) != 1 || next.Tasks[0].ID == first.Tasks[0].ID {
			t.Errorf("the next seq got %+v", next.Tasks)
		}
		if old := r.poll(pollOf("w", 1, 0)); len(old.Tasks) != 0 {
			t.Errorf("an old seq got %+v", old.Tasks)
		}
	})
}

func TestPollWaitsWithoutEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		before := time.Now()
		if res := r.poll(pollOf("w", 1, 20*time.Second)); len(res.Tasks) != 0 || res.NoMoreTasks {
			t.Errorf("got %+v", res)
		}
		if d := time.Since(before); d != 20*time.Second {
			t.Errorf("waited %v", d)
		}
		if n := r.raft.count(); n != 2 { // the term's first entry, the session
			t.Errorf("%d entries", n)
		}
		go func() {
			time.Sleep(time.Second)
			r.e.propose(t.Context(), submitTo("q", 1))
		}()
		before = time.Now()
		if res := r.poll(pollOf("w", 2, 20*time.Second)); len(res.Tasks) != 1 {
			t.Errorf("got %+v", res)
		}
		if d := time.Since(before); d != time.Second {
			t.Errorf("waited %v for a task that came after 1s", d)
		}
	})
}

func TestOneTaskWakesOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		var mu sync.Mutex
		var got int
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				res, _, err := r.e.poll(t.Context(), pollOf(string(rune('a'+i)), 1, time.Minute))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got += len(res.Tasks)
			})
		}
		synctest.Wait()
		n := r.raft.count()
		r.submit("q", 1)
		synctest.Wait()
		if now := r.raft.count(); now != n+2 {
			t.Errorf("%d entries for a submit and a poll", now-n)
		}
		r.submit("q", 19)
		wg.Wait()
		if got != 20 {
			t.Errorf("%d tasks were given out", got)
		}
	})
}

func TestANewerPollEndsTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		old := make(chan error, 1)
		go func() {
			_, _, err := r.e.poll(t.Context(), pollOf("w", 1, time.Minute))
			old <- err
		}()
		synctest.Wait()
		newer := make(chan PollResult, 1)
		go func() { newer <- r.poll(pollOf("w", 1, time.Minute)) }()
		if err := <-old; !errors.Is(err, ErrStreamReplaced) {
			t.Errorf("the older: %v", err)
		}
		r.submit("q", 1)
		if res := <-newer; len(res.Tasks) != 1 {
			t.Errorf("the newer: %+v", res)
		}
	})
}

// The older request is answered into a dead connection: the newer one with the
// same seq gets its tasks.
func TestAPollThatWasUnderWayFeedsItsRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.poll(pollOf("w", 1, 0))
		r.submit("q", 1)
		r.raft.pause()
		go r.e.poll(t.Context(), pollOf("w", 2, time.Minute))
		synctest.Wait()
		newer := make(chan PollResult, 1)
		go func() { newer <- r.poll(pollOf("w", 2, time.Minute)) }()
		synctest.Wait()
		r.raft.resume()
		if res := <-newer; len(res.Tasks) != 1 {
			t.Errorf("got %+v", res)
		}
	})
}

func TestPollThatGoesAwayLeavesItsTurnToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, _, err := r.e.poll(ctx, pollOf("a", 1, time.Minute))
			gone <- err
		}()
		synctest.Wait()
		other := make(chan PollResult, 1)
		go func() { other <- r.poll(pollOf("b", 1, time.Minute)) }()
		synctest.Wait()
		// It dies in the moment between its turn and its proposal.
		l := r.e.lead.Load()
		l.mu.Lock()
		w := l.byWorker["a"].poll
		l.mu.Unlock()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		r.submit("q", 1)
		if res := <-other; len(res.Tasks) != 1 {
			t.Errorf("got %+v", res)
		}
		if w.taker.reserved != 0 || !w.taker.gone {
			t.Errorf("left behind: %+v", w.taker)
		}
	})
}

func TestPollSaysWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		if res := r.poll(pollOf("w", 1, time.Second)); res.NoMoreTasks {
			t.Error("before it has seen a task")
		}
		r.submit("q", 1)
		got := r.poll(pollOf("w", 2, 0))
		if res := r.poll(listing(pollOf("w", 3, time.Second), got.Tasks...)); res.NoMoreTasks {
			t.Error("while a task runs")
		}
		exits := make(chan PollResult, 1)
		go func() {
			p := listing(pollOf("w", 4, time.Minute), got.Tasks...)
			p.ExitWhenDone = true
			exits <- r.poll(p)
		}()
		synctest.Wait()
		before := time.Now()
		r.completeUnary("w", got.Tasks[0])
		if res := <-exits; !res.NoMoreTasks || time.Since(before) > 0 {
			t.Errorf("got %+v after %v", res, time.Since(before))
		}
		before = time.Now()
		if res := r.poll(pollOf("w", 5, time.Second)); !res.NoMoreTasks || time.Since(before) != time.Second {
			t.Errorf("without exit-when-done: got %+v after %v", res, time.Since(before))
		}
	})
}

// TestPollOfABatch: who names a batch is told the moment it has finished, whatever
// else its queues have.
func TestPollOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		named := func(seq, batch uint64, wait time.Duration) Poll {
			p := pollOf("w", seq, wait)
			p.Batch = batch
			return p
		}
		if _, _, err := r.e.poll(t.Context(), named(1, 7, time.Minute)); err == nil {
			t.Error("no error for a batch that is not there")
		} else if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Outcome != fsm.NoBatch {
			t.Error(err)
		}
		res, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{
			Tasks: []*fsmpb.TaskSpec{{Queue: "q"}}, Batch: &fsmpb.BatchSpec{Name: "b"},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		got := r.poll(named(1, res.Batch, 0))
		if len(got.Tasks) != 1 || got.NoMoreTasks {
			t.Fatalf("got %+v", got)
		}
		if got := r.poll(listing(named(2, res.Batch, time.Second), got.Tasks...)); got.NoMoreTasks {
			t.Error("while its task runs")
		}
		told := make(chan PollResult, 1)
		go func() { told <- r.poll(listing(named(3, res.Batch, time.Minute), got.Tasks...)) }()
		synctest.Wait()
		before := time.Now()
		r.completeUnary("w", got.Tasks[0])
		if res := <-told; !res.NoMoreTasks || time.Since(before) > 0 {
			t.Errorf("got %+v after %v", res, time.Since(before))
		}
		r.submit("q", 1)
		if got := r.poll(named(4, res.Batch, time.Minute)); !got.NoMoreTasks || len(got.Tasks) != 0 {
			t.Errorf("after its end: %+v", got)
		}
	})
}

func TestPollsEndWithLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		ended := make(chan error, 1)
		go func() {
			_, _, err := r.e.poll(t.Context(), pollOf("w", 1, time.Minute))
			ended <- err
		}()
		synctest.Wait()
		r.e.end(Leader{Name: "n2"})
		if nl, ok := errors.AsType[*NotLeaderError](<-ended); !ok || nl.Leader.Name != "n2" {
			t.Errorf("got %v", nl)
		}
	})
}

func TestPullSessionWithoutHeartbeatsLivesAsLongAsItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		c := submitTo("q", 1)
		timeout := int64(time.Minute)
		c.GetSubmit().Tasks[0].Timeout = &timeout
		if _, _, err := r.e.propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got := r.poll(pollOf("w", 1, 0)).Tasks[0]
		time.Sleep(55 * time.Second)
		if r.session("w") == nil {
			t.Fatal("expired while its attempt may run")
		}
		if o := r.completeUnary("w", got); o != fsm.Accepted {
			t.Errorf("complete: %v", o)
		}
		time.Sleep(2 * time.Minute)
		if r.session("w") != nil {
			t.Error("lives on though nothing is heard and nothing runs")
		}
	})
}

// L6: a slot that a task of one queue leaves is filled from the others.
func TestAWaitingPollGetsTheSlotThatAnotherQueueLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		p := pollOf("w", 1, 0)
		p.Hello = hello("w", "b", 1, "q", "other")
		r.submit("other", 1)
		held := r.poll(p).Tasks
		r.submit("q", 1)
		p.Seq, p.Wait = 2, time.Minute
		p = listing(p, held...)
		next := make(chan PollResult, 1)
		go func() { next <- r.poll(p) }()
		synctest.Wait()
		r.submit("elsewhere", 1) // whatever is applied asks a poll that is new
		before := time.Now()
		r.completeUnary("w", held[0])
		if res := <-next; len(res.Tasks) != 1 || time.Since(before) > 0 {
			t.Errorf("got %+v after %v", res, time.Since(before))
		}
	})
}

func TestBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		if _, _, err := r.e.beat("w", "b", nil); refused(err) != fsm.NoSession {
			t.Errorf("no session: %v", err)
		}
		ids := r.submit("q", 1)
		got := r.poll(pollOf("w", 1, 0)).Tasks[0]
		if _, _, err := r.e.beat("w", "b2", nil); refused(err) != fsm.BootReplaced {
			t.Errorf("another boot: %v", err)
		}
		for range 15 {
			aborts, ttl, err := r.e.beat("w", "b", []uint64{got.Fence})
			if err != nil || len(aborts) != 0 || ttl != fsm.SessionTTL {
				t.Fatalf("got %v, %v, %v", aborts, ttl, err)
			}
			time.Sleep(2 * time.Second)
		}
		_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: ids}}})
		if err != nil {
			t.Fatal(err)
		}
		aborts, _, err := r.e.beat("w", "b", []uint64{got.Fence, 99})
		if err != nil || len(aborts) != 2 || aborts[0].Cause != fsm.CauseCancelled || aborts[1].Fence != 99 {
			t.Errorf("got %v, %v", aborts, err)
		}
		time.Sleep(11 * time.Second) // it sends heartbeats, so their end counts
		if r.session("w") != nil {
			t.Error("not expired after the TTL")
		}
	})
}

// That a pulling process sends heartbeats is known to the next leader: it waits
// one TTL for them and not for the timeout of what the process runs.
func TestTheNextLeaderWaitsForAPullersHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.submit("q", 1)
		got := r.poll(pollOf("w", 1, 0)).Tasks[0]
		beat := func() {
			if _, _, err := r.e.beat("w", "b", []uint64{got.Fence}); err != nil {
				t.Fatal(err)
			}
		}
		r.raft.fail(ErrUncertain, false)
		beat() // is heard, but cannot be noted
		synctest.Wait()
		r.raft.fail(nil, false)
		n := r.raft.count()
		for range 5 {
			time.Sleep(2 * time.Second)
			beat()
		}
		synctest.Wait()
		if entries, _ := r.raft.since(n); len(entries) != 1 {
			t.Errorf("%d entries for several heartbeats", len(entries))
		}
		r.e.end(Leader{})
		r.begin(2)
		time.Sleep(9 * time.Second)
		if r.session("w") == nil {
			t.Error("expired before one TTL of the new leader")
		}
		time.Sleep(2 * time.Second)
		if r.session("w") != nil {
			t.Error("not expired after one TTL of the new leader")
		}
	})
}

func TestPollBringsTheSessionUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.poll(pollOf("w", 1, 0))
		r.submit("other", 2)
		p := pollOf("w", 2, 0)
		p.Hello = hello("w", "b", 2, "other")
		p.Max = 2
		if res := r.poll(p); len(res.Tasks) != 2 {
			t.Errorf("got %+v", res)
		}
	})
}
