package main

import (
	"context"
	"fmt"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// flatWithin is how much a lifecycle may cost more in front of any backlog.
const flatWithin = 20 // percent

// backlogs are the numbers of queued tasks to compare.
func (b *bench) backlogs() []int {
	levels := []int{0}
	for n := 10_000; n <= b.queued; n *= 10 {
		levels = append(levels, n)
	}
	if last := levels[len(levels)-1]; last != b.queued && last > 0 {
		levels = append(levels, b.queued)
	}
	return levels
}

// backlog measures the batched load with more and more tasks in its queue: as
// many are submitted as are completed, so that it stays as long as it is. The
// snapshots that filling it sets off end before.
func (b *bench) backlog(ctx context.Context) error {
	var empty outcome
	for _, n := range b.backlogs() {
		err := b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
			cfg := b.batched(c)
			cfg.Backlog, cfg.Fill = n, n > 0
			began := time.Now()
			cfg.Filled = func(ctx context.Context) error {
				b.note(fmt.Sprintf("submits/s until %s are queued", count(n)), float64(n)/time.Since(began).Seconds(), "/s")
				return untilSnapshotsEnd(ctx, c)
			}
			o, err := b.put(ctx, c, cfg)
			if err != nil {
				return err
			}
			b.note(costAt(n), float64(o.cost)/1e3, "µs")
			if n == 0 {
				empty = o
				b.note(rateAt(n), o.perSecond, "/s")
				return nil
			}
			b.judge(rateAt(n), o.perSecond, "/s", atLeast(0.8*empty.perSecond))
			b.judge(fmt.Sprintf("cost with %s queued against empty", count(n)), 100*float64(o.cost)/float64(empty.cost), "%", atMost(100+flatWithin))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func costAt(n int) string { return fmt.Sprintf("masters' CPU per lifecycle with %s queued", count(n)) }

func rateAt(n int) string { return fmt.Sprintf("lifecycles/s with %s queued", count(n)) }

// count writes a number of tasks the short way.
func count(n int) string {
	switch {
	case n >= 1_000_000 && n%100_000 == 0:
		return fmt.Sprintf("%g M", float64(n)/1e6)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}
