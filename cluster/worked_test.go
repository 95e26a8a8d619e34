package cluster

import (
	"fmt"
	"math"
	"testing"

	"github.com/taskraft/taskraft/fsm"
)

func TestHistogramBuckets(t *testing.T) {
	for _, ns := range []int64{-5, 0, 1, 900, 1_000, 1_000_000, 999_999_999, 1_000_000_000, 1_000_000_001, 1_189_207_115, 3_600e9, 1 << 62} {
		var h Histogram
		h.add(ns)
		for i, n := range h.Buckets {
			if n == 0 {
				continue
			}
			s := float64(max(ns, 0)) / 1e9
			above, below := math.Exp2(float64(i+FirstBucket)/4), math.Exp2(float64(i-1+FirstBucket)/4)
			if s > above && i != Buckets-1 || s <= below*(1-1e-12) && i != 0 {
				t.Errorf("%v s is in the bucket of %v to %v s", s, below, above)
			}
		}
		if h.Count != 1 {
			t.Errorf("counted %d", h.Count)
		}
	}
}

// TestWorkedIsBounded counts more queues and kinds than are told apart.
func TestWorkedIsBounded(t *testing.T) {
	var w worked
	const n = 3 * maxWorked
	for i := range n {
		task := &fsm.Task{Options: &fsm.Options{Queue: fmt.Sprint("q", i), Kind: fmt.Sprint("k", i)}, State: fsm.Succeeded}
		w.applied(&fsm.Applied{Events: []fsm.Event{{Kind: fsm.TaskFinished, Task: task}}}, 0)
	}
	if len(w.queues) != maxWorked+1 {
		t.Errorf("%d queues are told apart, want %d and the rest", len(w.queues), maxWorked)
	}
	kinds, ended := 0, uint64(0)
	for _, q := range w.queues {
		kinds += len(q.Ended)
		for _, states := range q.Ended {
			ended += states[fsm.Succeeded]
		}
	}
	if kinds > maxWorked+2 || ended != n || w.queues[Other].Total.Count != n-maxWorked {
		t.Errorf("%d kinds, %d ended, %d in other queues; want at most %d, %d, %d", kinds, ended, w.queues[Other].Total.Count, maxWorked+2, n, n-maxWorked)
	}
}
