package logstore

import (
	"slices"
	"sync"
	"time"
)

// latencyWindow is how many of the newest writes the percentiles cover.
const latencyWindow = 1024

// latency keeps the durations of the newest durable writes.
type latency struct {
	mu    sync.Mutex
	ring  [latencyWindow]time.Duration
	total uint64
}

func (l *latency) add(d time.Duration) {
	l.mu.Lock()
	l.ring[l.total%latencyWindow] = d
	l.total++
	l.mu.Unlock()
}

func (l *latency) percentiles() (p50, p99 time.Duration, total uint64) {
	l.mu.Lock()
	total = l.total
	took := slices.Clone(l.ring[:min(total, latencyWindow)])
	l.mu.Unlock()
	if len(took) == 0 {
		return 0, 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], total
}
