package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

var unavailable = status.Error(codes.Unavailable, "connection reset")

// The outcome is lost with the stream: the next attach lists the fence, the result
// is offered again, and the handler runs once.
func TestLostOutcomeIsAskedForAgain(t *testing.T) {
	ms := newMasters(t, 2)
	var ran atomic.Int32
	r := startWorker(t, ms, Config{Default: func(ctx context.Context, task *Task) (Result, error) {
		ran.Add(1)
		return echoHandler(ctx, task)
	}})
	sv := ms.accept()
	sv.assign("", 1, 2)
	want := sv.reports(2)
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 2)
	r.wantSettled(Settled{Task: 2, Fence: 102, Attempt: 1, Queue: "q", Verb: VerbComplete, Outcome: taskraftv1.Outcome_ACCEPTED})
	ms.Lead(ms.Masters[1])

	sv = ms.accept()
	if sv.master != ms.Masters[1] || !slices.Equal(sv.attach.GetHeld(), []uint64{101}) {
		t.Fatalf("attached at %s with %v", sv.master.Name, sv.attach.GetHeld())
	}
	sv.assign("", 1) // a reply may have been lost: the worker knows better
	if diff := cmp.Diff(want[:1], sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	sv.send(&taskraftv1.MasterMessage{Aborts: []*taskraftv1.Abort{{Task: 1, Fence: 101, Reason: "lost"}}})
	sv.outcome(taskraftv1.Outcome_DUPLICATE, 1)
	r.wantSettled(Settled{Task: 1, Fence: 101, Attempt: 1, Queue: "q", Verb: VerbComplete, Outcome: taskraftv1.Outcome_DUPLICATE})
	if n := ran.Load(); n != 2 {
		t.Fatalf("handlers ran %d times, want 2", n)
	}
	r.finish(sv)
}

// H10: handlers go on while no master answers, and their results wait.
func TestH10(t *testing.T) {
	ms := newMasters(t, 1)
	begun, release := make(chan struct{}), make(chan struct{})
	r := startWorker(t, ms, Config{Default: func(ctx context.Context, task *Task) (Result, error) {
		close(begun)
		select {
		case <-release:
			return echoHandler(ctx, task)
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		}
	}})
	sv := ms.accept()
	sv.assign("", 1)
	<-begun
	ms.Masters[0].Kill()
	close(release)
	ms.Masters[0].Start()
	sv = ms.accept()
	if !slices.Equal(sv.attach.GetHeld(), []uint64{101}) {
		t.Fatalf("attached with %v", sv.attach.GetHeld())
	}
	if diff := cmp.Diff([]said{{1, VerbComplete, "work", ""}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	sv.outcome(taskraftv1.Outcome_STALE_REASSIGNED, 1)
	r.wantSettled(Settled{Task: 1, Fence: 101, Attempt: 1, Queue: "q", Verb: VerbComplete, Outcome: taskraftv1.Outcome_STALE_REASSIGNED})
	r.finish(sv)
}

func TestMoved(t *testing.T) {
	ms := newMasters(t, 3)
	r := startWorker(t, ms, Config{Default: echoHandler})
	sv := ms.accept()
	ms.Silent.Store(true)
	ms.Lead(ms.Masters[2])
	sv.send(&taskraftv1.MasterMessage{Moved: ms.Info()})
	sv = ms.accept()
	if sv.master != ms.Masters[2] {
		t.Fatalf("attached at %s", sv.master.Name)
	}
	r.finish(sv)
}

// The leader freezes: its silence is noticed, or another leader is announced.
func TestFrozenMaster(t *testing.T) {
	for _, announced := range []bool{true, false} {
		t.Run(map[bool]string{true: "announced", false: "noticed"}[announced], func(t *testing.T) {
			ms := newMasters(t, 3)
			r := startWorker(t, ms, Config{Default: echoHandler})
			ms.accept()
			ms.Silent.Store(!announced)
			ms.Masters[0].Freeze()
			ms.Lead(ms.Masters[1])
			sv := ms.accept()
			if sv.master != ms.Masters[1] {
				t.Fatalf("attached at %s", sv.master.Name)
			}
			r.finish(sv)
		})
	}
}

// A leader that is deposed and does not know is not listened to (S13).
func TestOlderPositionIsRefused(t *testing.T) {
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{Default: echoHandler})
	attached := func(sv *served, term, index uint64) {
		pos := ms.Position(index)
		pos.Term = term
		sv.send(&taskraftv1.MasterMessage{Attached: &taskraftv1.Attached{Position: pos}})
	}
	sv := ms.next()
	attached(sv, 5, 10)
	sv.breakOff(unavailable)
	sv = ms.next()
	attached(sv, 4, 99)
	sv = ms.next() // it left the older one at once
	attached(sv, 5, 10)
	r.finish(sv)
}

func TestAbort(t *testing.T) {
	for _, tt := range []struct {
		reason  string
		cause   error
		said    said // of the handler that was stopped; one that lost its task did not fail
		outcome taskraftv1.Outcome
	}{
		{"timed_out", ErrTimedOut, said{Task: 1, Verb: VerbFail, Text: "context canceled"}, taskraftv1.Outcome_STALE_TIMED_OUT},
		{"cancelled", ErrCancelled, said{Task: 1, Verb: VerbFail, Text: "context canceled"}, taskraftv1.Outcome_TASK_CANCELLED},
		{"lost", ErrLost, said{Task: 1, Verb: VerbRelease}, taskraftv1.Outcome_STALE_REASSIGNED},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			ms := newMasters(t, 1)
			begun := make(chan error, 2)
			r := startWorker(t, ms, Config{Slots: 1, Default: func(ctx context.Context, _ *Task) (Result, error) {
				begun <- nil
				<-ctx.Done()
				begun <- context.Cause(ctx)
				return Result{}, ctx.Err()
			}})
			sv := ms.accept()
			sv.assign("", 1, 2) // 2 waits for the only slot
			<-begun
			sv.send(&taskraftv1.MasterMessage{Aborts: []*taskraftv1.Abort{
				{Task: 2, Fence: 102, Reason: tt.reason}, {Task: 1, Fence: 101, Reason: tt.reason}, {Task: 9, Fence: 109, Reason: tt.reason},
			}})
			if cause := <-begun; !errors.Is(cause, tt.cause) {
				t.Fatalf("cause %v, want %v", cause, tt.cause)
			}
			want := []said{tt.said, {Task: 2, Verb: VerbRelease}}
			if diff := cmp.Diff(want, sv.reports(2)); diff != "" {
				t.Fatal(diff)
			}
			sv.outcome(tt.outcome, 2, 1)
			r.wantSettled(Settled{Task: 2, Fence: 102, Attempt: 1, Queue: "q", Verb: VerbRelease, Outcome: tt.outcome})
			r.wantSettled(Settled{Task: 1, Fence: 101, Attempt: 1, Queue: "q", Verb: tt.said.Verb, Outcome: tt.outcome})
			r.finish(sv)
		})
	}
}

// Heartbeats describe what is held, and the master may ask to attach again.
func TestHeartbeats(t *testing.T) {
	ms := newMasters(t, 1)
	release := make(chan struct{})
	r := startWorker(t, ms, Config{Default: func(context.Context, *Task) (Result, error) { <-release; return Result{}, nil }})
	sv := ms.next()
	sv.attached(20 * time.Millisecond)
	sv.assign("", 1, 2)
	want := splitmix64(101) ^ splitmix64(102)
	var seq uint64
	for m := range sv.in {
		h := m.GetHeartbeat()
		if h == nil {
			continue
		}
		if h.GetSeq() != seq+1 {
			t.Fatalf("heartbeat %d after %d", h.GetSeq(), seq)
		}
		if seq = h.GetSeq(); h.GetHeldCount() == 2 && h.GetHeldHash() == want {
			break
		}
	}
	sv.send(&taskraftv1.MasterMessage{Heartbeat: &taskraftv1.HeartbeatAck{Seq: seq, AttachAgain: true}})
	sv = ms.accept()
	if !slices.Equal(sv.attach.GetHeld(), []uint64{101, 102}) {
		t.Fatalf("attached with %v", sv.attach.GetHeld())
	}
	close(release)
	sv.reports(2)
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1, 2)
	r.finish(sv)
}

// The test vector of splitmix64: the masters compute the same.
func TestSplitmix64(t *testing.T) {
	for x, want := range map[uint64]uint64{0: 0xe220a8397b1dcdaf, 1: 0x910a2dec89025cc1, 1 << 40: 0} {
		if got := splitmix64(x); want != 0 && got != want {
			t.Errorf("splitmix64(%d) = %#x, want %#x", x, got, want)
		}
	}
}

// A report that the master refuses must not end every stream after this one.
func TestRefusedReportIsReplaced(t *testing.T) {
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{MaxResult: 1 << 20, Handlers: map[string]Handler{
		"small": echoHandler,
		"large": func(context.Context, *Task) (Result, error) { return Result{Data: make([]byte, 1<<19)}, nil },
	}})
	sv := ms.accept()
	sv.assign("small", 1)
	sv.reports(1)
	sv.assign("large", 2)
	sv.reports(1)
	sv.breakOff(followtest.Status(codes.ResourceExhausted, reason.InvalidField, nil))
	sv = ms.accept()
	got := sv.reports(2)
	if got[0].Verb != VerbComplete || got[1].Verb != VerbFail || got[1].Hints != "permanent" {
		t.Fatalf("got %+v, want the large one as a failure", got)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1, 2)
	r.finish(sv)
}

// Errors that pass are no reason to end.
func TestStreamsBreakAndComeBack(t *testing.T) {
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{Default: echoHandler})
	for _, err := range []error{
		unavailable,
		followtest.Status(codes.Aborted, reason.StreamReplaced, nil),
		followtest.Status(codes.ResourceExhausted, reason.SlowConsumer, nil),
		followtest.Status(codes.FailedPrecondition, reason.NoSession, nil),
		followtest.Status(codes.Internal, reason.Internal, nil),
		nil,
	} {
		ms.accept().breakOff(err)
	}
	r.finish(ms.accept())
}

// The spool is bounded: what does not fit runs again (§ H10).
func TestSpoolIsBounded(t *testing.T) {
	const size = 1 << 20
	result := make([]byte, size)
	tb := newTable(t.Context(), "w1", 8, func(a *attempt) report { return reportOf(&a.task, Result{Data: result}, nil, nil, size) })
	const tasks = maxSpool/size + 10
	m := &taskraftv1.MasterMessage{}
	for i := range uint64(tasks) {
		m.Assignments = append(m.Assignments, &taskraftv1.Assignment{Task: i, Fence: i + 1})
	}
	tb.take(m, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tb.wait(ctx, tb.inactive)
	var kept, dropped int
	m = &taskraftv1.MasterMessage{}
	for _, a := range tb.collect(nil) {
		if a.verb() == VerbComplete {
			kept++
		} else {
			dropped++
		}
		m.Outcomes = append(m.Outcomes, &taskraftv1.OutcomeReply{Fence: a.task.Fence})
	}
	if kept >= maxSpool/size+1 || kept < maxSpool/size-1 || kept+dropped != tasks {
		t.Fatalf("%d results kept, %d handed back", kept, dropped)
	}
	if got := tb.take(m, nil); len(got) != tasks || tb.spool != 0 || tb.hash != 0 || len(tb.held) != 0 {
		t.Fatalf("%d settled; left: %d bytes, hash %x, %d held", len(got), tb.spool, tb.hash, len(tb.held))
	}
	tb.close(true)
}

// Masters die and streams break at random while thousands of tasks run: every
// task that was reported is settled once, and none runs twice.
func TestNothingIsLostOrRunTwiceOverManyStreams(t *testing.T) {
	ms := newMasters(t, 1)
	var mu sync.Mutex
	ran := map[uint64]int{}
	r := startWorker(t, ms, Config{Slots: 64, Default: func(_ context.Context, task *Task) (Result, error) {
		mu.Lock()
		defer mu.Unlock()
		ran[task.ID]++
		return Result{}, nil
	}})
	const total = 3000
	// The masters' side answers no heartbeat while it waits for something else, for
	// longer than a heartbeat when the machine is busy: there are none here.
	accept := func() *served {
		sv := ms.next()
		sv.attached(time.Hour)
		return sv
	}
	given, settled := uint64(0), map[uint64]bool{}
	sv := accept()
	for streams := 0; len(settled) < total; {
		for given < total && given < uint64(len(settled))+64 {
			given++
			sv.assign("", given)
		}
		m := sv.recv()
		if streams < 20 && len(settled) > streams*total/25 {
			streams++
			sv.breakOff(unavailable) // with the outcomes of m
			sv = accept()
			for _, fence := range sv.attach.GetHeld() {
				if settled[fence-100] {
					t.Fatalf("fence %d is held after its outcome", fence)
				}
			}
			lost := map[uint64]bool{}
			for id := uint64(1); id <= given; id++ {
				lost[id] = !settled[id] && !slices.Contains(sv.attach.GetHeld(), id+100)
			}
			for id := range lost {
				if lost[id] {
					sv.assign("", id) // its assignment was lost with the stream
				}
			}
			continue
		}
		for _, s := range saidIn(m) {
			sv.outcome(taskraftv1.Outcome_ACCEPTED, s.Task)
			got := <-r.settled
			if settled[got.Task] {
				t.Fatalf("task %d settled twice", got.Task)
			}
			settled[got.Task] = true
		}
	}
	for id, n := range ran {
		if n != 1 {
			t.Errorf("task %d ran %d times", id, n)
		}
	}
	r.finish(sv)
}
