package load

import (
	"sync/atomic"
	"time"
)

// Gaps measures the time between neighbouring confirmed completions.
type Gaps struct {
	epoch   time.Time
	last    atomic.Int64 // since epoch
	longest atomic.Int64
}

func (g *Gaps) completed() {
	now := int64(time.Since(g.epoch))
	gap := now - g.last.Swap(now)
	for {
		longest := g.longest.Load()
		if gap <= longest || g.longest.CompareAndSwap(longest, gap) {
			return
		}
	}
}

// Reset forgets the gaps so far; one that has begun counts in full when it ends.
func (g *Gaps) Reset() { g.longest.Store(0) }

// Longest returns the longest gap that ended since Reset.
func (g *Gaps) Longest() time.Duration { return time.Duration(g.longest.Load()) }

// Silence returns how long the last completion is ago.
func (g *Gaps) Silence() time.Duration {
	return time.Since(g.epoch) - time.Duration(g.last.Load())
}
