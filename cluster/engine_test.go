package cluster

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func TestEngineLeavesNoGoroutines(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	r := newRig(t, nil)
	r.raft.latency = time.Millisecond
	s := r.attach(hello("w", "b", 2, "q"))
	r.submit("q", 5)
	r.complete(s, r.next(s).Assignments...)
	go r.e.poll(t.Context(), pollOf("p", 1, time.Minute))
	r.e.end(Leader{Name: "n2"})
	r.begin(2)
	r.attach(hello("w", "b", 2, "q"))
	r.close()
	goleak.VerifyNone(t, ignore)
}

// While entries fail and nobody has said yet that leadership moved, the leader's
// own commands are tried now and then, not all the time.
func TestFailingEntriesDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 2, "q")
		h.TTL = time.Hour
		r.attach(h)
		c := submitTo("q", 2)
		c.GetSubmit().Tasks[0].Delay = int64(time.Second) // a tick falls due
		timeout := int64(time.Second)
		c.GetSubmit().Tasks[1].Timeout = &timeout
		if _, _, err := r.e.propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.raft.fail(&NotLeaderError{}, false)
		time.Sleep(time.Second)
		n := r.raft.count()
		time.Sleep(time.Second)
		if tries := r.raft.count() - n; tries < 2 || tries > 30 {
			t.Errorf("%d entries in a second of failures", tries)
		}
		r.raft.fail(nil, false)
		time.Sleep(time.Second)
		if x := r.task(2); x.Session == 0 || r.task(1).Session == 0 {
			t.Error("not everything went on")
		}
	})
}

func TestLeadershipLostAndWonAgainMovesStreamsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		r.e.leaderChanged(Leader{Name: "n1", Self: true})
		r.e.end(Leader{Term: 2})
		before := time.Now()
		r.begin(2)
		b := r.next(s)
		if b.Moved == nil || b.Moved.Name != "n1" || time.Since(before) > 0 {
			t.Errorf("got %+v after %v", b.Moved, time.Since(before))
		}
		r.raft.fail(&NotLeaderError{}, false)
		_, _, err := r.e.propose(t.Context(), submitTo("q", 1))
		if nl, ok := errors.AsType[*NotLeaderError](err); !ok || nl.Leader.Name != "" {
			t.Errorf("sent to a leader of the past: %v", err)
		}
	})
}

func TestBeginFailsWithItsFirstEntry(t *testing.T) {
	r := newIdleRig(t, nil, systemSource())
	defer r.close()
	r.raft.fail(ErrUncertain, false)
	if err := r.e.begin(1); !errors.Is(err, ErrUncertain) {
		t.Errorf("got %v", err)
	}
	r.raft.fail(nil, false)
	if err := r.e.begin(7); err == nil { // the log is in term 1
		t.Error("an entry of another term opened the gate")
	}
	if _, err := r.e.serving(); err == nil {
		t.Error("the gate is open")
	}
	r.begin(1)
	r.submit("q", 1)
}

func TestFinalizeRaisesTheLevelOfEntries(t *testing.T) {
	r := newRig(t, nil)
	defer r.close()
	_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Finalize{Finalize: &fsmpb.Finalize{Level: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	r.submit("q", 1)
	entries, _ := r.raft.since(0)
	if got := entries[len(entries)-1].Level; got != r.table.m.FeatureLevel() {
		t.Errorf("level %d, the table has %d", got, r.table.m.FeatureLevel())
	}
}

// An entry that a leadership did not see apply is answered all the same: its
// outcomes are sent, and its queues looked at again.
func TestAnEntryAppliedUnseenIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		r.submit("q", 1)
		held := r.next(s).Assignments
		l := r.e.lead.Load()
		r.raft.pause()
		r.complete(s, held...)
		synctest.Wait()
		select {
		case <-s.wake: // of before
		default:
		}
		r.e.lead.Store(nil)
		r.raft.resume()
		synctest.Wait()
		r.e.lead.Store(l)
		if b, err := s.take(); err != nil || b == nil || len(b.Outcomes) != 1 {
			t.Fatalf("got %+v, %v", b, err)
		}
		select {
		case <-s.wake:
		default:
			t.Error("the stream's sender was not woken")
		}
	})
}
