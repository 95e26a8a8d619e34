package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// broadcast orders a task for every worker and returns its id.
func (r *rig) broadcast(queue string) uint64 {
	r.t.Helper()
	cmd := submitTo(queue, 1)
	cmd.GetSubmit().Tasks[0].Broadcast = &fsmpb.BroadcastSpec{}
	res, _, err := r.e.propose(r.t.Context(), cmd)
	if err != nil || len(res.IDs) != 1 {
		r.t.Fatalf("broadcast: %v, %v", res.IDs, err)
	}
	return res.IDs[0]
}

// delivered returns the one target in a batch.
func delivered(t *testing.T, b Batch) *fsm.Task {
	t.Helper()
	for _, x := range b.Assignments {
		if isTarget(x) {
			return x
		}
	}
	t.Fatalf("no target among %d assignments", len(b.Assignments))
	return nil
}

func TestABusyWorkerGetsBroadcastsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		r.submit("q", 3)
		held := r.next(s).Assignments // its only slot
		first, second := r.broadcast("ops"), r.broadcast("ops")
		x := delivered(t, r.next(s))
		if x.Extra.Target.Broadcast != first {
			t.Fatalf("got the target of %d, want %d's", x.Extra.Target.Broadcast, first)
		}
		r.complete(s, x)
		b := r.next(s)
		if len(b.Assignments) == 0 { // the outcome may travel alone
			b = r.next(s)
		}
		y := delivered(t, b)
		if y.Extra.Target.Broadcast != second || len(b.Assignments) != 1 {
			t.Fatalf("then got %d assignments, the target of %d", len(b.Assignments), y.Extra.Target.Broadcast)
		}
		r.complete(s, held...) // frees the slot, not the reserved one
		if b = r.next(s); len(b.Assignments) != 1 || isTarget(b.Assignments[0]) {
			t.Fatalf("for the freed slot got %d assignments", len(b.Assignments))
		}
		r.complete(s, y)
		r.next(s)
		synctest.Wait()
		for _, id := range []uint64{first, second} {
			if got := r.task(id); got.State != fsm.Succeeded {
				t.Errorf("broadcast %d is %v", id, got.State)
			}
		}
		r.sameTables()
	})
}

func TestBroadcastsReachPollsAndThoseWhoComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		poll := Poll{Hello: hello("p", "b", 1, "q"), Seq: 1, Max: 1, Wait: time.Second}
		if res, _, err := r.e.poll(t.Context(), poll); err != nil || len(res.Tasks) != 0 {
			t.Fatalf("poll: %v, %v", res.Tasks, err)
		}
		s := r.attach(hello("w", "b", 1, "q"))
		id := r.broadcast("q")
		x := delivered(t, r.next(s))
		s.Close()
		s = r.attach(hello("w", "b", 1, "q")) // nothing listed: the assignment was lost
		if again := delivered(t, r.next(s)); again.Fence != x.Fence {
			t.Errorf("after the attach got fence %d, want %d again", again.Fence, x.Fence)
		}
		r.complete(s, x)
		poll.Seq = 2 // the target waited for it
		res, _, err := r.e.poll(t.Context(), poll)
		if err != nil || len(res.Tasks) != 1 || !isTarget(res.Tasks[0]) {
			t.Fatalf("the poll got %v, %v", res.Tasks, err)
		}
		same, _, err := r.e.poll(t.Context(), poll)
		if err != nil || len(same.Tasks) != 1 || same.Tasks[0].Fence != res.Tasks[0].Fence {
			t.Errorf("the same poll got %v, %v", same.Tasks, err)
		}
		waits := make(chan PollResult, 1)
		go func() {
			poll.Seq, poll.Wait, poll.Held = 3, time.Minute, fences(res.Tasks)
			res, _, _ := r.e.poll(t.Context(), poll)
			waits <- res
		}()
		synctest.Wait() // it waits; its slot is free, and the reserved one becomes so
		_, _, err = r.e.propose(t.Context(), &fsmpb.Command{Principal: "worker:p", Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
			Worker: "p", Boot: "b", Items: []*fsmpb.Completion{{Task: res.Tasks[0].ID, Fence: res.Tasks[0].Fence, Digest: 1}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := r.task(id); got.State != fsm.Succeeded {
			t.Errorf("the broadcast is %v", got.State)
		}
		next := r.broadcast("q")
		if res := <-waits; len(res.Tasks) != 1 || res.Tasks[0].Extra.Target.Broadcast != next {
			t.Errorf("the waiting poll got %v", res.Tasks)
		}
		r.sameTables()
	})
}

func TestABroadcastWaitsForItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		pause := func(on bool) {
			t.Helper()
			_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: "ops", Paused: &on}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		pause(true)
		r.broadcast("ops")
		synctest.Wait()
		if n := r.task(2).Attempts; n != 0 {
			t.Fatalf("%d attempts in a paused queue", n)
		}
		pause(false)
		delivered(t, r.next(s))
	})
}

func TestADeliveryWhoseEntryFailedIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		r.raft.pause()
		done := make(chan struct{})
		go func() {
			r.broadcast("q")
			close(done)
		}()
		synctest.Wait()
		r.raft.resume()
		<-done
		r.raft.fail(ErrUncertain, false) // the assignment's entry, and no word of another leader
		synctest.Wait()
		r.raft.fail(nil, false)
		delivered(t, r.next(s))
	})
}
