package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
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

func TestRunsATask(t *testing.T) {
	ms := newMasters(t, 3)
	got := make(chan Task, 1)
	r := startWorker(t, ms, Config{Slots: 3, Queues: []Queue{{Name: "q", Weight: 2}}, Labels: map[string]string{"k": "v"}, TTL: 5 * time.Second, Default: func(ctx context.Context, task *Task) (Result, error) {
		if d, ok := ctx.Deadline(); !ok || !d.Equal(task.Deadline) {
			t.Errorf("deadline %v, want the task's %v", d, task.Deadline)
		}
		got <- *task
		return echoHandler(ctx, task)
	}})
	sv := ms.accept()
	a := sv.attach
	if a.GetWorkerId() != "w1" || len(a.GetBootId()) != 32 || a.GetSlots() != 3 || a.GetLabels()["k"] != "v" ||
		a.GetTtl().AsDuration() != 5*time.Second || len(a.GetQueues()) != 1 || a.GetQueues()[0].GetWeight() != 2 || len(a.GetHeld()) != 0 {
		t.Fatalf("attached with %v", a)
	}
	sv.assign("k", 1)
	if diff := cmp.Diff([]said{{1, VerbComplete, "work", ""}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	task := <-got
	if left := time.Until(task.Deadline); left > time.Minute || left < 30*time.Second {
		t.Errorf("deadline in %s, want about a minute", left)
	}
	task.Deadline, task.SubmitTime, task.Payload = time.Time{}, time.Time{}, nil
	if diff := cmp.Diff(Task{ID: 1, Fence: 101, Attempt: 1, Worker: "w1", Queue: "q", Kind: "k"}, task); diff != "" {
		t.Error(diff)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	r.wantSettled(Settled{Task: 1, Fence: 101, Attempt: 1, Queue: "q", Kind: "k", Verb: VerbComplete, Outcome: taskraftv1.Outcome_ACCEPTED})
	r.finish(sv)
}

func TestWhatHandlersReturn(t *testing.T) {
	failed := errors.New("no such mailbox")
	tests := []struct {
		name string
		h    Handler
		want said
	}{
		{"result", echoHandler, said{Verb: VerbComplete, Text: "work"}},
		{"error", func(context.Context, *Task) (Result, error) { return Result{}, failed }, said{Verb: VerbFail, Text: "no such mailbox"}},
		{"permanent", func(context.Context, *Task) (Result, error) { return Result{}, Permanent(failed) }, said{Verb: VerbFail, Text: "no such mailbox", Hints: "permanent"}},
		{"wrapped permanent", func(context.Context, *Task) (Result, error) {
			return Result{}, fmt.Errorf("send: %w", Permanent(failed))
		}, said{Verb: VerbFail, Text: "send: no such mailbox", Hints: "permanent"}},
		{"retry after", func(context.Context, *Task) (Result, error) { return Result{}, RetryAfter(failed, time.Minute) }, said{Verb: VerbFail, Text: "no such mailbox", Hints: "after 1m0s"}},
		{"snooze", func(context.Context, *Task) (Result, error) { return Result{}, Snooze(time.Hour) }, said{Verb: VerbFail, Text: "snoozed for 1h0m0s", Hints: "snooze 1h0m0s"}},
		{"snooze for no time", func(context.Context, *Task) (Result, error) { return Result{}, Snooze(0) }, said{Verb: VerbFail, Text: "snoozed for 0s", Hints: "snooze 1ms"}},
		{"nil permanent", func(context.Context, *Task) (Result, error) { return Result{}, Permanent(nil) }, said{Verb: VerbComplete}},
		{"bad UTF-8", func(context.Context, *Task) (Result, error) { return Result{}, errors.New("a\xffb") }, said{Verb: VerbFail, Text: "a�b"}},
		{"long error", func(context.Context, *Task) (Result, error) { return Result{}, errors.New(strings.Repeat("é", 9000)) }, said{Verb: VerbFail, Text: strings.Repeat("é", maxError/2)}},
		{"too large", func(context.Context, *Task) (Result, error) { return Result{Data: make([]byte, 65537)}, nil }, said{Verb: VerbFail, Text: "result of 65537 bytes, want at most 65536", Hints: "permanent"}},
		{"bad content type", func(context.Context, *Task) (Result, error) { return Result{ContentType: "a\n"}, nil }, said{Verb: VerbFail, Text: `content type "a\n" of the result: want at most 128 bytes of printable UTF-8`, Hints: "permanent"}},
		{"goexit", func(context.Context, *Task) (Result, error) { runtime.Goexit(); return Result{}, nil }, said{Verb: VerbFail, Text: "the handler ended its goroutine"}},
		{"no handler", nil, said{Verb: VerbFail, Text: `no handler for kind "no handler" at worker w1`}},
	}
	handlers := map[string]Handler{}
	for _, tt := range tests {
		if tt.h != nil {
			handlers[tt.name] = tt.h
		}
	}
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{Slots: 1, Handlers: handlers}) // one slot: it must survive them all
	sv := ms.accept()
	for i, tt := range tests {
		id := uint64(i + 1)
		sv.assign(tt.name, id)
		tt.want.Task = id
		if diff := cmp.Diff([]said{tt.want}, sv.reports(1)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		sv.outcome(taskraftv1.Outcome_ACCEPTED, id)
	}
	r.finish(sv)
}

// H14: a handler that panics.
func TestH14(t *testing.T) {
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{Slots: 1, Handlers: map[string]Handler{
		"panic": func(context.Context, *Task) (Result, error) { panic("on the disco") },
		"index": func(_ context.Context, task *Task) (Result, error) { return Result{Data: task.Payload[99:]}, nil },
		"ok":    echoHandler,
	}})
	sv := ms.accept()
	sv.assign("panic", 1)
	got := sv.reports(1)[0]
	if got.Verb != VerbFail || got.Hints != "" || !strings.HasPrefix(got.Text, "panic: on the disco\n\n") ||
		!strings.Contains(got.Text, "run_test.go") || strings.Contains(got.Text, "debug.Stack") || len(got.Text) > maxError {
		t.Fatalf("got %+v, want a failure with a trimmed stack", got)
	}
	sv.assign("index", 2)
	if got := sv.reports(1)[0]; got.Verb != VerbFail || !strings.Contains(got.Text, "out of range") {
		t.Fatalf("got %+v", got)
	}
	sv.assign("ok", 3)
	if got := sv.reports(1)[0]; got.Verb != VerbComplete {
		t.Fatalf("got %+v after a panic", got)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1, 2, 3)
	r.finish(sv)
}

// H13: drain hands back what has not begun, lets the rest finish, and ends with nil.
func TestH13(t *testing.T) {
	ms := newMasters(t, 1)
	begun, release := make(chan uint64, 4), make(chan struct{})
	r := startWorker(t, ms, Config{Slots: 1, Default: func(ctx context.Context, task *Task) (Result, error) {
		begun <- task.ID
		<-release
		return echoHandler(ctx, task)
	}})
	sv := ms.accept()
	sv.assign("", 1, 2) // a master never does, but 2 must wait
	<-begun
	r.stop()
	draining, all := false, []said(nil)
	for !draining || len(all) == 0 {
		m := sv.recv()
		draining = draining || m.GetDraining()
		all = append(all, saidIn(m)...)
	}
	if diff := cmp.Diff([]said{{Task: 2, Verb: VerbRelease}}, all); diff != "" {
		t.Fatal(diff)
	}
	sv.assign("", 3) // was under way
	if diff := cmp.Diff([]said{{Task: 3, Verb: VerbRelease}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	close(release)
	if diff := cmp.Diff([]said{{1, VerbComplete, "work", ""}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1, 2, 3)
	sv.goodbye()
	if err := r.wantEnd(); err != nil {
		t.Fatal(err)
	}
}

// A handler that is still running after DrainTimeout is cancelled, and its task
// is handed back: no attempt is counted.
func TestDrainTimeoutHandsBack(t *testing.T) {
	ms := newMasters(t, 1)
	begun := make(chan error, 1)
	r := startWorker(t, ms, Config{DrainTimeout: 20 * time.Millisecond, Default: func(ctx context.Context, _ *Task) (Result, error) {
		begun <- nil
		<-ctx.Done()
		begun <- context.Cause(ctx)
		return Result{}, errors.New("interrupted")
	}})
	sv := ms.accept()
	sv.assign("", 1)
	<-begun
	r.stop()
	if diff := cmp.Diff([]said{{Task: 1, Verb: VerbRelease}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	if cause := <-begun; !errors.Is(cause, ErrDraining) {
		t.Fatalf("cause %v", cause)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	sv.goodbye()
	if err := r.wantEnd(); err != nil {
		t.Fatal(err)
	}
}

// A handler that does not end at all holds up neither the drain nor the others.
func TestStuckHandlerIsHandedBack(t *testing.T) {
	ms := newMasters(t, 1)
	begun, release := make(chan struct{}), make(chan struct{})
	r := startWorker(t, ms, Config{DrainTimeout: 10 * time.Millisecond, StopGrace: 10 * time.Millisecond, Default: func(context.Context, *Task) (Result, error) {
		close(begun)
		<-release
		return Result{}, nil
	}})
	sv := ms.accept()
	sv.assign("", 1)
	<-begun
	r.stop()
	if diff := cmp.Diff([]said{{Task: 1, Verb: VerbRelease}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	sv.goodbye()
	if err := r.wantEnd(); err != nil {
		t.Fatal(err)
	}
	close(release)
}

func TestDrainWithoutAMaster(t *testing.T) {
	ms := newMasters(t, 1)
	ms.Masters[0].Kill()
	r := startWorker(t, ms, Config{Default: echoHandler})
	r.stop()
	if err := r.wantEnd(); err != nil {
		t.Fatal(err)
	}
}

func TestExitWhenDone(t *testing.T) {
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{ExitWhenDone: true, Default: echoHandler})
	sv := ms.accept()
	if !sv.attach.GetExitWhenDone() {
		t.Fatal("did not ask for no_more_tasks")
	}
	sv.assign("", 1)
	sv.reports(1)
	sv.send(&taskraftv1.MasterMessage{
		Outcomes:    []*taskraftv1.OutcomeReply{{Task: 1, Fence: 101, Outcome: taskraftv1.Outcome_ACCEPTED}},
		NoMoreTasks: true,
	})
	sv.goodbye()
	if err := r.wantEnd(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedForGood(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer error
	}{
		{"boot replaced", followtest.Status(codes.FailedPrecondition, reason.BootReplaced, nil)},
		{"invalid", followtest.Status(codes.InvalidArgument, reason.InvalidField, nil)},
		{"not a master", status.Error(codes.Unimplemented, "unknown service")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ms := newMasters(t, 1)
			r := startWorker(t, ms, Config{Default: echoHandler})
			ms.next().breakOff(tt.answer)
			if err := r.wantEnd(); status.Code(errors.Unwrap(err)) != status.Code(tt.answer) {
				t.Fatalf("got %v, want %v", err, tt.answer)
			}
		})
	}
}

// A newer process took over: what runs is told that its fences are void.
func TestReplacedProcessStopsItsHandlers(t *testing.T) {
	ms := newMasters(t, 1)
	begun := make(chan error, 1)
	r := startWorker(t, ms, Config{Default: func(ctx context.Context, _ *Task) (Result, error) {
		begun <- nil
		<-ctx.Done()
		begun <- context.Cause(ctx)
		return Result{}, ctx.Err()
	}})
	sv := ms.accept()
	sv.assign("", 1)
	<-begun
	sv.breakOff(followtest.Status(codes.FailedPrecondition, reason.BootReplaced, nil))
	if err := r.wantEnd(); err == nil {
		t.Fatal("Run ended without an error")
	}
	if cause := <-begun; !errors.Is(cause, ErrLost) {
		t.Fatalf("cause %v", cause)
	}
}

// warnings counts what is logged at level warn or above.
type warnings struct {
	slog.Handler
	count atomic.Int32
}

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w *warnings) Handle(context.Context, slog.Record) error {
	w.count.Add(1)
	return nil
}

// H09: the id is in use for a moment, by a process that is found dead.
func TestH09(t *testing.T) {
	ms := newMasters(t, 1)
	var log warnings
	r := startWorker(t, ms, Config{Default: echoHandler, Logger: slog.New(&log)})
	for range 3 {
		ms.next().breakOff(followtest.Status(codes.AlreadyExists, reason.WorkerIDInUse, nil))
	}
	r.finish(ms.accept())
	if n := log.count.Load(); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}

func TestConfig(t *testing.T) {
	ok := Config{Masters: []string{"127.0.0.1:1"}, Default: echoHandler}
	for name, change := range map[string]func(*Config){
		"no handler":      func(c *Config) { c.Default = nil },
		"nil handler":     func(c *Config) { c.Handlers = map[string]Handler{"k": nil} },
		"slots":           func(c *Config) { c.Slots = 5000 },
		"negative slots":  func(c *Config) { c.Slots = -1 },
		"ttl":             func(c *Config) { c.TTL = -1 },
		"weight":          func(c *Config) { c.Queues = []Queue{{"q", -1}} },
		"result":          func(c *Config) { c.MaxResult = 2 << 20 },
		"label":           func(c *Config) { c.Labels = map[string]string{"a": "\xff"} },
		"no master":       func(c *Config) { c.Masters = nil },
		"bad master":      func(c *Config) { c.Masters = []string{"nowhere"} },
		"negative drain":  func(c *Config) { c.DrainTimeout = -1 },
		"negative grace":  func(c *Config) { c.StopGrace = -1 },
		"negative result": func(c *Config) { c.MaxResult = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ok
			change(&cfg)
			if err := Run(t.Context(), cfg); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

func TestIDFromHost(t *testing.T) {
	for range 2 {
		id := hostID("0123456789abcdef")
		if !strings.HasSuffix(id, "-01234567") || strings.ToLower(id) != id || len(id) > 63 {
			t.Fatalf("id %q", id)
		}
	}
}

// Thousands of short tasks over few goroutines, and as many blocked ones as there
// are slots (L6: no free slot beside a waiting task).
func TestPoolUsesEverySlotAndNoMore(t *testing.T) {
	const slots = 50
	var running, most atomic.Int32
	gate := make(chan struct{})
	full := make(chan struct{}, slots)
	tb := newTable(t.Context(), "w1", slots, func(a *attempt) report {
		n := running.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		if a.task.Kind == "block" {
			full <- struct{}{}
			<-gate
		}
		running.Add(-1)
		return release(&a.task)
	})
	var fence uint64
	give := func(kind string, n int) {
		m := &taskraftv1.MasterMessage{}
		for range n {
			fence++
			m.Assignments = append(m.Assignments, &taskraftv1.Assignment{Fence: fence, Kind: kind})
		}
		tb.take(m, nil)
	}
	give("quick", 5000)
	give("block", slots)
	for range slots {
		<-full // all of them at the same time
	}
	give("quick", 100)
	close(gate)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !tb.wait(ctx, tb.inactive) {
		t.Fatal("not everything ran")
	}
	if n := most.Load(); n != slots {
		t.Fatalf("%d at once, want %d", n, slots)
	}
	tb.close(true)
}
