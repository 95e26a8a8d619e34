package cluster

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxClockDistance from the median is what an elected leader believes of its
	// own wall clock.
	maxClockDistance = 10 * time.Second
	// clockSkewAlarm is the distance that operators are told of.
	clockSkewAlarm = 2 * time.Second
	// slewShare bounds the correction to 1 % of the elapsed time.
	slewShare = 100
	// slewEvery is how often the leader looks at the other masters' clocks.
	slewEvery = time.Second
)

// source is where time comes from; tests bring their own.
type source struct {
	wall func() int64         // Unix nanoseconds; may step
	mono func() time.Duration // since some start; never steps
}

func systemSource() source {
	start := time.Now()
	return source{
		wall: func() int64 { return wallClock().UnixNano() },
		mono: func() time.Duration { return time.Since(start) },
	}
}

// clock is the table's clock while this master leads. Within a
// term it is base + monotonic elapsed, slewed towards the median wall clock of
// the reachable masters; it never goes back and never refuses.
type clock struct {
	src source

	mu   sync.Mutex
	base int64         // the clock's value at
	at   time.Duration // this monotonic time
	slew int64         // still to be corrected since then, at most 1/slewShare of what elapses
	last int64         // newest stamp given out
}

func newClock(src source) *clock { return &clock{src: src} }

// elect sets the base at the start of a term: the wall clock, or the median if
// the wall clock is far from it, but never before the table's now.
func (c *clock) elect(tableNow int64, peers []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.src.wall()
	if off := medianOffset(peers); off.Abs() > maxClockDistance {
		wall += int64(off)
	}
	c.base, c.at, c.slew = max(tableNow, wall), c.src.mono(), 0
	c.last = max(c.last, tableNow)
}

// raise moves the clock up to the table's now: only once the term's first entry
// has applied has the table seen all that earlier terms stamped.
func (c *clock) raise(tableNow int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mono := c.src.mono(); c.read(mono) < tableNow {
		c.base, c.at, c.slew = tableNow, mono, 0
	}
	c.last = max(c.last, tableNow)
}

// steer aims at the median wall clock. Call it now and then; without it the
// clock runs on at the monotonic rate.
func (c *clock) steer(peers []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := c.src.mono()
	now := c.read(mono)
	c.slew = c.src.wall() + int64(medianOffset(peers)) - now
	c.base, c.at = now, mono
}

func (c *clock) read(mono time.Duration) int64 {
	elapsed := int64(mono - c.at)
	most := elapsed / slewShare
	return c.base + elapsed + min(max(c.slew, -most), most)
}

// now is the table's time, for waiting; entries carry a stamp.
func (c *clock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.read(c.src.mono()), c.last)
}

// stamp returns the time of the next entry, later than every stamp before: it
// also names the entry within its term.
func (c *clock) stamp() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.read(c.src.mono()), c.last+1)
	return c.last
}

// skewed reports whether this master's wall clock, or, on the leader, the
// table's, is too far from the median.
func (c *clock) skewed(peers []time.Duration, leads bool) bool {
	off := medianOffset(peers)
	if off.Abs() > clockSkewAlarm {
		return true
	}
	return leads && time.Duration(c.src.wall()+int64(off)-c.now()).Abs() > clockSkewAlarm
}

// medianOffset returns the median of the reachable masters' wall clocks, this
// one's included, relative to this one's.
func medianOffset(peers []time.Duration) time.Duration {
	all := make([]time.Duration, 0, 8)
	all = append(append(all, 0), peers...)
	slices.Sort(all)
	n := len(all)
	if n%2 == 1 {
		return all[n/2]
	}
	low, high := all[n/2-1], all[n/2]
	return low + (high-low)/2
}
