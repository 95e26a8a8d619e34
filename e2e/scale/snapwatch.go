package main

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/internal/measure"
	"github.com/taskraft/taskraft/internal/proc"
)

// snapwatch sees from the masters' directories when snapshots are written, and
// sorts the submits by that.
type snapwatch struct {
	calm, busy measure.Histogram
	writing    atomic.Int64 // a snapshot was under way in this look, else 0
	looks      int
	writes     int
	longest    time.Duration

	end  sync.Once
	done chan struct{}
	over sync.WaitGroup
}

const lookEvery = 10 * time.Millisecond

func watchSnapshots(c *proc.Cluster) *snapwatch {
	w := &snapwatch{done: make(chan struct{})}
	w.over.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		since := map[string]time.Time{} // by unfinished snapshot
		for {
			select {
			case <-tick.C:
			case <-w.done:
				return
			}
			w.look(c, since)
		}
	})
	return w
}

// unfinished are the snapshots that masters are writing.
func unfinished(c *proc.Cluster) []string {
	found, _ := filepath.Glob(filepath.Join(c.Dir(), "*", "snapshots", "*.tmp"))
	return found
}

// untilSnapshotsEnd waits until no master has written a snapshot for more than the second
// in which each decides about its next one.
func untilSnapshotsEnd(ctx context.Context, c *proc.Cluster) error {
	const quiet = 2 * time.Second
	last := time.Now()
	for time.Since(last) < quiet {
		if len(unfinished(c)) > 0 {
			last = time.Now()
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

func (w *snapwatch) look(c *proc.Cluster, since map[string]time.Time) {
	found := unfinished(c)
	w.writing.Store(int64(len(found)))
	w.looks++
	if len(found) > 0 {
		w.writes++
	}
	for _, path := range found {
		if since[path].IsZero() {
			since[path] = time.Now()
		}
		w.longest = max(w.longest, time.Since(since[path]))
	}
}

// submitted sorts a submit by whether a snapshot was under way at its end.
func (w *snapwatch) submitted(took time.Duration) {
	if w.writing.Load() > 0 {
		w.busy.Add(took)
	} else {
		w.calm.Add(took)
	}
}

// share is how much of the time any master was writing one.
func (w *snapwatch) share() float64 { return float64(w.writes) / float64(max(w.looks, 1)) }

func (w *snapwatch) stop() {
	w.end.Do(func() { close(w.done) })
	w.over.Wait()
}
