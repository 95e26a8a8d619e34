package cluster

import (
	"math"
	"sync"

	"github.com/taskraft/taskraft/fsm"
)

// Histogram counts durations in buckets that grow by a quarter of a power of two:
// bucket i holds those up to 2^((i+FirstBucket)/4) seconds.
type Histogram struct {
	Count   uint64
	Sum     float64 // seconds
	Buckets [Buckets]uint64
}

const (
	// FirstBucket is where the first bucket lies: a microsecond.
	FirstBucket = -80
	// Buckets is how many there are: they reach to a year.
	Buckets = 181
)

// quarters are the bounds of the buckets within a power of two.
var quarters = [...]float64{0.5, 0.5 * 1.189207115002721, 0.5 * math.Sqrt2, 0.5 * 1.681792830507429}

// add counts a duration in nanoseconds.
func (h *Histogram) add(ns int64) {
	s := float64(max(ns, 0)) / 1e9
	h.Count++
	h.Sum += s
	if s == 0 {
		h.Buckets[0]++
		return
	}
	frac, exp := math.Frexp(s)
	i := 0
	for i < len(quarters) && frac > quarters[i] {
		i++
	}
	h.Buckets[min(max((exp-1)*len(quarters)+i-FirstBucket, 0), Buckets-1)]++
}

// Worked is what became of a queue's tasks while this node led, since it started.
type Worked struct {
	Queue string // Other: all queues beyond the first thousand
	// Wait is from when an attempt could start to when it did, Run the length of
	// attempts that ended, Total from submit to the end of the task.
	Wait, Run, Total Histogram
	// Ended counts tasks by kind and state.
	Ended map[string]*[fsm.Cancelled + 1]uint64
}

// Other stands for what is not told apart any more. No queue has this name.
const Other = "_other"

// maxWorked bounds queues, and kinds of all queues together, that are told apart.
const maxWorked = 1000

// worked gathers Worked, and how long entries take to be applied.
type worked struct {
	mu     sync.Mutex
	queues map[string]*Worked
	last   *Worked // most events are of the same queue as the one before
	kinds  int
	commit Histogram
}

// applied takes note of what one entry did.
func (w *worked) applied(a *fsm.Applied, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(a.Results) > 0 {
		w.commit.add(now - a.Stamp)
	}
	for i := range a.Events {
		ev := &a.Events[i]
		switch ev.Kind {
		case fsm.TaskAssigned:
			if ev.Cause == fsm.CauseNone {
				w.of(ev.Task.Queue).Wait.add(ev.Task.StartedAt - ev.Task.EligibleAt)
			}
		case fsm.TaskFinished:
			w.finished(ev)
		case fsm.TaskReady, fsm.TaskScheduled:
			w.ran(ev)
		}
	}
}

func (w *worked) finished(ev *fsm.Event) {
	t := ev.Task
	q := w.of(t.Queue)
	q.Total.add(t.FinishedAt - t.SubmittedAt)
	w.ran(ev)
	states := q.Ended[t.Kind]
	if states == nil {
		kind := t.Kind
		if w.kinds >= maxWorked {
			kind = Other
		}
		if states = q.Ended[kind]; states == nil {
			states = new([fsm.Cancelled + 1]uint64)
			q.Ended[kind] = states
			w.kinds++
		}
	}
	states[t.State]++
}

// ran takes note of the attempt that ended by an event.
func (w *worked) ran(ev *fsm.Event) {
	if n := len(ev.Task.Ended); ev.Fence != 0 && n > 0 {
		e := &ev.Task.Ended[n-1]
		w.of(ev.Task.Queue).Run.add(e.At - e.StartedAt)
	}
}

func (w *worked) of(queue string) *Worked {
	if w.last != nil && w.last.Queue == queue {
		return w.last
	}
	q := w.queues[queue]
	if q == nil && len(w.queues) >= maxWorked {
		queue = Other
		q = w.queues[queue]
	}
	if q == nil {
		q = &Worked{Queue: queue, Ended: make(map[string]*[fsm.Cancelled + 1]uint64)}
		if w.queues == nil {
			w.queues = make(map[string]*Worked)
		}
		w.queues[queue] = q
	}
	w.last = q
	return q
}

// Worked calls f with what became of each queue's tasks while this node led. f must
// be quick: nothing is applied meanwhile.
func (n *Node) Worked(f func(*Worked)) {
	w := &n.engine.worked
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range w.queues {
		f(q)
	}
}

// Commits returns how long entries took from being proposed to being applied, while
// this node led.
func (n *Node) Commits() Histogram {
	w := &n.engine.worked
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commit
}
