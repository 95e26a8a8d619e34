package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The fake applies on one goroutine without a disk: what is measured is the
// engine and the table, the ceiling of one master.

func benchRig(b *testing.B, latency time.Duration) *rig {
	b.Helper()
	r := newIdleRig(b, nil, systemSource())
	r.raft.lean, r.raft.latency = true, latency
	r.begin(1)
	b.Cleanup(r.close)
	return r
}

// BenchmarkPropose: n callers, one task per call.
func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			r := benchRig(b, 0)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, _, err := r.e.propose(context.Background(), submitTo("q", 1)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(r.e.count.commands.Load())/float64(r.e.count.entries.Load()), "commands/entry")
		})
	}
}

// BenchmarkLifecycle: submit, assign to a stream, complete, outcome; one op is one task.
func BenchmarkLifecycle(b *testing.B) {
	for _, batch := range []int{1, 500} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			r := benchRig(b, 0)
			const producers = 64
			var settled atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			var workers sync.WaitGroup
			for i := range 4 {
				h := hello(fmt.Sprint("w", i), "b", 256, "q")
				h.TTL = time.Hour
				s, err := r.e.attach(ctx, h)
				if err != nil {
					b.Fatal(err)
				}
				workers.Go(func() { echo(ctx, s, &settled) })
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range producers {
				wg.Go(func() {
					for {
						n := left.Add(-int64(batch)) + int64(batch)
						if n <= 0 {
							return
						}
						if _, _, err := r.e.propose(ctx, submitTo("q", int(min(n, int64(batch))))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			look := time.NewTicker(100 * time.Microsecond)
			for settled.Load() < int64(b.N) {
				<-look.C
			}
			look.Stop()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lifecycles/s")
			b.ReportMetric(float64(b.N)/float64(r.e.count.entries.Load()), "tasks/entry")
			cancel()
			workers.Wait()
		})
	}
}

// echo completes every task at once.
func echo(ctx context.Context, s *Stream, settled *atomic.Int64) {
	for {
		batch, err := s.Next(ctx)
		if err != nil {
			return
		}
		settled.Add(int64(len(batch.Outcomes)))
		if len(batch.Assignments) == 0 {
			continue
		}
		items := make([]*fsmpb.Completion, len(batch.Assignments))
		for i, t := range batch.Assignments {
			items[i] = &fsmpb.Completion{Task: t.ID, Fence: t.Fence}
		}
		if s.Report(ctx, items, nil, nil) != nil {
			return
		}
	}
}

// BenchmarkIdleWorkers: what a task costs beside 10,000 idle workers.
func BenchmarkIdleWorkers(b *testing.B) {
	r := benchRig(b, 0)
	var wg sync.WaitGroup
	for i := range 10_000 {
		h := hello(fmt.Sprint("w", i), "b", 8, "q")
		h.TTL = time.Hour
		wg.Go(func() {
			if _, err := r.e.attach(context.Background(), h); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.e.propose(context.Background(), submitTo("q", 1)); err != nil {
			b.Fatal(err)
		}
	}
}
