package measure

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// subBuckets per power of two keep the error of a percentile under 3 %.
const subBuckets = 32

// Histogram counts durations. It is safe for concurrent use.
type Histogram struct {
	counts [64 * subBuckets]atomic.Uint64
}

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 6 // keeps the top six bits, of which the first is 1
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// middle is the duration in the middle of a bucket.
func middle(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	low := uint64(i%subBuckets+subBuckets) << shift
	return time.Duration(low + 1<<shift/2)
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) { h.counts[bucket(d)].Add(1) }

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Quantile returns the duration that a share q of all do not exceed, 0 if there
// are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	rank := uint64(q * float64(total))
	var seen uint64
	for i := range h.counts {
		seen += h.counts[i].Load()
		if seen > rank || seen == total && total > 0 {
			return middle(i)
		}
	}
	return 0
}
