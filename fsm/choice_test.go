package fsm

import (
	"cmp"
	"math"
	"math/big"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// choice is S9 by the book: what a session with room for n would get, from the
// tasks, one after the other, counting everything anew each time.
type choice struct {
	m        *Machine
	s        *session
	running  map[string]int // by queue, and by queue and key
	rateAt   map[string]int64
	served   []uint64
	all      uint64
	ready    []*Task
	weighted bool
}

// chosen returns the ids in order. It does not know the rule for tasks that run
// alone, nor what the end of a batch brings: then it says so.
func chosen(m *Machine, id uint64, n int) (want []uint64, known bool) {
	s := m.live[id]
	if s == nil || s.rec.Draining || s.drained || s.rec.Ending != CauseNone {
		return nil, true
	}
	c := choice{
		m: m, s: s, running: map[string]int{}, rateAt: map[string]int64{}, served: slices.Clone(s.rec.served), all: s.rec.servedAll,
		weighted: slices.ContainsFunc(s.rec.Queues, func(q QueueWeight) bool { return q.Weight != s.rec.Queues[0].Weight }),
	}
	for t := range m.TasksBefore(0) {
		switch {
		case t.target() != nil && t.State == Ready && t.target().Until <= m.now:
			return nil, false // with it its broadcast may end, and with that a batch
		case t.target() != nil: // it has a slot of its own, and no limit holds it back
		case t.held() && t.Session == id && t.Solo:
			return nil, true
		case t.held():
			c.runs(t)
		case t.State == Ready && (t.Extra != nil && t.Extra.Batch != 0 || m.sweptBy(t.ID) != 0) && (m.doomed(t) || m.sweptBy(t.ID) != 0 || t.expiry() != 0 && t.expiry() <= m.now):
			return nil, false // its end may be its batch's, with which others are submitted
		case t.State == Ready && t.Crashes >= SoloAfterCrashes && c.seat(t) >= 0:
			return nil, false
		case t.State == Ready && (t.Attempts > 0 || t.ExpiresAt == 0 || t.ExpiresAt > m.now) && c.seat(t) >= 0:
			c.ready = append(c.ready, t)
		}
	}
	for room := min(n, s.rec.Slots-(s.held.len()-s.targets)); room > 0; room-- {
		t := c.next()
		if t == nil {
			break
		}
		want = append(want, t.ID)
	}
	return want, true
}

func (c *choice) seat(t *Task) int {
	return slices.IndexFunc(c.s.rec.Queues, func(q QueueWeight) bool { return q.Queue == t.Queue })
}

func (c *choice) runs(t *Task) {
	c.running[t.Queue]++
	if key := keyOf(t); key != "" {
		c.running[t.Queue+"/"+key]++
	}
}

func keyOf(t *Task) string {
	if t.Extra == nil {
		return ""
	}
	return t.Extra.ConcurrencyKey
}

// may reports whether labels and limits let a task start.
func (c *choice) may(t *Task) bool {
	rec := c.m.lines[t.Queue].rec
	set := rec.settings
	if t.Extra != nil {
		for _, label := range t.Extra.Require {
			if value, ok := c.s.rec.Labels[label.Key]; !ok || value != label.Value {
				return false
			}
		}
	}
	perKey := uint32(1)
	if set.MaxRunningPerKey != nil {
		perKey = *set.MaxRunningPerKey
	}
	switch key := keyOf(t); {
	case rec.paused,
		set.MaxRunning != nil && c.running[t.Queue] >= int(*set.MaxRunning),
		key != "" && c.running[t.Queue+"/"+key] >= int(perKey):
		return false
	}
	return set.Rate == nil || c.earned(t.Queue) <= 0
}

// earned is how long until the queue has a token.
func (c *choice) earned(queue string) int64 {
	rec := c.m.lines[queue].rec
	at, ok := c.rateAt[queue]
	if !ok {
		at = rec.rateAt
	}
	_, burst := interval(rec)
	return at - c.m.now - burst
}

// interval returns what a token and what all but one of a burst cost in time.
func interval(rec *queueRecord) (every, burst int64) {
	r := proto.CloneOf(rec.settings.Rate)
	r.Tokens, r.Period, r.Burst = max(r.Tokens, 1), max(r.Period, 1), max(r.Burst, 1)
	every = (r.Period + int64(r.Tokens) - 1) / int64(r.Tokens)
	return every, every * int64(r.Burst-1)
}

// next takes the best of what may start.
func (c *choice) next() *Task {
	var best *Task
	for _, t := range c.ready {
		if c.may(t) && (best == nil || c.compare(t, best) < 0) {
			best = t
		}
	}
	if best == nil {
		return nil
	}
	c.ready = slices.DeleteFunc(c.ready, func(t *Task) bool { return t == best })
	c.runs(best)
	if rec := c.m.lines[best.Queue].rec; rec.settings.Rate != nil {
		every, burst := interval(rec)
		c.rateAt[best.Queue] = c.m.now + burst + c.earned(best.Queue)
		c.rateAt[best.Queue] = max(c.rateAt[best.Queue], c.m.now) + every
	}
	if i := c.seat(best); c.weighted {
		c.all = max(c.served[i], c.all)
		c.served[i] = c.all + stride/uint64(c.s.rec.Queues[i].Weight)
	}
	return best
}

// compare is negative when a starts before b.
func (c *choice) compare(a, b *Task) int {
	place := func() int { return cmp.Or(cmp.Compare(a.EligibleAt, b.EligibleAt), cmp.Compare(a.ID, b.ID)) }
	ageing := func(t *Task) int64 { return c.m.lines[t.Queue].rec.settings.GetAgeing() }
	if a.Queue != b.Queue {
		if i, j := c.seat(a), c.seat(b); c.weighted {
			return cmp.Or(cmp.Compare(max(c.served[i], c.all), max(c.served[j], c.all)), cmp.Compare(i, j))
		}
		grown := func(t *Task) int64 {
			if ageing(t) == 0 {
				return int64(t.Priority)
			}
			return int64(t.Priority) + (c.m.now-t.EligibleAt)/ageing(t)
		}
		return cmp.Or(cmp.Compare(grown(b), grown(a)), place())
	}
	if ageing(a) == 0 || a.Priority == b.Priority {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), place())
	}
	virtual := func(t *Task) *big.Int {
		return new(big.Int).Sub(big.NewInt(t.EligibleAt), new(big.Int).Mul(big.NewInt(int64(t.Priority)), big.NewInt(ageing(t))))
	}
	return cmp.Or(virtual(a).Cmp(virtual(b)), cmp.Compare(b.Priority, a.Priority), place())
}

// withinLimits: whatever was started, the queue and the key run no more than
// they may (S9).
func withinLimits(tb reporter, m *Machine, events []Event) {
	for _, e := range events {
		if e.Kind != TaskAssigned || e.Task.target() != nil { // targets have a slot of their own, beside the limits
			continue
		}
		queue, key := 0, 0
		for t := range m.TasksBefore(0) {
			if t.held() && t.target() == nil && t.Queue == e.Task.Queue {
				queue++
				if keyOf(t) == keyOf(e.Task) {
					key++
				}
			}
		}
		set := m.Queue(e.Task.Queue).Settings
		if set.MaxRunning != nil && queue > int(*set.MaxRunning) {
			tb.Fatalf("S9: queue %s runs %d of at most %d", e.Task.Queue, queue, *set.MaxRunning)
		}
		perKey := uint32(1)
		if set.MaxRunningPerKey != nil {
			perKey = *set.MaxRunningPerKey
		}
		if keyOf(e.Task) != "" && key > int(perKey) {
			tb.Fatalf("S9: key %s of queue %s runs %d of at most %d", keyOf(e.Task), e.Task.Queue, key, perKey)
		}
	}
}

// rateWatch holds when tasks of each queue started since its rate limit changed.
type rateWatch map[string][]int64

// events checks the limit over every window that ends with the newest start (S9).
func (w rateWatch) events(tb reporter, m *Machine, events []Event) {
	for _, e := range events {
		switch {
		case e.Kind == QueueChanged:
			delete(w, e.Name)
		case e.Kind == TaskAssigned && e.Cause == CauseNone && e.Task.target() == nil && m.lines[e.Task.Queue].rec.settings.Rate != nil:
			queue := e.Task.Queue
			w[queue] = append(w[queue], m.now)
			every, burst := interval(m.lines[queue].rec)
			for i, from := range w[queue] {
				if n := int64(len(w[queue]) - i); n > (m.now-from+burst)/every+1 && n < math.MaxInt32 {
					tb.Fatalf("S9: queue %s started %d tasks in %d ns, one every %d, burst %d", queue, n, m.now-from, every, burst)
				}
			}
		}
	}
}

// withinLength: a queue that a submit or a retry added to is no longer than it may be.
func withinLength(tb reporter, m *Machine, c *fsmpb.Command, events []Event) {
	if c.GetSubmit() == nil && c.GetRetry() == nil {
		return
	}
	for _, e := range events {
		if e.Kind != TaskSubmitted && e.Kind != TaskReady || e.Task.target() != nil {
			continue
		}
		tasks, bytes := uint64(0), uint64(0)
		for t := range m.TasksBefore(0) {
			if t.Queue == e.Task.Queue && !t.State.Terminal() && t.target() == nil { // nobody submitted targets
				tasks++
				bytes += uint64(len(t.Payload))
			}
		}
		set := m.Queue(e.Task.Queue).Settings
		if set.MaxTasks != nil && tasks > *set.MaxTasks || set.MaxBytes != nil && bytes > *set.MaxBytes {
			tb.Fatalf("queue %s holds %d tasks of %d bytes, may hold %v", e.Task.Queue, tasks, bytes, set)
		}
	}
}
