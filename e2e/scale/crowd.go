package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

const (
	fewWorkers = 100
	// attaching workers at a time: each attach is a commit.
	attaching = 64
	// expiredBy is when a worker without a stream has lost its session: the default TTL,
	// from the next leader's first moment, and a little more.
	expiredBy = 12 * time.Second
	// attachPatience is how long all workers may take to be attached.
	attachPatience = 2 * time.Minute
	// spareFiles are not used for workers' connections.
	spareFiles = 500
)

// crowd compares a few idle workers with many, and kills the leader under the many.
func (b *bench) crowd(ctx context.Context) error {
	connections, err := connectionsFor(b.workers)
	if err != nil {
		return err
	}
	b.note(fmt.Sprintf("connections of %s workers", count(b.workers)), float64(connections), "")
	return b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
		defer debug.SetGCPercent(debug.SetGCPercent(800)) // the workers share the cores with what is measured
		crowd := &crowd{cluster: c, connections: connections}
		ctx, cancel := context.WithCancel(ctx)
		defer crowd.wait()
		defer cancel()
		var few idleCost
		for _, n := range []int{fewWorkers, b.workers} {
			leader, err := crowd.grow(ctx, n)
			if err != nil {
				return err
			}
			cost, err := b.idleCost(ctx, c)
			if err != nil {
				return err
			}
			if crowd.attached() != n || crowd.leader() != leader {
				return errors.New("the leader changed under idle workers")
			}
			b.note(fmt.Sprintf("leader's CPU with %s idle workers", count(n)), cost.cpu[leader.Name], "% of a core")
			b.note(fmt.Sprintf("leader's RSS with %s idle workers", count(n)), mib(cost.rss[leader.Name]), "MiB")
			b.judge(fmt.Sprintf("log entries/s with %s idle workers", count(n)), cost.entries, "/s", atMost(0.5))
			if n > fewWorkers {
				more := float64(cost.rss[leader.Name]-few.rss[leader.Name]) / float64(n-fewWorkers)
				b.note("leader's memory per idle worker", more/1024, "KiB")
			}
			few = cost
		}
		return b.herd(ctx, c, crowd)
	})
}

// herd kills the leader and measures how long its workers take to be attached to the
// next one, all at once and each over a new connection. None may lose its session.
func (b *bench) herd(ctx context.Context, c *proc.Cluster, crowd *crowd) error {
	leader, before := crowd.leader(), crowd.changes()
	began := time.Now()
	if err := leader.Kill(); err != nil {
		return err
	}
	if _, err := c.NextLeader(ctx, leader); err != nil {
		return err
	}
	b.note("kill -9 of the leader until another serves", millis(time.Since(began)), "ms")
	next, err := crowd.moved(ctx, leader)
	if err != nil {
		return err
	}
	b.judge(fmt.Sprintf("kill -9 until %s workers are attached again", count(crowd.n)), time.Since(began).Seconds(), "s", atMost(10))
	if err := sleep(ctx, expiredBy); err != nil {
		return err
	}
	s, err := next.Status(ctx)
	if err != nil {
		return err
	}
	b.note("changes of leader after that of the kill", float64(crowd.changes()-before-1), "")
	b.judge("sessions that expired", float64(s.GetCounters()["sessions_expired"]), "", atMost(0))
	b.note("sessions", float64(s.GetSessions()), "")
	b.note("next leader's RSS", mib(next.Process().Usage().RSS), "MiB")
	return nil
}

// connectionsFor is how many connections this process, and a master with the same
// limit, may have for n workers.
func connectionsFor(n int) (int, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return max(1, min(n, int(min(files.Cur, 1<<30))-spareFiles)), nil
}
