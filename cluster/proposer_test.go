package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func TestOneCallerAloneGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		before := time.Now()
		r.submit("q", 1)
		if d := time.Since(before); d != 0 {
			t.Errorf("the submit waited %v", d)
		}
		if n := r.raft.count(); n != 2 { // the term's first entry, and this
			t.Errorf("got %d entries, want 2", n)
		}
		r.sameTables()
	})
}

// propose orders commands without waiting and returns a function that does.
func (r *rig) propose(ctx context.Context, cmds ...*fsmpb.Command) (wait func() []error) {
	errs := make([]error, len(cmds))
	var wg sync.WaitGroup
	for i, c := range cmds {
		wg.Go(func() { _, _, errs[i] = r.e.propose(ctx, c) })
		synctest.Wait() // one after the other
	}
	return func() []error {
		wg.Wait()
		return errs
	}
}

// fill puts small entries into flight until no more of them may be.
func (r *rig) fill() (wait func() []error) {
	r.raft.pause()
	var cmds []*fsmpb.Command
	for range eagerInFlight {
		cmds = append(cmds, submitTo("fill", 1))
	}
	return r.propose(r.t.Context(), cmds...)
}

func TestCoalescesWhatQueuesWhileEntriesAreInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		filled := r.fill()
		_, n := r.raft.since(0)
		var cmds []*fsmpb.Command
		for range 100 {
			cmds = append(cmds, submitTo("q", 1))
		}
		wait := r.propose(t.Context(), cmds...)
		if got := r.raft.count(); got != n {
			t.Fatalf("%d entries went into flight beyond the limit", got-n)
		}
		r.raft.resume()
		for _, err := range append(filled(), wait()...) {
			if err != nil {
				t.Error(err)
			}
		}
		entries, _ := r.raft.since(n)
		if len(entries) != 1 || len(entries[0].Commands) != 100 {
			t.Errorf("got %d entries, want one of 100 commands", len(entries))
		}
		if r.raft.most > eagerInFlight {
			t.Errorf("%d entries were in flight", r.raft.most)
		}
	})
}

func TestLargeProposalsFillThePipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		filled := r.fill()
		_, n := r.raft.since(0)
		var cmds []*fsmpb.Command
		for range maxInFlight {
			c := submitTo("q", 1)
			c.GetSubmit().Tasks[0].Payload = make([]byte, maxEntryBytes/2+1) // two do not share an entry
			cmds = append(cmds, c)
		}
		wait := r.propose(t.Context(), cmds...)
		if got := r.raft.count() - n; got != maxInFlight-eagerInFlight {
			t.Errorf("%d more entries went into flight, want %d", got, maxInFlight-eagerInFlight)
		}
		r.raft.resume()
		for _, err := range append(filled(), wait()...) {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestOrderInsideAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 2, "work"))
		r.submit("work", 1)
		held := r.next(s).Assignments
		delayed := submitTo("work", 1)
		delayed.GetSubmit().Tasks[0].Delay = int64(time.Second)
		if _, _, err := r.e.propose(t.Context(), delayed); err != nil {
			t.Fatal(err)
		}
		filled := r.fill()
		_, n := r.raft.since(0)
		paused := true
		wait := r.propose(t.Context(),
			submitTo("work", 1),
			&fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: []uint64{1}}}},
			&fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: "other", Paused: &paused}}},
			&fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{99}}}},
			openCommand(hello("w2", "b", 1, "work"), 10*time.Second, false, false),
		)
		r.complete(s, held...)
		time.Sleep(2 * time.Second) // the delayed task falls due
		r.raft.resume()
		for _, err := range append(filled(), wait()...) {
			if err != nil {
				t.Error(err)
			}
		}
		entries, _ := r.raft.since(n)
		want := []string{"open", "complete", "cancel", "tick", "submit", "retry", "set-queue", "assign"}
		if diff := cmp.Diff(want, kinds(entries[0])); diff != "" {
			t.Errorf("order inside the entry (-want +got):\n%s", diff)
		}
		r.sameTables()
	})
}

func TestReportsOfAStreamMergeIntoOneCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 100, "q"))
		r.submit("q", 100)
		held := r.next(s).Assignments
		filled := r.fill()
		_, n := r.raft.since(0)
		for _, x := range held {
			r.complete(s, x)
		}
		r.raft.resume()
		filled()
		if got := len(r.next(s).Outcomes); got != 100 {
			t.Errorf("got %d outcomes, want 100", got)
		}
		entries, _ := r.raft.since(n)
		if len(entries) != 1 || len(entries[0].Commands) != 1 || len(entries[0].Commands[0].GetComplete().GetItems()) != 100 {
			t.Errorf("got %v", kinds(entries[0]))
		}
	})
}

func TestEntriesStayWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		filled := r.fill()
		_, n := r.raft.since(0)
		var cmds []*fsmpb.Command
		for i := range 40 {
			c := submitTo("q", 1+i%3*400)
			size := []int{100, 60 << 10, 200 << 10, 1000 << 10}[i%4]
			c.GetSubmit().Tasks[0].Payload = make([]byte, size)
			cmds = append(cmds, c)
		}
		wait := r.propose(t.Context(), cmds...)
		r.raft.resume()
		for _, err := range append(filled(), wait()...) {
			if err != nil {
				t.Error(err)
			}
		}
		entries, _ := r.raft.since(n)
		for i, e := range entries {
			size, tasks := r.raft.sizes[n+i], 0
			for _, c := range e.Commands {
				tasks += len(c.GetSubmit().GetTasks())
			}
			if size > maxEntryBytes+64 && (len(e.Commands) > 1 || size > maxCommandBytes+64) {
				t.Errorf("entry of %d bytes with %d commands", size, len(e.Commands))
			}
			if tasks > fsm.MaxTransitions {
				t.Errorf("entry with %d transitions", tasks)
			}
		}
		_, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{
			Tasks: []*fsmpb.TaskSpec{{Payload: make([]byte, maxCommandBytes)}},
		}}})
		if !errors.Is(err, errTooLarge) {
			t.Errorf("a command too large: got %v", err)
		}
	})
}

func TestBytesInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.pause()
		_, n := r.raft.since(0)
		var cmds []*fsmpb.Command
		for range 6 {
			c := submitTo("q", 1)
			c.GetSubmit().Tasks[0].Payload = make([]byte, 1200<<10)
			cmds = append(cmds, c)
		}
		wait := r.propose(t.Context(), cmds...)
		sum := 0
		for _, size := range r.raft.sizes[n:] {
			sum += size
		}
		if sum > maxInFlightBytes || sum < maxInFlightBytes/2 {
			t.Errorf("%d bytes are in flight", sum)
		}
		r.raft.resume()
		for _, err := range wait() {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestThreeOutcomes(t *testing.T) {
	isNotLeader := func(err error) bool {
		_, ok := errors.AsType[*NotLeaderError](err)
		return ok
	}
	t.Run("before any term", func(t *testing.T) {
		r := newIdleRig(t, nil, systemSource())
		defer r.close()
		r.e.leaderChanged(Leader{Name: "n2", GRPC: "a:1"})
		_, _, err := r.e.propose(t.Context(), submitTo("q", 1))
		if nl, ok := errors.AsType[*NotLeaderError](err); !ok || nl.Leader.Name != "n2" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refused by the log", func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.fail(&NotLeaderError{}, false)
		if _, _, err := r.e.propose(t.Context(), submitTo("q", 1)); !isNotLeader(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another term in the log", func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.mu.Lock()
		r.raft.term = 7
		r.raft.mu.Unlock()
		if _, _, err := r.e.propose(t.Context(), submitTo("q", 1)); !isNotLeader(err) {
			t.Errorf("got %v", err)
		}
		if r.task(1) != nil {
			t.Error("applied all the same")
		}
	})
	t.Run("leadership lost, not applied", func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.raft.fail(ErrUncertain, false)
		if _, _, err := r.e.propose(t.Context(), submitTo("q", 1)); !errors.Is(err, ErrUncertain) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("gate closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			defer r.close()
			filled := r.fill()
			wait := r.propose(t.Context(), submitTo("q", 1))
			r.e.end(Leader{Name: "n3"})
			for _, err := range wait() {
				if nl, ok := errors.AsType[*NotLeaderError](err); !ok || nl.Leader.Name != "n3" {
					t.Errorf("queued: got %v", err)
				}
			}
			r.raft.resume() // what is in flight is committed all the same
			for _, err := range filled() {
				if err != nil {
					t.Errorf("in flight: got %v", err)
				}
			}
		})
	})
	t.Run("ctx ends in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			defer r.close()
			r.raft.pause()
			ctx, cancel := context.WithCancel(t.Context())
			wait := r.propose(ctx, submitTo("q", 1))
			cancel()
			if err := wait()[0]; !errors.Is(err, ErrUncertain) {
				t.Errorf("got %v", err)
			}
			r.raft.resume()
			synctest.Wait()
			if r.task(1) == nil {
				t.Error("not applied")
			}
		})
	})
	t.Run("ctx ends in the queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			defer r.close()
			filled := r.fill()
			ctx, cancel := context.WithCancel(t.Context())
			wait := r.propose(ctx, submitTo("withdrawn", 1))
			cancel()
			if err := wait()[0]; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUncertain) {
				t.Errorf("got %v", err)
			}
			r.raft.resume()
			filled()
			r.submit("q", 1)
			r.table.mu.RLock()
			defer r.table.mu.RUnlock()
			if r.table.m.Queue("withdrawn") != nil {
				t.Error("a withdrawn command was applied")
			}
		})
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Config{QueueDepth: 10})
		defer r.close()
		filled := r.fill()
		var cmds []*fsmpb.Command
		for range 13 {
			cmds = append(cmds, submitTo("q", 1))
		}
		wait := r.propose(t.Context(), cmds...)
		r.raft.resume()
		errs := wait()
		filled()
		overloaded := 0
		for _, err := range errs {
			if errors.Is(err, ErrOverloaded) {
				overloaded++
			} else if err != nil {
				t.Error(err)
			}
		}
		if overloaded != 3 {
			t.Errorf("%d were refused, want 3", overloaded)
		}
		r.submit("q", 1) // there is room again
	})
}

func TestDiskLowRefusesSubmitsOnly(t *testing.T) {
	r := newRig(t, nil)
	defer r.close()
	ids := r.submit("q", 1)
	r.e.refuseSubmits(true)
	if _, _, err := r.e.propose(t.Context(), submitTo("q", 1)); !errors.Is(err, ErrDiskLow) {
		t.Errorf("submit: got %v", err)
	}
	if _, _, err := r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: ids}}}); err != nil {
		t.Errorf("cancel: got %v", err)
	}
	r.e.refuseSubmits(false)
	first := submitTo("q", 1)
	first.Call = &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: 1}
	was, _, err := r.e.propose(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	r.e.refuseSubmits(true)
	repeat := submitTo("q", 1)
	repeat.Call = &fsmpb.Call{Client: first.Call.Client, Seq: 1, Repeat: true}
	if again, _, err := r.e.propose(t.Context(), repeat); err != nil || !slices.Equal(again.IDs, was.IDs) {
		t.Errorf("a repeat of what was applied: %v, %v, want %v", again.IDs, err, was.IDs)
	}
	r.e.refuseSubmits(false)
	r.submit("q", 1)
}

func TestResultsComeInLogOrderWithTheirPositions(t *testing.T) {
	r := newRig(t, nil)
	defer r.close()
	var mu sync.Mutex
	byIndex := map[uint64][]uint64{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				res, pos, err := r.e.propose(t.Context(), submitTo("q", 1))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				byIndex[pos.Index] = append(byIndex[pos.Index], res.IDs...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var all []uint64
	var last uint64
	indexes := make([]uint64, 0, len(byIndex))
	for i := range byIndex {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	for _, i := range indexes {
		ids := byIndex[i]
		slices.Sort(ids)
		if ids[0] <= last {
			t.Errorf("index %d has task %d after task %d", i, ids[0], last)
		}
		last = ids[len(ids)-1]
		all = append(all, ids...)
	}
	if len(all) != 400 || all[len(all)-1] != 400 {
		t.Errorf("got %d tasks up to %d", len(all), all[len(all)-1])
	}
	r.sameTables()
}

func TestReportsAreNotStarvedAndDoNotStarve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 200, "work"))
		r.submit("work", 200)
		held := r.next(s).Assignments
		filled := r.fill()
		_, n := r.raft.since(0)
		var cmds []*fsmpb.Command
		for range 8 {
			c := submitTo("q", 1)
			c.GetSubmit().Tasks[0].Payload = make([]byte, 250<<10)
			cmds = append(cmds, c)
		}
		wait := r.propose(t.Context(), cmds...)
		items := make([]*fsmpb.Completion, len(held))
		for i, x := range held {
			items[i] = &fsmpb.Completion{Task: x.ID, Fence: x.Fence, Result: make([]byte, 8<<10)}
		}
		if err := s.Report(t.Context(), items, nil, nil); err != nil {
			t.Fatal(err)
		}
		r.raft.resume()
		for _, err := range append(filled(), wait()...) {
			if err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		entries, _ := r.raft.since(n)
		first := map[string]int{}
		for i, e := range entries[:4] {
			for _, k := range kinds(e) {
				first[k] += i + 1
			}
		}
		if first["submit"] == 0 || first["complete"] == 0 {
			t.Errorf("the first four entries have %v", first)
		}
	})
}
