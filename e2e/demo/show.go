package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	tasks      = 300
	killFrom   = 100 // completions: the leader is killed from here …
	killBefore = 200 // … and no 200th task is submitted before that
	submitters = 4
	watchEvery = 10 * time.Millisecond
)

// show is one run of the demo.
type show struct {
	cluster *proc.Cluster
	tree    string
	screen  *screen
	tally   *proc.Tally

	expected map[string]string // file name → what its task must print
	files    []string          // the file of each task
	killed   chan struct{}     // closed when the leader has been killed

	mu    sync.Mutex // guards the two below
	acked []ack
	kills int
}

// ack is a task whose submit was acknowledged.
type ack struct {
	id   uint64
	file string
}

// play runs the demo until every task is completed and the killed master is back,
// then checks nothing: that is the verdict's part.
func (s *show) play(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var acts sync.WaitGroup
	act := func(f func(context.Context) error) {
		acts.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	s.killed = make(chan struct{})
	act(s.submitAll)
	act(s.killLeader)
	act(func(ctx context.Context) error { return s.watch(ctx, tasks) })
	acts.Wait()
	s.screen.finish()
	return context.Cause(ctx)
}

// prepare chooses the files and computes what each task must print.
func (s *show) prepare(ctx context.Context) error {
	tree, err := filepath.Abs(s.tree)
	if err != nil {
		return err
	}
	s.tree = tree
	names, err := files(ctx, tree)
	if err != nil {
		return err
	}
	s.files = choose(names, tasks)
	s.expected = make(map[string]string)
	for _, name := range s.files {
		if _, ok := s.expected[name]; ok {
			continue
		}
		if s.expected[name], err = expect(ctx, tree, name); err != nil {
			return err
		}
	}
	s.screen.say("%d tasks over %d of the repository's files: sha256sum of the file and of gzip -n of it", tasks, len(s.expected))
	return nil
}

// open starts the masters and the workers.
func (s *show) open(ctx context.Context) error {
	if err := s.cluster.Start(); err != nil {
		return err
	}
	for _, m := range s.cluster.Masters() {
		s.screen.say("master %s on %s and http://%s, pid %d", m.Name, m.GRPC, m.HTTP, m.Process().PID())
	}
	leader, err := s.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	s.screen.say("%s leads", leader.Name)
	for _, id := range []string{"w1", "w2", "w3"} {
		w, err := s.cluster.Worker(id, s.cluster.Addrs(), "--slots", "4")
		if err != nil {
			return err
		}
		s.screen.say("worker %s, pid %d", id, w.PID())
	}
	return nil
}

// submitAll submits every task through the SDK, with several calls under way at
// any time, also while there is no leader.
func (s *show) submitAll(ctx context.Context) error {
	c, err := client.New(client.Config{Masters: s.cluster.Addrs()})
	if err != nil {
		return err
	}
	defer c.Close()
	var next atomic.Int64
	var callers sync.WaitGroup
	errs := make([]error, submitters)
	for caller := range submitters {
		callers.Go(func() {
			for i := int(next.Add(1)) - 1; i < tasks && errs[caller] == nil; i = int(next.Add(1)) - 1 {
				errs[caller] = s.submit(ctx, c, i)
			}
		})
	}
	callers.Wait()
	return errors.Join(errs...)
}

func (s *show) submit(ctx context.Context, c *client.Client, i int) error {
	if i >= killBefore-1 {
		select {
		case <-s.killed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	body, err := payload(s.tree, s.files[i])
	if err != nil {
		return err
	}
	receipt, err := c.Submit(ctx, client.Task{Kind: "command", Payload: body, ContentType: "application/json"})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.acked = append(s.acked, ack{receipt.ID, s.files[i]})
	s.mu.Unlock()
	return nil
}

// killLeader kills the leader once enough tasks are completed, waits for the next
// one, starts the killed master again and waits until it has caught up.
func (s *show) killLeader(ctx context.Context) error {
	if err := s.watch(ctx, killFrom); err != nil {
		return err
	}
	leader, err := s.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	s.screen.say("kill -9 %d: that was %s, the leader, with %d of %d tasks completed", leader.Process().PID(), leader.Name, s.completed(), tasks)
	if err := leader.Kill(); err != nil {
		return err
	}
	at := time.Now()
	s.mu.Lock()
	s.kills++
	s.mu.Unlock()
	close(s.killed)
	heir, err := s.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	s.screen.say("%s leads, %d ms after the kill", heir.Name, time.Since(at).Milliseconds())
	if err := leader.Start(); err != nil {
		return err
	}
	s.screen.say("%s is started again, pid %d", leader.Name, leader.Process().PID())
	if err := s.cluster.Rejoined(ctx, leader); err != nil {
		return err
	}
	s.screen.say("%s has caught up and follows %s", leader.Name, heir.Name)
	return nil
}

// watch reads the workers' journals until they hold n completed tasks.
func (s *show) watch(ctx context.Context, n int) error {
	var broken error
	err := proc.Poll(ctx, watchEvery, fmt.Sprintf("%d tasks are completed", n), func() bool {
		broken = s.read()
		return broken != nil || s.completed() >= n
	})
	return errors.Join(err, broken)
}

func (s *show) read() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, err := s.cluster.Settled()
	if err != nil {
		return err
	}
	s.tally.Add(lines...)
	s.screen.progress(s.tally.Completed(), tasks)
	return nil
}

func (s *show) completed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally.Completed()
}

// close ends every process: workers as an operator would, masters at once, since
// their data is thrown away.
func (s *show) close() error {
	return errors.Join(s.cluster.StopWorkers(), s.cluster.Close())
}

// judge compares the record of every acknowledged task with what was expected.
func (s *show) judge(ctx context.Context) (verdict, error) {
	v := verdict{submitted: len(s.acked), completed: s.tally.Completed(), leaderKills: s.kills}
	v.duplicates = len(s.tally.Duplicates())
	v.gap = s.tally.Gap(time.Time{}, time.Time{})
	c, err := client.New(client.Config{Masters: s.cluster.Addrs()})
	if err != nil {
		return v, err
	}
	defer c.Close()
	seen := make(map[uint64]bool)
	for _, a := range s.acked {
		if !s.tally.Has(a.id) || seen[a.id] {
			v.lost++ // never completed, or two submits were answered with one task
			continue
		}
		seen[a.id] = true
		t, err := c.Get(ctx, a.id)
		if err != nil {
			return v, fmt.Errorf("read the result of task %d: %w", a.id, err)
		}
		if t.GetState() != taskraftv1.TaskState_SUCCEEDED || !matches(t.GetResult(), s.expected[a.file]) {
			s.screen.say("wrong: task %d on %s is %v with result %q", a.id, a.file, t.GetState(), t.GetResult())
			v.wrong++
		}
	}
	return v, nil
}
