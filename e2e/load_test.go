package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// command is a task that runs a program with this text as its standard input.
func command(t *testing.T, queue, stdin string, argv ...string) client.Task {
	t.Helper()
	body, err := json.Marshal(struct {
		Argv  []string `json:"argv"`
		Stdin string   `json:"stdin"`
	}{argv, stdin})
	if err != nil {
		t.Fatal(err)
	}
	return client.Task{Queue: queue, Kind: "command", Payload: body, ContentType: "application/json"}
}

// stdout returns what a command task printed.
func stdout(task *taskraftv1.Task) (string, error) {
	var r struct {
		ExitCode int    `json:"exit_code"`
		Stdout   string `json:"stdout"`
		Stderr   string `json:"stderr"`
	}
	if task.GetState() != taskraftv1.TaskState_SUCCEEDED {
		return "", fmt.Errorf("task %d is %v: %s %s", task.GetId(), task.GetState(), task.GetReason(), task.GetError())
	}
	if err := json.Unmarshal(task.GetResult(), &r); err != nil {
		return "", fmt.Errorf("task %d: result %q: %w", task.GetId(), task.GetResult(), err)
	}
	if r.ExitCode != 0 {
		return "", fmt.Errorf("task %d: exit status %d: %s", task.GetId(), r.ExitCode, r.Stderr)
	}
	return r.Stdout, nil
}

// running waits until an attempt with a fence above the given one runs the task,
// and returns the record.
func running(t *testing.T, c *client.Client, id, above uint64) *taskraftv1.Task {
	t.Helper()
	var task *taskraftv1.Task
	ctx := within(t, time.Minute)
	must(t, proc.Poll(ctx, 5*time.Millisecond, fmt.Sprintf("task %d runs under a fence above %d", id, above), func() bool {
		var err error
		task, err = c.Get(ctx, id)
		must(t, err)
		return task.GetState() == taskraftv1.TaskState_RUNNING && task.GetAttempt().GetFence() > above
	}))
	return task
}

// sum is what sha256sum prints for text on its standard input.
func sum(text string) string { return fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(text))) }

// load submits tasks at a steady pace, whatever happens to the masters, and keeps
// its own list of those that were acknowledged. Nobody else uses its queue.
type load struct {
	client *client.Client
	queue  string
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex // guards the rest
	want   map[uint64]string
	twice  []uint64 // ids that two submits were answered with
	failed []error
}

// startLoad submits a sha256sum task to queue every interval. At most 256 calls
// are under way; each may take a minute.
func startLoad(t *testing.T, masters []string, queue string, interval time.Duration) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{client: newClient(t, masters), queue: queue, stop: cancel, want: make(map[uint64]string)}
	calls := make(chan struct{}, 256)
	l.done.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			text := fmt.Sprintf("%s %d\n", queue, n)
			task := command(t, queue, text, "sha256sum")
			calls <- struct{}{}
			l.done.Go(func() {
				defer func() { <-calls }()
				l.submit(t.Context(), task, sum(text))
			})
		}
	})
	t.Cleanup(func() {
		l.stop()
		l.done.Wait()
	})
	return l
}

func (l *load) submit(ctx context.Context, task client.Task, want string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	receipt, err := l.client.Submit(ctx, task)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch _, seen := l.want[receipt.ID]; {
	case err != nil:
		l.failed = append(l.failed, err)
	case seen:
		l.twice = append(l.twice, receipt.ID)
	default:
		l.want[receipt.ID] = want
	}
}

// finish stops submitting, waits until every call has returned and checks that
// none failed.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d submits failed, want none: %v", len(l.failed), len(l.failed)+len(l.want), errors.Join(l.failed...))
	}
	if len(l.twice) > 0 {
		t.Errorf("two submits were answered with one task: %v", l.twice)
	}
}

// failures returns how many calls have failed so far.
func (l *load) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failed)
}

// check waits for every acknowledged task and compares its result (S1, S5), then
// its completions in the workers' journals: exactly one each (S4). A worker that
// was killed may have died between the completion and its line in the journal.
func (l *load) check(t *testing.T, c *proc.Cluster, tally *proc.Tally, killed map[string]bool) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	unwritten := make(map[uint64]bool)
	for id, want := range l.want {
		task, err := l.client.Wait(ctx, id)
		if err != nil {
			t.Fatalf("acknowledged task %d: %v", id, err)
		}
		switch got, err := stdout(task); {
		case err != nil:
			t.Error(err)
		case got != want:
			t.Errorf("task %d printed %q, want %q", id, got, want)
		}
		if n := len(task.GetEnded()); n > 0 && killed[task.GetEnded()[n-1].GetWorkerId()] {
			unwritten[id] = true
		}
	}
	for task, err := range l.client.List(ctx, "queue="+l.queue, client.WithLinearizable()) {
		if _, ours := l.want[task.GetId()]; err != nil || !ours {
			t.Errorf("the masters list task %d, which nobody submitted (S2), or fail: %v", task.GetId(), err)
		}
	}
	var broken error
	err := proc.Poll(ctx, 20*time.Millisecond, "every completion is in a journal", func() bool {
		lines, err := c.Settled()
		tally.Add(lines...)
		broken = err
		return err != nil || len(l.missing(tally, unwritten)) == 0
	})
	if err := errors.Join(err, broken); err != nil {
		t.Errorf("%v: tasks %v", err, l.missing(tally, unwritten))
	}
	if twice := tally.Duplicates(); len(twice) > 0 {
		t.Errorf("completions recorded more than once: tasks %v", twice)
	}
}

// missing returns the tasks whose completion should be in a journal and is not.
func (l *load) missing(tally *proc.Tally, unwritten map[uint64]bool) (ids []uint64) {
	for id := range l.want {
		if !tally.Has(id) && !unwritten[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
