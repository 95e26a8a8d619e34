package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// stand is a queue of its own with one task and a worker that holds it.
type stand struct {
	*testing.T
	cluster *proc.Cluster
	client  *client.Client
	queue   string
	worker  *puller
	held    *taskraftv1.Assignment
}

func newStand(t *testing.T, c *proc.Cluster, queue string, task client.Task) *stand {
	t.Helper()
	s := &stand{T: t, cluster: c, client: newClient(t, c.Addrs()), queue: queue, worker: newPuller(t, c, queue+"-w1", queue)}
	task.Queue, task.Kind = queue, "stand"
	_, err := s.client.Submit(within(t, time.Minute), task)
	must(t, err)
	s.held = s.worker.take()
	return s
}

// wait polls the task's record until ready accepts it.
func (s *stand) wait(what string, ready func(*taskraftv1.Task, error) bool) {
	s.Helper()
	ctx := within(s.T, time.Minute)
	must(s.T, proc.Poll(ctx, 10*time.Millisecond, what, func() bool {
		return ready(s.client.Get(ctx, s.held.GetTask()))
	}))
}

// TestEveryAnswer gets each outcome that a completion can have.
func TestEveryAnswer(t *testing.T) {
	c := newCluster(t)
	tests := []struct {
		name string
		task client.Task
		play func(s *stand)
	}{
		{name: "accepted and duplicate", play: func(s *stand) {
			expect(s.T, "first", s.worker.complete(s.held, "a"), taskraftv1.Outcome_ACCEPTED)
			expect(s.T, "again", s.worker.complete(s.held, "a"), taskraftv1.Outcome_DUPLICATE)
		}},
		{name: "conflict", play: func(s *stand) {
			expect(s.T, "first", s.worker.complete(s.held, "a"), taskraftv1.Outcome_ACCEPTED)
			expect(s.T, "another result", s.worker.complete(s.held, "b"), taskraftv1.Outcome_CONFLICT)
			expect(s.T, "another verb", s.worker.fail(s.held, "no", false), taskraftv1.Outcome_CONFLICT)
		}},
		{name: "failure accepted and repeated", play: func(s *stand) {
			expect(s.T, "first", s.worker.fail(s.held, "no", true), taskraftv1.Outcome_ACCEPTED)
			expect(s.T, "again", s.worker.fail(s.held, "no", true), taskraftv1.Outcome_DUPLICATE)
			s.wait("it is dead", func(t *taskraftv1.Task, err error) bool {
				return err == nil && t.GetState() == taskraftv1.TaskState_DEAD
			})
		}},
		{name: "timed out", task: client.Task{Timeout: time.Second, BackoffBase: time.Minute}, play: func(s *stand) {
			s.wait("it is stopping", func(t *taskraftv1.Task, err error) bool {
				return err == nil && t.GetState() == taskraftv1.TaskState_STOPPING
			})
			expect(s.T, "late", s.worker.complete(s.held, "a"), taskraftv1.Outcome_STALE_TIMED_OUT)
			s.wait("it waits for its next attempt", func(t *taskraftv1.Task, err error) bool {
				return err == nil && t.GetState() == taskraftv1.TaskState_SCHEDULED
			})
		}},
		{name: "reassigned, then finished by another", task: client.Task{Timeout: 3 * time.Second, BackoffBase: time.Millisecond}, play: func(s *stand) {
			other := newPuller(s.T, s.cluster, s.queue+"-w2", s.queue)
			again := other.take()
			expect(s.T, "another attempt runs", s.worker.complete(s.held, "a"), taskraftv1.Outcome_STALE_REASSIGNED)
			expect(s.T, "a stranger's fence", other.complete(s.held, "a"), taskraftv1.Outcome_UNKNOWN_TASK)
			expect(s.T, "the other completes", other.complete(again, "b"), taskraftv1.Outcome_ACCEPTED)
			expect(s.T, "it is finished", s.worker.complete(s.held, "a"), taskraftv1.Outcome_ALREADY_TERMINAL)
		}},
		{name: "cancelled", play: func(s *stand) {
			outcome, _, err := s.client.Cancel(within(s.T, time.Minute), s.held.GetTask(), "changed my mind")
			must(s.T, err)
			expect(s.T, "cancel", outcome, taskraftv1.Outcome_ACCEPTED)
			expect(s.T, "complete", s.worker.complete(s.held, "a"), taskraftv1.Outcome_TASK_CANCELLED)
			s.wait("it is cancelled (S14)", func(t *taskraftv1.Task, err error) bool {
				return err == nil && t.GetState() == taskraftv1.TaskState_CANCELLED
			})
		}},
		{name: "forgotten", task: client.Task{Retain: time.Second}, play: func(s *stand) {
			expect(s.T, "first", s.worker.complete(s.held, "a"), taskraftv1.Outcome_ACCEPTED)
			s.wait("its record is trimmed", func(_ *taskraftv1.Task, err error) bool {
				refused, ok := errors.AsType[*client.Error](err)
				return ok && refused.Reason == reason.Forgotten
			})
			expect(s.T, "again", s.worker.complete(s.held, "a"), taskraftv1.Outcome_FORGOTTEN)
		}},
		{name: "unknown task", play: func(s *stand) {
			never := &taskraftv1.Assignment{Task: 1 << 40, Fence: s.held.GetFence()}
			expect(s.T, "a task that never was", s.worker.complete(never, "a"), taskraftv1.Outcome_UNKNOWN_TASK)
			expect(s.T, "its own task still", s.worker.complete(s.held, "a"), taskraftv1.Outcome_ACCEPTED)
		}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.play(newStand(t, c, string(rune('a'+i))+"-stand", tt.task))
		})
	}
}
