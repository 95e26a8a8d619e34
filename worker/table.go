package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// maxSpool bounds the results that wait for their outcome, in bytes. A result
// that does not fit is dropped and its task handed back, to run again.
const maxSpool = 64 << 20

type stage uint8

const (
	queued   stage = iota // waits for a slot
	running               // its handler runs
	finished              // its report waits for the outcome
)

// attempt is one assignment without a seen outcome.
type attempt struct {
	task      Task
	ctx       taskContext
	stage     stage
	trace     bool // ctx names a trace
	selfFence bool // it ends when the leash does
	report

	live *live
	said atomic.Pointer[voice] // nil: it has said nothing before its end
	gone atomic.Bool           // it can say nothing more
}

// table holds the attempts by fence and runs them. The pool's goroutines start
// when they are first needed, wake one another one at a time (so that a batch of
// short tasks does not wake them all) and end with close.
type table struct {
	run    func(*attempt) report
	base   context.Context // parent of the handlers' contexts
	worker string
	slots  int
	live   *live
	leash  leash

	mu       sync.Mutex
	held     map[uint64]*attempt
	hash     uint64     // XOR of splitmix64 of the held fences
	spool    int        // bytes of the reports held
	queue    []*attempt // in order of assignment
	active   int        // queued or running
	outbox   []*attempt // finished, not sent on the present stream
	called   bool       // the masters call for reports: there is no stream and no outbox
	draining bool
	changed  chan struct{} // closed at the next change; nil when nobody waits

	wake   sync.Cond
	idle   int  // goroutines that wait
	waking bool // one of them, or a new one, is on its way
	size   int  // goroutines
	closed bool
	wg     sync.WaitGroup

	ready chan struct{} // holds a token when outbox is not empty
}

func newTable(base context.Context, worker string, slots int, run func(*attempt) report) *table {
	t := &table{run: run, base: base, worker: worker, slots: slots, live: newLive(slots), held: map[uint64]*attempt{}, ready: make(chan struct{}, 1)}
	t.wake.L, t.leash.cut = &t.mu, t.fenceOff
	return t
}

// take acts on one message, all at once: a heartbeat describes what is held after
// some message, and the master compares it with what was held after that one. It
// appends to settled.
func (t *table) take(m *taskraftv1.MasterMessage, settled []Settled) []Settled {
	t.mu.Lock()
	defer t.mu.Unlock()
	if outcomes := m.GetOutcomes(); len(outcomes) > 0 {
		settled = t.settle(outcomes, settled)
	}
	if assignments := m.GetAssignments(); len(assignments) > 0 {
		t.assign(assignments)
	}
	return settled
}

// assign takes assignments in. Fences that are known are ignored: masters send
// them again when a reply may have been lost. Called with mu held.
func (t *table) assign(in []*taskraftv1.Assignment) {
	now := time.Now()
	for _, as := range in {
		if t.held[as.GetFence()] != nil {
			continue
		}
		a := &attempt{live: t.live, selfFence: as.GetSelfFence(), task: Task{
			ID: as.GetTask(), Fence: as.GetFence(), Attempt: int(as.GetAttempt()), Worker: t.worker,
			Queue: as.GetQueue(), Kind: as.GetKind(), Payload: as.GetPayload(), ContentType: as.GetContentType(),
			SubmitTime: as.GetSubmitTime().AsTime(), Broadcast: as.GetBroadcast(),
		}}
		if as.GetSchedule() != "" {
			a.task.Schedule = as.GetSchedule()
			if at := as.GetFireTime(); at != nil {
				a.task.FireTime = at.AsTime()
			}
		}
		if as.GetTimeout() != nil {
			a.task.Deadline = now.Add(as.GetTimeout().AsDuration())
		}
		a.ctx.base, a.ctx.of, a.ctx.deadline = t.base, a, a.task.Deadline
		if as.GetTraceparent() != "" {
			a.ctx.base, a.trace = tracedBy(t.base, as)
		}
		t.held[a.task.Fence] = a
		t.hash ^= splitmix64(a.task.Fence)
		t.active++
		if t.draining {
			t.finish(a, release(&a.task))
			continue
		}
		if a.task.Broadcast != 0 {
			a.stage = running
			t.wg.Go(func() { t.beside(a) })
			continue
		}
		t.queue = append(t.queue, a)
	}
	t.wakeOne()
}

// finish notes the report of an attempt and puts it up for sending. Called with
// mu held.
func (t *table) finish(a *attempt, r report) {
	if n := r.size(); t.spool+n > maxSpool && r.release == nil {
		r = release(&a.task)
	}
	a.gone.Store(true)
	if v := a.said.Load(); v != nil {
		t.live.end(v)
	}
	a.stage, a.report = finished, r
	t.spool += r.size()
	t.active--
	if !t.called {
		t.outbox = append(t.outbox, a)
		select {
		case t.ready <- struct{}{}:
		default:
		}
	}
	t.notify()
}

// settle takes outcomes in and appends what they settle. Called with mu held.
func (t *table) settle(in []*taskraftv1.OutcomeReply, settled []Settled) []Settled {
	for _, o := range in {
		a := t.held[o.GetFence()]
		if a == nil || a.stage != finished {
			continue
		}
		delete(t.held, a.task.Fence)
		t.hash ^= splitmix64(a.task.Fence)
		t.spool -= a.size()
		if v := a.said.Load(); v != nil {
			t.live.settled(v)
		}
		settled = append(settled, Settled{
			Task: a.task.ID, Fence: a.task.Fence, Attempt: a.task.Attempt,
			Queue: a.task.Queue, Kind: a.task.Kind, Verb: a.verb(), Outcome: o.GetOutcome(),
		})
	}
	t.notify()
	return settled
}

// abort stops executions whose fence is void. A handler that runs is told by its
// context, and its report, whatever it is, confirms the end; what has not begun is
// handed back, which confirms as well.
func (t *table) abort(fence uint64, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.held[fence]
	if a == nil {
		return
	}
	switch a.stage {
	case queued:
		t.unqueue(a)
		t.finish(a, release(&a.task))
	case running:
		a.ctx.end(cause)
	}
}

// fenceOff stops the attempts that fence themselves, as abort does.
func (t *table) fenceOff() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.held {
		switch {
		case !a.selfFence:
		case a.stage == queued:
			t.unqueue(a)
			t.finish(a, release(&a.task))
		case a.stage == running:
			a.ctx.end(ErrSelfFenced)
		}
	}
}

func (t *table) unqueue(a *attempt) {
	if i := slices.Index(t.queue, a); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
}

// fences lists what to attach with, and puts every finished attempt up for
// sending again: outcomes that were under way on an older stream are lost.
func (t *table) fences() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live.restart()
	fences := make([]uint64, 0, len(t.held))
	clear(t.outbox)
	t.outbox = t.outbox[:0]
	for fence, a := range t.held {
		fences = append(fences, fence)
		if a.stage == finished && !t.called {
			t.outbox = append(t.outbox, a)
		}
	}
	slices.Sort(fences)
	slices.SortFunc(t.outbox, func(a, b *attempt) int { return cmp.Compare(a.task.Fence, b.task.Fence) })
	if len(t.outbox) > 0 {
		select {
		case t.ready <- struct{}{}:
		default:
		}
	}
	return fences
}

// collect returns what is to be sent; spare becomes the next outbox.
func (t *table) collect(spare []*attempt) []*attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.outbox
	t.outbox = spare[:0]
	return out
}

func (t *table) summary() (count int, hash uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.held), t.hash
}

// dropLargest replaces the report with the largest result by a failure that says
// why: the master refuses something, and size is what masters differ about.
func (t *table) dropLargest(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var largest *attempt
	for _, a := range t.held {
		if a.stage == finished && (largest == nil || a.size() > largest.size()) {
			largest = a
		}
	}
	if largest == nil {
		return
	}
	t.spool -= largest.size()
	largest.report = report{fail: &taskraftv1.Failure{
		Task: largest.task.ID, Fence: largest.task.Fence, Permanent: true,
		Error: trim("the master refused the report: "+why.Error(), maxError),
	}}
	t.spool += largest.size()
}

// splitmix64 spreads fences so that the XOR of a set tells it from others.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
