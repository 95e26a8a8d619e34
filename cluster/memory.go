package cluster

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// memoryWatch looks once a second at how much of the process's memory limit live
// objects fill. The table only grows by what is submitted: above the watermark new
// submits are refused, while completions make room. Without a limit (GOMEMLIMIT, or
// that of the control group) it never acts.
type memoryWatch struct {
	engine  *engine
	log     *slog.Logger
	measure func() memory
	collect func() // so that what was freed is seen

	low atomic.Bool
}

// memory is what the last collection found alive, and the limit of the process, which
// without one is beyond all memory.
type memory struct{ live, limit uint64 }

const (
	// The percentages of the limit that live objects may fill: up to the first one
	// submits are accepted, and again once they fill less than the second. The rest is
	// for garbage, stacks and messages under way.
	memoryWatermark = 75
	memoryCalm      = 65

	memoryEvery = time.Second
	// collectEvery is the pause between collections while memory is low.
	collectEvery = 5 * time.Second
)

func newMemoryWatch(e *engine, log *slog.Logger) *memoryWatch {
	return &memoryWatch{engine: e, log: log, measure: measureMemory, collect: runtime.GC}
}

// run watches until ctx ends.
func (w *memoryWatch) run(ctx context.Context) {
	collected := time.Now()
	for {
		if w.low.Load() && time.Since(collected) >= collectEvery {
			w.collect()
			collected = time.Now()
		}
		w.look()
		if !pause(ctx, memoryEvery) {
			return
		}
	}
}

// look measures once.
func (w *memoryWatch) look() {
	m := w.measure()
	switch {
	case m.fills(memoryWatermark) && !w.low.Load():
		w.log.Warn("memory is low, refusing submits", slog.Uint64("live", m.live), slog.Uint64("limit", m.limit))
		w.engine.memoryLow.Store(true) // before the alarm says so
		w.low.Store(true)
	case !m.fills(memoryCalm) && w.low.Load():
		w.log.Info("memory has room again", slog.Uint64("live", m.live))
		w.engine.memoryLow.Store(false)
		w.low.Store(false)
	}
}

// fills reports whether live objects fill more than that percentage of the limit.
func (m memory) fills(percent uint64) bool { return m.live > m.limit/100*percent }

func measureMemory() memory {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s)
	return memory{live: s[0].Value.Uint64(), limit: s[1].Value.Uint64()}
}
