package top

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	askLimit  = 800 * time.Millisecond // for a master to tell of itself
	readLimit = 3 * time.Second        // for the lists
	tasksRead = 200
)

// Reader reads a Look. tasks asks for the tasks that run, too.
type Reader func(ctx context.Context, tasks bool) (*Look, error)

// Read returns a Reader of the cluster that c is a client of. known are the addresses
// that were given.
func Read(c *client.Client, known []string) Reader {
	return func(ctx context.Context, tasks bool) (*Look, error) {
		l := &Look{}
		var wg sync.WaitGroup
		var errs [3]error
		ctx, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		wg.Go(func() { l.readMasters(ctx, c, known) })
		wg.Go(func() { errs[0] = l.readQueues(ctx, c) })
		wg.Go(func() { errs[1] = l.readWorkers(ctx, c) })
		if tasks {
			wg.Go(func() { errs[2] = l.readTasks(ctx, c) })
		}
		wg.Wait()
		l.At = time.Now()
		return l, errors.Join(errs[:]...)
	}
}

// readMasters asks every master at once: a dead one holds nobody up for long.
func (l *Look) readMasters(ctx context.Context, c *client.Client, known []string) {
	addrs := c.Masters()
	for _, addr := range known {
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	found := make([]Master, len(addrs))
	var named []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			s, err := c.Status(ctx, addr)
			found[i] = masterOf(addr, s, err)
			mu.Lock()
			defer mu.Unlock()
			named = append(named, s.GetLeader().GetMasters()...)
			l.Cluster = cmp.Or(l.Cluster, s.GetClusterId())
		})
	}
	wg.Wait()
	l.Masters = distinct(found, named)
	l.lag()
}

func masterOf(addr string, s *taskraftv1.GetStatusResponse, err error) Master {
	if err != nil {
		return Master{Address: addr, Fault: fault(err)}
	}
	return Master{
		Address: addr, Name: s.GetName(), Role: s.GetRole(), Leads: s.GetServing(), Term: s.GetTerm(), Applied: s.GetAppliedIndex(),
		FsyncP50: s.GetFsyncP50().AsDuration(), FsyncP99: s.GetFsyncP99().AsDuration(),
		Commits: s.GetCounters()["commits"], CommitNanos: s.GetCounters()["commit_ns"],
		Records: s.GetTasks(), Started: s.GetStartTime().AsTime(), Version: s.GetVersion(), Alarms: s.GetAlarms(),
	}
}

// distinct leaves out a master's second address, and silent addresses that no master
// names: a cluster of one has none of the other default addresses.
func distinct(found []Master, named []string) []Master {
	var out []Master
	for _, m := range found {
		switch {
		case m.Name == "" && len(named) > 0 && !slices.Contains(named, m.Address):
		case m.Name != "" && slices.ContainsFunc(out, func(o Master) bool { return o.Name == m.Name }):
		default:
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Master) int { return cmp.Compare(a.Address, b.Address) })
	return out
}

// lag finds the leader of the highest term and everybody's distance to it.
func (l *Look) lag() {
	var leader *Master
	for i := range l.Masters {
		if m := &l.Masters[i]; m.Leads && (leader == nil || m.Term > leader.Term) {
			leader = m
		}
	}
	for i := range l.Masters {
		m := &l.Masters[i]
		m.Leads = m == leader
		if leader != nil && m.Fault == "" && leader.Applied > m.Applied {
			m.Lag = leader.Applied - m.Applied
		}
	}
}

// fault is why a master did not answer, in few words.
func fault(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case strings.Contains(text, "connection refused"):
		return "connection refused"
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		text = e.Message
	}
	return show.Clean(text)
}

func (l *Look) readQueues(ctx context.Context, c *client.Client) error {
	queues, err := c.Queues(ctx, client.WithStale())
	if err != nil {
		return err
	}
	for _, q := range queues {
		row := Queue{
			Name: q.GetName(), Held: q.GetHeldBy(), Scheduled: q.GetScheduled(), Ready: q.GetReady(),
			Running: q.GetRunning() + q.GetStopping(), Dead: q.GetDead(), Submitted: q.GetSubmittedTotal(),
			Ended: q.GetSucceeded() + q.GetDead() + q.GetCancelled() + q.GetTrimmedTotal(),
		}
		row.Records = row.Scheduled + row.Ready + row.Running + q.GetSucceeded() + q.GetDead() + q.GetCancelled()
		if at := q.GetOldestReadyTime(); at != nil {
			row.Oldest = at.AsTime()
		}
		l.Queues = append(l.Queues, row)
	}
	return nil
}

func (l *Look) readWorkers(ctx context.Context, c *client.Client) error {
	workers, err := c.Workers(ctx, false, client.WithStale())
	if err != nil {
		return err
	}
	for _, w := range workers {
		var queues []string
		for _, q := range w.GetQueues() {
			text := q.GetQueue()
			if q.GetWeight() > 1 {
				text = fmt.Sprintf("%s=%d", text, q.GetWeight())
			}
			queues = append(queues, text)
		}
		l.Workers = append(l.Workers, Worker{
			ID: show.Clean(w.GetWorkerId()), State: strings.ToLower(strings.TrimPrefix(w.GetState().String(), "WORKER_")), Mode: w.GetMode(),
			Queues: strings.Join(queues, ","), Host: show.Clean(w.GetHost()), Version: show.Clean(w.GetVersion()),
			Slots: uint64(w.GetSlots()), Held: uint64(w.GetHeld()), Completed: w.GetCompletedTotal(), Failed: w.GetFailedTotal(),
			Silent: w.GetSilent().AsDuration(),
		})
	}
	return nil
}

func (l *Look) readTasks(ctx context.Context, c *client.Client) error {
	for _, state := range []string{"RUNNING", "STOPPING"} {
		tasks, next, err := c.ListPage(ctx, "state="+state, tasksRead, "")
		if err != nil {
			return err
		}
		l.More = l.More || next != ""
		for _, t := range tasks {
			a, s := t.GetAttempt(), t.GetSpec()
			l.Tasks = append(l.Tasks, Task{
				ID: t.GetId(), State: strings.ToLower(t.GetState().String()), Queue: s.GetQueue(), Kind: show.Clean(s.GetKind()),
				Worker: show.Clean(a.GetWorkerId()), Attempt: a.GetNumber(), Started: a.GetStartTime().AsTime(), Deadline: a.GetDeadline().AsTime(),
				Progress: progressText(t.GetProgress()),
			})
		}
	}
	return nil
}

func progressText(p *taskraftv1.Progress) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("%.0f %%", 100*p.GetFraction())
	if p.GetTotal() > 0 {
		text = fmt.Sprintf("%d/%d", p.GetDone(), p.GetTotal())
	}
	return strings.TrimSpace(text + " " + show.Clean(p.GetMessage()))
}
