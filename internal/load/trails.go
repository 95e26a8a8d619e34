package load

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/checker"
)

// trails follows tasks step by step, for the checker. Nil follows none.
type trails struct {
	epoch time.Time
	base  int64 // epoch in nanoseconds of the machine's clock
	most  int

	mu    sync.Mutex
	every uint64 // one of so many tasks is followed: doubled when most is not enough
	tasks map[uint64]*trail
}

// trail is what is known of one task.
type trail struct {
	submit checker.Op // of kind submit once it is acknowledged
	runs   []checker.Run
}

func newTrails(most int, epoch time.Time) *trails {
	if most == 0 {
		return nil
	}
	return &trails{epoch: epoch, base: epoch.UnixNano(), most: most, every: 1, tasks: make(map[uint64]*trail)}
}

// change notes something about a task, if it is followed.
func (t *trails) change(id uint64, note func(*trail)) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if id%t.every != 0 {
		return
	}
	known := t.tasks[id]
	if known == nil {
		known = new(trail)
		t.tasks[id] = known
	}
	note(known)
	for len(t.tasks) > t.most {
		t.every *= 2
		for id := range t.tasks {
			if id%t.every != 0 {
				delete(t.tasks, id)
			}
		}
	}
}

// at is a moment of the run on the machine's clock.
func (t *trails) at(since time.Duration) int64 { return t.base + int64(since) }

func (t *trails) submitted(producer int, r client.Receipt, call, ret time.Duration) {
	t.change(r.ID, func(known *trail) {
		name := fmt.Sprintf("producer-%d", producer)
		known.submit = checker.Op{
			Client: name, Kind: "submit", Task: r.ID, Intent: fmt.Sprintf("%s at %d", name, call),
			Call: t.at(call), Return: t.at(ret), Outcome: checker.OK, Index: r.Index,
		}
	})
}

func (t *trails) ran(worker string, id, fence uint64, start, end time.Duration) {
	t.change(id, func(known *trail) {
		known.runs = append(known.runs, checker.Run{Worker: worker, Task: id, Fence: fence, Start: t.at(start), End: t.at(end)})
	})
}

func (t *trails) confirmed(id, fence uint64) {
	t.change(id, func(known *trail) {
		for i := range known.runs {
			known.runs[i].Confirmed = known.runs[i].Confirmed || known.runs[i].Fence == fence
		}
	})
}

// history is everything that was noted, with the tasks of the queues as the masters
// have them now. A completed one that they do not have any more fell to retention.
func (t *trails) history(ctx context.Context, c *client.Client, queues []string) (*checker.History, error) {
	if t == nil {
		return nil, nil
	}
	states := make(map[uint64]string)
	for _, q := range queues {
		for task, err := range c.List(ctx, client.TaskFilter{Queue: q}.String(), client.WithLinearizable()) {
			if err != nil {
				return nil, fmt.Errorf("read the tasks at the end: %w", err)
			}
			states[task.GetId()] = task.GetState().String()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	h := new(checker.History)
	for id, known := range t.tasks {
		if known.submit.Kind != "" {
			h.Ops = append(h.Ops, known.submit)
		}
		h.Runs = append(h.Runs, known.runs...)
		end := checker.Final{Task: id, State: states[id]}
		if end.State == "" {
			if slices.ContainsFunc(known.runs, func(r checker.Run) bool { return r.Confirmed }) {
				end.State = "SUCCEEDED"
			} else {
				end.Gone = true
			}
		}
		h.Finals = append(h.Finals, end)
	}
	return h, nil
}
