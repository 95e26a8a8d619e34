package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func fences(tasks []*fsm.Task) []uint64 {
	out := make([]uint64, len(tasks))
	for i, t := range tasks {
		out[i] = t.Fence
	}
	slices.Sort(out)
	return out
}

func hashOf(fences ...uint64) (n int, hash uint64) {
	for _, f := range fences {
		hash ^= splitmix64(f)
	}
	return len(fences), hash
}

// beat sends heartbeats every interval until stop.
func beat(s *Stream, stop <-chan struct{}, held func() []uint64) {
	tick := time.NewTicker(s.Attached().HeartbeatEvery)
	defer tick.Stop()
	for seq := uint64(1); ; seq++ {
		select {
		case <-tick.C:
			n, hash := hashOf(held()...)
			s.Heartbeat(seq, n, hash)
		case <-stop:
			return
		}
	}
}

func refused(err error) fsm.Outcome {
	if e, ok := errors.AsType[*RefusedError](err); ok {
		return e.Outcome
	}
	return fsm.OutcomeNone
}

func TestAttachAgainResendsWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 4, "q")
		s := r.attach(h)
		r.submit("q", 3)
		got := r.next(s).Assignments
		s.Close()

		h.Held = []uint64{got[0].Fence, 999} // the other two never arrived; 999 is nobody's
		s = r.attach(h)
		b := r.next(s)
		if want := fences(got[1:]); !slices.Equal(fences(b.Assignments), want) {
			t.Errorf("resent %v, want %v", fences(b.Assignments), want)
		}
		if len(b.Aborts) != 1 || b.Aborts[0].Fence != 999 {
			t.Errorf("aborts %v", b.Aborts)
		}
		if x := r.task(got[1].ID); x.Attempts != 1 || x.Crashes != 0 {
			t.Errorf("a lost reply cost %d attempts and %d crashes", x.Attempts-1, x.Crashes)
		}
		r.submit("q", 2) // one slot is free
		if b := r.next(s); len(b.Assignments) != 1 {
			t.Errorf("got %d tasks for one slot", len(b.Assignments))
		}
	})
}

func TestANewerStreamOfTheSameProcessReplacesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 1, "q")
		old := r.attach(h)
		s := r.attach(h)
		if s.Attached().Session != old.Attached().Session {
			t.Error("the session changed")
		}
		if _, err := old.Next(t.Context()); !errors.Is(err, ErrStreamReplaced) {
			t.Errorf("older stream: %v", err)
		}
		if err := old.Report(t.Context(), nil, nil, nil); !errors.Is(err, ErrStreamReplaced) {
			t.Errorf("report on the older stream: %v", err)
		}
		old.Close() // must not hurt the newer
		r.submit("q", 1)
		if b := r.next(s); len(b.Assignments) != 1 {
			t.Error("the newer stream got nothing")
		}
		_, err := r.e.attach(t.Context(), hello("w", "b2", 1, "q"))
		if refused(err) != fsm.WorkerIDInUse {
			t.Errorf("the worker counts as gone: %v", err)
		}
	})
}

func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b1", 1, "q"))
		r.submit("q", 1)
		held := r.next(s).Assignments
		n := r.raft.count()
		if _, err := r.e.attach(t.Context(), hello("w", "b2", 1, "q")); refused(err) != fsm.WorkerIDInUse {
			t.Fatalf("beside a live stream: %v", err)
		}
		if r.raft.count() != n {
			t.Error("the refusal was proposed")
		}

		s.Close() // its process died: the next one takes over at once
		s2 := r.attach(hello("w", "b2", 1, "q"))
		if b := r.next(s2); len(b.Assignments) != 1 || b.Assignments[0].Fence == held[0].Fence {
			t.Errorf("got %v", b.Assignments)
		}
		if _, err := r.e.attach(t.Context(), hello("w", "b1", 1, "q")); refused(err) != fsm.BootReplaced {
			t.Errorf("the replaced process: %v", err)
		}

		time.Sleep(5 * time.Second) // two heartbeats of 2 s are missing
		s3 := r.attach(hello("w", "b3", 1, "q"))
		if _, err := s2.Next(t.Context()); refused(err) != fsm.BootReplaced {
			t.Errorf("the silent stream: %v", err)
		}
		s3.Close()
		if _, err := r.e.attach(t.Context(), hello("w", "b2", 1, "q")); refused(err) != fsm.BootReplaced {
			t.Errorf("a replaced boot id: %v", err)
		}
	})
}

func TestTakeoverOnANewLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.attach(hello("w", "b1", 1, "q")).Close()
		r.e.end(Leader{})
		r.begin(2)
		if _, err := r.e.attach(t.Context(), hello("w", "b2", 1, "q")); refused(err) != fsm.WorkerIDInUse {
			t.Errorf("before the old process had time to come: %v", err)
		}
		time.Sleep(5 * time.Second)
		r.attach(hello("w", "b2", 1, "q"))
	})
}

func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 8, "q"))
		r.submit("q", 4)
		held := r.next(s).Assignments
		r.complete(s, held[0], held[0]) // twice
		err := s.Report(t.Context(), nil,
			[]*fsmpb.Failure{{Task: held[1].ID, Fence: held[1].Fence, Error: "no", Permanent: true}},
			[]*fsmpb.Handback{{Task: held[2].ID, Fence: held[2].Fence}, {Task: 77, Fence: 77}})
		if err != nil {
			t.Fatal(err)
		}
		got := map[uint64][]fsm.Outcome{}
		for n := 0; n < 5; {
			b := r.next(s)
			for _, o := range b.Outcomes {
				got[o.Fence] = append(got[o.Fence], o.Outcome)
			}
			n += len(b.Outcomes)
		}
		want := map[uint64][]fsm.Outcome{
			held[0].Fence: {fsm.Accepted, fsm.Duplicate}, held[1].Fence: {fsm.Accepted},
			held[2].Fence: {fsm.Accepted}, 77: {fsm.UnknownTask},
		}
		for f, w := range want {
			if !slices.Equal(got[f], w) {
				t.Errorf("fence %d: got %v, want %v", f, got[f], w)
			}
		}
		synctest.Wait()
		r.noIdleWork() // the released one came back
	})
}

func TestCancelAndTimeoutAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 2, "q"))
		stop := make(chan struct{})
		defer close(stop)
		ids := r.submit("q", 1)
		limited := submitTo("q", 1)
		timeout := int64(3 * time.Second)
		limited.GetSubmit().Tasks[0].Timeout = &timeout
		if _, _, err := r.e.propose(t.Context(), limited); err != nil {
			t.Fatal(err)
		}
		var held []uint64
		for len(held) < 2 {
			held = append(held, fences(r.next(s).Assignments)...)
		}
		go beat(s, stop, func() []uint64 { return held })
		_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: ids}}})
		if err != nil {
			t.Fatal(err)
		}
		b := r.next(s)
		if len(b.Aborts) != 1 || b.Aborts[0].Task != ids[0] || b.Aborts[0].Cause != fsm.CauseCancelled {
			t.Errorf("aborts %v", b.Aborts)
		}
		for {
			b = r.next(s)
			if len(b.Aborts) > 0 {
				break
			}
		}
		if b.Aborts[0].Cause != fsm.CauseTimedOut || b.Aborts[0].Fence != held[1] {
			t.Errorf("aborts %v", b.Aborts)
		}
	})
}

func TestHeartbeatsKeepTheSessionAndSilenceEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		r.submit("q", 1)
		held := r.next(s).Assignments
		stop := make(chan struct{})
		go beat(s, stop, func() []uint64 { return fences(held) })
		for range 60 / 2 {
			if b := r.next(s); b.HeartbeatSeq == 0 || b.AttachAgain {
				t.Fatalf("got %+v", b)
			}
		}
		if r.task(held[0].ID).State != fsm.Running {
			t.Fatal("lost in spite of heartbeats")
		}
		close(stop)
		quiet := time.Now()
		if _, err := s.Next(t.Context()); refused(err) != fsm.NoSession {
			t.Errorf("got %v", err)
		}
		if d := time.Since(quiet); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("expired after %v, want about the TTL", d)
		}
		if x := r.task(held[0].ID); x.State != fsm.Ready || x.Crashes != 1 {
			t.Errorf("the task is %v after %d crashes", x.State, x.Crashes)
		}
		h := hello("w", "b", 1, "q") // the same process was only cut off
		h.Held = fences(held)
		r.attach(h)
		if x := r.task(held[0].ID); x.State != fsm.Running || x.Crashes != 0 {
			t.Errorf("taken back: the task is %v after %d crashes", x.State, x.Crashes)
		}
	})
}

func TestTwoMismatchesInARowAskForAnAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 4, "q"))
		r.submit("q", 2)
		held := fences(r.next(s).Assignments)
		say := func(seq uint64, fences ...uint64) Batch {
			n, hash := hashOf(fences...)
			s.Heartbeat(seq, n, hash)
			return r.next(s)
		}
		if b := say(1); b.AttachAgain { // the assignments were on their way
			t.Error("attach asked for at once")
		}
		if b := say(2, held...); b.AttachAgain || b.HeartbeatSeq != 2 {
			t.Errorf("in step: got %+v", b)
		}
		if b := say(3, held[0]); b.AttachAgain {
			t.Error("attach asked for after one mismatch")
		}
		if b := say(4, held[0]); !b.AttachAgain {
			t.Error("two mismatches in a row were let pass")
		}
		if b := say(5, held...); b.AttachAgain {
			t.Error("in step again, attach asked for")
		}
	})
}

func TestAbortedExecutionsExcuseAMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 1, "q")
		h.Held = []uint64{42} // void, but its handler does not stop at once
		s := r.attach(h)
		r.next(s)
		for seq := range uint64(5) {
			n, hash := hashOf(42)
			s.Heartbeat(seq+1, n, hash)
			if r.next(s).AttachAgain {
				t.Fatal("attach asked for")
			}
		}
	})
}

func TestDrainAndGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 2, "q"))
		r.submit("q", 2)
		held := r.next(s).Assignments
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.submit("q", 1)
		r.complete(s, held[0])
		if b := r.next(s); len(b.Outcomes) != 1 || len(b.Assignments) != 0 {
			t.Errorf("while draining: %+v", b)
		}
		r.raft.pause()
		r.complete(s, held[1])
		go func() {
			time.Sleep(time.Second)
			r.raft.resume()
		}()
		if err := s.Goodbye(t.Context()); err != nil {
			t.Fatal(err)
		}
		if x := r.task(held[1].ID); x.State != fsm.Succeeded {
			t.Errorf("reported before goodbye: %v", x.State)
		}
		b := r.next(s) // the outcome still goes out
		if len(b.Outcomes) != 1 {
			t.Errorf("got %+v", b)
		}
		if _, err := s.Next(t.Context()); refused(err) != fsm.NoSession {
			t.Errorf("after goodbye: %v", err)
		}
		r.table.mu.RLock()
		defer r.table.mu.RUnlock()
		if r.table.m.SessionOf("w") != nil {
			t.Error("the session is still there")
		}
	})
}

func TestGoodbyeReturnsTasksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		a := r.attach(hello("a", "b", 1, "q"))
		ids := r.submit("q", 1)
		r.next(a)
		b := r.attach(hello("b", "b", 1, "q"))
		before := time.Now()
		if err := a.Goodbye(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.next(b).Assignments; len(got) != 1 || got[0].ID != ids[0] || got[0].Crashes != 0 {
			t.Errorf("got %v", got)
		}
		if d := time.Since(before); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

func TestNoMoreTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 1, "q", "q2")
		h.ExitWhenDone, h.TTL = true, time.Hour
		s := r.attach(h)
		plain := r.attach(hello("plain", "b", 1, "other"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if b, err := s.Next(ctx); err == nil {
			t.Fatalf("before any task: %+v", b)
		}
		r.submit("q", 1)
		held := r.next(s).Assignments
		r.submit("q2", 1)
		r.submit("other", 1)
		r.complete(s, held...)
		b := r.next(s)
		if b.NoMoreTasks || len(b.Assignments) != 1 {
			t.Fatalf("with one task left: %+v", b)
		}
		r.complete(s, b.Assignments...)
		if b = r.next(s); !b.NoMoreTasks || len(b.Outcomes) != 1 {
			t.Errorf("with nothing left: %+v", b)
		}
		_ = plain
	})
}

func TestSlowConsumerIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		stop := make(chan struct{})
		go beat(s, stop, func() []uint64 { return nil })
		r.submit("q", 1)
		time.Sleep(12 * time.Second) // it beats, but does not read
		close(stop)
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrSlowConsumer) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReportBlocksWhenTooManyAreUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		many := make([]*fsmpb.Handback, maxUnanswered)
		for i := range many {
			many[i] = &fsmpb.Handback{Task: 1, Fence: uint64(i + 1)}
		}
		if err := s.Report(t.Context(), nil, nil, many); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Report(ctx, nil, nil, many[:1]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		for n := 0; n < maxUnanswered; n += len(r.next(s).Outcomes) {
			synctest.Wait()
		}
		if err := s.Report(t.Context(), nil, nil, many[:1]); err != nil {
			t.Error(err)
		}
	})
}

func TestStreamsAreToldWhereTheLeaderIs(t *testing.T) {
	for name, test := range map[string]struct {
		end, later Leader
		want       string
	}{
		"known":         {end: Leader{Name: "n2"}, want: "n2"},
		"known later":   {later: Leader{Name: "n3"}, want: "n3"},
		"never learned": {want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.close()
				s := r.attach(hello("w", "b", 1, "q"))
				r.e.end(test.end)
				if test.later.Name != "" {
					time.Sleep(100 * time.Millisecond)
					r.e.leaderChanged(test.later)
				}
				b := r.next(s)
				if b.Moved == nil || b.Moved.Name != test.want {
					t.Fatalf("got %+v", b.Moved)
				}
				_, err := s.Next(t.Context())
				if nl, ok := errors.AsType[*NotLeaderError](err); !ok || nl.Leader.Name != test.want {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestStopEndsStreams(t *testing.T) {
	r := newRig(t, nil)
	s := r.attach(hello("w", "b", 1, "q"))
	r.close()
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
	if _, _, err := r.e.propose(t.Context(), submitTo("q", 1)); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
}

// A report whose entry failed while leadership stays is answered by ending the
// stream: the worker attaches again and learns what held.
func TestFailedReportEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		r.submit("q", 1)
		held := r.next(s).Assignments
		r.raft.fail(ErrUncertain, false)
		r.complete(s, held...)
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrUncertain) {
			t.Errorf("got %v", err)
		}
		r.raft.fail(nil, false)
		h := hello("w", "b", 1, "q")
		h.Held = fences(held)
		s = r.attach(h)
		r.complete(s, held...)
		if b := r.next(s); len(b.Outcomes) != 1 || b.Outcomes[0].Outcome != fsm.Accepted {
			t.Errorf("got %+v", b)
		}
	})
}

func TestAbandonedAttachLeavesNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.pause()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.e.attach(ctx, hello("w", "b", 1, "q")); !errors.Is(err, ErrUncertain) {
			t.Errorf("got %v", err)
		}
		r.raft.resume()
		synctest.Wait()
		l := r.e.lead.Load()
		l.mu.Lock()
		s := l.byWorker["w"]
		l.mu.Unlock()
		if s == nil || s.stream != nil {
			t.Errorf("got session %v", s)
		}
	})
}
