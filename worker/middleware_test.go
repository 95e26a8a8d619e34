package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Middleware stands around every handler, the default one too, the first outermost.
func TestMiddlewareOrder(t *testing.T) {
	named := func(name string) Middleware {
		return func(next Handler) Handler {
			return func(ctx context.Context, task *Task) (Result, error) {
				res, err := next(ctx, task)
				res.Data = append(append([]byte(name+"("), res.Data...), ')')
				return res, err
			}
		}
	}
	handlers := map[string]Handler{"echo": echoHandler}
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{Handlers: handlers, Default: echoHandler, Middleware: []Middleware{named("a"), named("b")}})
	sv := ms.accept()
	for i, kind := range []string{"echo", "other"} {
		id := uint64(i + 1)
		sv.assign(kind, id)
		if diff := cmp.Diff([]said{{id, VerbComplete, "a(b(work))", ""}}, sv.reports(1)); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		sv.outcome(taskraftv1.Outcome_ACCEPTED, id)
	}
	if res, _ := handlers["echo"](t.Context(), &Task{Payload: []byte("x")}); string(res.Data) != "x" {
		t.Error("the caller's map was changed")
	}
	r.finish(sv)
}

// A panic inside Recover is an error for what stands around it.
func TestRecoverAndLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	task := &Task{ID: 7, Attempt: 2, Worker: "w1", Queue: "q", Kind: "k"}
	h := around(func(_ context.Context, task *Task) (Result, error) {
		if task.Attempt == 2 {
			panic("no such mailbox")
		}
		return Result{}, nil
	}, []Middleware{Log(log), Recover})
	_, err := h(t.Context(), task)
	if err == nil || !strings.HasPrefix(err.Error(), "panic: no such mailbox\n\npanic(") {
		t.Fatalf("got %v, want the panic with its stack", err)
	}
	task.Attempt = 3
	if _, err := h(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{`level=WARN msg="task not done" worker=w1 task=7 attempt=2 queue=q kind=k dur=`, `level=INFO msg="task done" worker=w1 task=7 attempt=3`} {
		if len(lines) != 2 || !strings.Contains(lines[i], want) {
			t.Errorf("log line %d: want %s in\n%s", i, want, out.String())
		}
	}
}

func TestTimeoutEndsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Timeout(time.Minute)(func(ctx context.Context, _ *Task) (Result, error) {
			<-ctx.Done()
			return Result{}, context.Cause(ctx)
		})
		began := time.Now()
		if _, err := h(t.Context(), &Task{}); !errors.Is(err, ErrTimedOut) || time.Since(began) != time.Minute {
			t.Fatalf("ended after %s with %v", time.Since(began), err)
		}
	})
}

// Whatever the handler derives from its context leads back to the task.
func TestTaskOf(t *testing.T) {
	ms := newMasters(t, 1)
	r := startWorker(t, ms, Config{Middleware: []Middleware{Timeout(time.Minute)}, Default: func(ctx context.Context, task *Task) (Result, error) {
		if of := TaskOf(ctx); of != task {
			return Result{}, errors.New("another task")
		}
		return Result{}, nil
	}})
	sv := ms.accept()
	sv.assign("k", 1)
	if diff := cmp.Diff([]said{{1, VerbComplete, "", ""}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	r.finish(sv)
	if TaskOf(t.Context()) != nil {
		t.Error("a task in a context that is no handler's")
	}
}
