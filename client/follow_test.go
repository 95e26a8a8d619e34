package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

// heard is what a follower of a task was told in all.
type heard struct {
	out, err string
	attempts []int
	dropped  uint64
	progress float64
	states   []taskraftv1.TaskState
}

func (h *heard) take(u client.Update) {
	for _, o := range u.Output {
		h.dropped += o.Dropped
		h.attempts = append(h.attempts, o.Attempt)
		if o.Stderr {
			h.err += string(o.Data)
		} else {
			h.out += string(o.Data)
		}
	}
	if u.Progress != nil {
		h.progress = u.Progress.GetFraction()
	}
	if u.Task != nil {
		h.states = append(h.states, u.Task.GetState())
	}
}

func (h *heard) last() taskraftv1.TaskState {
	if len(h.states) == 0 {
		return 0
	}
	return h.states[len(h.states)-1]
}

// Each line is heard once, also when the leader goes away in the middle, and the
// last line although the task ends while there is no leader.
func TestFollow(t *testing.T) {
	const lines = 60
	m := tasktest.Start(t)
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	write := make(chan struct{})
	m.Work(worker.Config{Default: func(ctx context.Context, _ *worker.Task) (worker.Result, error) {
		for i := range lines {
			<-write
			fmt.Fprintf(worker.Output(ctx, worker.Stdout), "line %d\n", i)
			if err := worker.ProgressOf(ctx, uint64(i+1), lines, ""); err != nil {
				t.Error(err)
			}
		}
		return worker.Result{}, nil
	}})
	c := m.Client()
	r, err := c.Submit(t.Context(), client.Task{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := range lines {
			write <- struct{}{}
			if i == lines/3 {
				if err := m.Restart(); err != nil {
					t.Error(err)
				}
			}
			if i == lines-3 { // the rest is written while nobody leads
				if err := m.Stop(); err != nil {
					t.Error(err)
				}
			}
		}
		if err := m.Restart(); err != nil {
			t.Error(err)
		}
	}()
	var h heard
	for u, err := range c.Follow(patient(t), r.ID) {
		if err != nil {
			t.Fatal(err)
		}
		h.take(u)
	}
	if h.out != want.String() || h.dropped != 0 || h.err != "" {
		t.Errorf("%d bytes dropped, got\n%s", h.dropped, h.out)
	}
	if h.last() != taskraftv1.TaskState_SUCCEEDED || h.progress == 0 {
		t.Errorf("states %v, progress %v", h.states, h.progress)
	}
}

// Each attempt's output is heard, the first's before the second's, and afterwards
// what is left of it.
func TestFollowOverAttempts(t *testing.T) {
	m := tasktest.Start(t)
	m.Work(worker.Config{Default: func(ctx context.Context, task *worker.Task) (worker.Result, error) {
		fmt.Fprintf(worker.Output(ctx, worker.Stdout), "out %d\n", task.Attempt)
		fmt.Fprintf(worker.Output(ctx, worker.Stderr), "err %d\n", task.Attempt)
		if task.Attempt == 1 {
			return worker.Result{}, worker.Snooze(1)
		}
		return worker.Result{}, worker.Permanent(errors.New("boom"))
	}})
	c := m.Client()
	r, err := c.Submit(t.Context(), client.Task{})
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]client.FollowOption{"while it runs": nil, "afterwards": {client.WithoutWaiting()}} {
		if name == "afterwards" {
			if _, err := c.Wait(patient(t), r.ID); err != nil {
				t.Fatal(err)
			}
		}
		var h heard
		for u, err := range c.Follow(patient(t), r.ID, opts...) {
			if err != nil {
				t.Fatal(err)
			}
			h.take(u)
		}
		if h.out != "out 1\nout 2\n" || h.err != "err 1\nerr 2\n" || fmt.Sprint(h.attempts) != "[1 1 2 2]" || h.last() != taskraftv1.TaskState_DEAD {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for u, err := range c.Follow(patient(t), r.ID, client.WithoutOutput()) {
		if err != nil || len(u.Output) != 0 || !u.Done || u.Task.GetError() != "boom" {
			t.Errorf("without output: %+v, %v", u, err)
		}
	}
	n := 0
	for _, err := range c.Follow(patient(t), r.ID+1) {
		if n++; err == nil || n > 1 {
			t.Errorf("a task that never was: %v", err)
		}
	}
}

// What is lost is counted: nothing is lost silently.
func TestFollowTellsWhatIsLost(t *testing.T) {
	const size = 1 << 20
	m := tasktest.Start(t)
	m.Work(worker.Config{Default: func(ctx context.Context, _ *worker.Task) (worker.Result, error) {
		_, err := io.WriteString(worker.Output(ctx, worker.Stdout), strings.Repeat("x", size))
		return worker.Result{}, err
	}})
	c := m.Client()
	r, err := c.Submit(t.Context(), client.Task{})
	if err != nil {
		t.Fatal(err)
	}
	var h heard
	for u, err := range c.Follow(patient(t), r.ID) {
		if err != nil {
			t.Fatal(err)
		}
		h.take(u)
	}
	if len(h.out) < 32<<10 || uint64(len(h.out))+h.dropped != size {
		t.Errorf("%d bytes heard and %d lost of %d", len(h.out), h.dropped, size)
	}
}
