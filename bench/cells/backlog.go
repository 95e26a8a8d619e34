package cells

import (
	"context"
	"time"

	"github.com/taskraft/taskraft/bench/peer"
)

// fill queues tasks while nobody takes any. The producers go on: from then on
// each completion makes room for one task, so that the queue stays as long.
func (p *Plan) fill(ctx context.Context, l *load, r *Result) error {
	began := time.Now()
	if err := l.produce(ctx); err != nil {
		return err
	}
	for l.record.acked.Load() < uint64(p.Backlog) {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	r.FillRate = round(float64(l.record.acked.Load())/time.Since(began).Seconds(), 1)
	rss, err := peer.LargestRSS(l.system.PIDs())
	r.RSS = round(float64(rss)/(1<<20), 1)
	return err
}
