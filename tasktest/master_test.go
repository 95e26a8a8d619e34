package tasktest

import (
	"context"
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A master that goes and comes back has what it had, and a worker goes on.
func TestRestart(t *testing.T) {
	m := Start(t)
	c := m.Client()
	before, err := c.Submit(t.Context(), client.Task{Queue: "q", Payload: []byte("before")})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	m.Work(worker.Config{Queues: []worker.Queue{{Name: "q"}}, Default: func(_ context.Context, t *worker.Task) (worker.Result, error) {
		return worker.Result{Data: t.Payload}, nil
	}})
	for range 2 { // from down, and from up
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
		got, err := c.Wait(t.Context(), before.ID)
		if err != nil || got.GetState() != taskraftv1.TaskState_SUCCEEDED || string(got.GetResult()) != "before" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	after, err := c.Submit(t.Context(), client.Task{Queue: "q"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Wait(t.Context(), after.ID); err != nil || after.ID <= before.ID || got.GetState() != taskraftv1.TaskState_SUCCEEDED {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestCloseTwice(t *testing.T) {
	m, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(m.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory is left: %v", err)
	}
	if err := m.Restart(); err == nil {
		t.Error("a closed master was started")
	}
}

func TestLimits(t *testing.T) {
	m, err := Open(Config{Dir: t.TempDir(), MaxPayload: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, err = m.Client().Submit(t.Context(), client.Task{Payload: make([]byte, 11)})
	if _, ok := errors.AsType[*client.Error](err); !ok {
		t.Errorf("a payload of 11 bytes, where 10 are allowed: %v", err)
	}
}

// A worker that cannot run says so at its stop.
func TestWorkerError(t *testing.T) {
	m := Start(t)
	w := m.Work(worker.Config{Slots: -1, Default: func(context.Context, *worker.Task) (worker.Result, error) { return worker.Result{}, nil }})
	if err := w.Stop(); err == nil {
		t.Error("no error for -1 slots")
	}
	m.workers = nil // Close would say it again
}
