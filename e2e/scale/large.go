package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/taskraft/taskraft/internal/load"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	// oftenSnapshots has masters snapshot every few seconds under a load, to see
	// what that costs.
	oftenSnapshots = "32MiB"
	// killPause is how far kills are apart: observed death acts at most once in 5 s.
	killPause = 6 * time.Second
	// settle is how long after a kill completions must flow for the gap to be over.
	settle  = 2 * time.Second
	flowing = 100 * time.Millisecond
	// pagesAtMost bounds the walk to the end of the list.
	pagesAtMost = 1000
)

// large fills a queue that no worker serves, and looks at the masters beside it.
func (b *bench) large(ctx context.Context) error {
	return b.with(ctx, 3, []string{"--snapshot-bytes", oftenSnapshots}, func(ctx context.Context, c *proc.Cluster) error {
		cfg := b.batched(c)
		cfg.Backlog, cfg.Fill, cfg.Duration, cfg.Warmup = b.queued, true, time.Millisecond, time.Millisecond
		cfg.Filled = func(ctx context.Context) error { return b.beside(ctx, c) }
		r, err := load.Run(ctx, cfg)
		if err == nil && r.Lost > 0 {
			err = fmt.Errorf("%d of %d queued tasks are lost", r.Lost, r.Acknowledged)
		}
		return err
	})
}

func (b *bench) beside(ctx context.Context, c *proc.Cluster) error {
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	u := usage(c)
	b.judge(fmt.Sprintf("RSS of the largest master, %s queued", count(b.queued)), mib(u.RSS), "MiB", b.million(atMost(1024)))
	b.note("most that it ever was", mib(u.PeakRSS), "MiB")
	for _, f := range []func(context.Context, *proc.Cluster) error{b.lists, b.restart, b.snapshots, b.gaps} {
		if err := f(ctx, c); err != nil {
			return err
		}
	}
	b.note("most that a master's RSS ever was", mib(usage(c).PeakRSS), "MiB")
	return nil
}

// million is a target that is set for a million tasks of 256 bytes.
func (b *bench) million(t bound) bound {
	if b.queued != 1_000_000 {
		return bound{}
	}
	return t
}

// lists measures pages of tasks at the front and as deep as the list goes.
func (b *bench) lists(ctx context.Context, c *proc.Cluster) error {
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	tasks, err := leader.Tasks()
	if err != nil {
		return err
	}
	deep, walked := "", 0
	began := time.Now()
	for walked < pagesAtMost {
		page, err := tasks.ListTasks(ctx, &taskraftv1.ListTasksRequest{PageSize: 1000, PageToken: deep})
		if err != nil {
			return fmt.Errorf("list tasks: %w", err)
		}
		walked++
		if page.GetNextPageToken() == "" {
			break
		}
		deep = page.GetNextPageToken()
	}
	b.note("page of 1,000 tasks, mean of "+count(walked), millis(time.Since(began))/float64(walked), "ms")
	for _, level := range []taskraftv1.Consistency{taskraftv1.Consistency_STALE, taskraftv1.Consistency_LINEARIZABLE} {
		for _, at := range []struct{ name, token string }{{"first", ""}, {"deep", deep}} {
			var took []time.Duration
			for range 50 {
				start := time.Now()
				_, err := tasks.ListTasks(ctx, &taskraftv1.ListTasksRequest{PageSize: 100, PageToken: at.token, Consistency: level})
				if err != nil {
					return fmt.Errorf("list tasks: %w", err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			name := "stale"
			if level == taskraftv1.Consistency_LINEARIZABLE {
				name = "linearizable"
			}
			b.note(fmt.Sprintf("%s page of 100, %s, p50", at.name, name), millis(took[len(took)/2]), "ms")
		}
	}
	return b.httpLists(ctx, leader.HTTP)
}

// httpLists measures the same as JSON, and as pages of the dashboard.
func (b *bench) httpLists(ctx context.Context, addr string) error {
	for _, path := range []string{"/v1/tasks?page_size=100", "/v1/tasks?page_size=100&filter=state%3DREADY", "/ui/tasks", "/ui/"} {
		var took []time.Duration
		for range 100 {
			start := time.Now()
			body, err := get(ctx, "http://"+addr+path)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, body)
			body.Close()
			if err != nil {
				return fmt.Errorf("GET %s: %w", path, err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.note("GET "+path+", p50", millis(took[len(took)/2]), "ms")
		b.judge("GET "+path+", p99", millis(took[len(took)*99/100]), "ms", b.million(atMost(20)))
	}
	return nil
}

// restart kills a follower and starts it again: it reads its snapshot and log.
func (b *bench) restart(ctx context.Context, c *proc.Cluster) error {
	followers, err := c.Followers(ctx)
	if err != nil {
		return err
	}
	m := followers[0]
	if err := m.Kill(); err != nil {
		return err
	}
	began := time.Now()
	if err := m.Start(); err != nil {
		return err
	}
	if err := c.Rejoined(ctx, m); err != nil {
		return err
	}
	b.judge("restart of a master until it has caught up", time.Since(began).Seconds(), "s", b.million(atMost(8)))
	return nil
}

// beat is a load well below what the masters can do, of single submits in a queue
// of its own: what it waits for is not its own queue.
func (b *bench) beat(c *proc.Cluster) load.Config {
	return b.load(c, load.Config{Producers: 16, Batch: 1, Workers: 4, Slots: 64, Backlog: 16})
}

// snapshots compares submits while a master writes a snapshot with the others.
func (b *bench) snapshots(ctx context.Context, c *proc.Cluster) error {
	w := watchSnapshots(c)
	defer w.stop()
	cfg := b.beat(c)
	cfg.Duration = 3 * b.measure
	cfg.Submitted = w.submitted
	if _, err := b.put(ctx, c, cfg); err != nil {
		return err
	}
	w.stop()
	calm, busy := w.calm.Quantile(0.99), w.busy.Quantile(0.99)
	b.note("submit p99 without snapshots", millis(calm), "ms")
	if w.busy.Count() == 0 {
		b.say("no snapshot was taken in that time")
		return nil
	}
	b.judge("added to submit p99 by snapshots", millis(busy-calm), "ms", b.million(atMost(20)))
	b.note("longest snapshot", w.longest.Seconds(), "s")
	b.note("share of the time with a snapshot under way", 100*w.share(), "%")
	return nil
}

// gaps kills the leader with -9 under that load.
func (b *bench) gaps(ctx context.Context, c *proc.Cluster) error {
	if b.kills == 0 {
		return nil
	}
	cfg := b.beat(c)
	var gaps []time.Duration
	cfg.During = func(ctx context.Context, g *load.Gaps) error {
		for range b.kills {
			gap, err := b.kill(ctx, c, g)
			if err != nil {
				return err
			}
			gaps = append(gaps, gap)
		}
		return nil
	}
	if _, err := load.Run(ctx, cfg); err != nil {
		return err
	}
	slices.Sort(gaps)
	b.judge(fmt.Sprintf("kill -9 of the leader, longest gap of %d", len(gaps)), millis(gaps[len(gaps)-1]), "ms", b.million(atMost(300)))
	return nil
}

func (b *bench) kill(ctx context.Context, c *proc.Cluster, g *load.Gaps) (time.Duration, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	g.Reset()
	at := time.Now()
	if err := leader.Kill(); err != nil {
		return 0, err
	}
	err = proc.Poll(ctx, 10*time.Millisecond, "completions flow again", func() bool {
		return time.Since(at) > settle && g.Silence() < flowing
	})
	if err != nil {
		return 0, err
	}
	gap := g.Longest()
	if err := leader.Start(); err != nil {
		return 0, err
	}
	if err := c.Rejoined(ctx, leader); err != nil {
		return 0, err
	}
	return gap, sleep(ctx, killPause-time.Since(at))
}
