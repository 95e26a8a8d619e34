package clustersim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/checker"
)

// world is one seed's run. All of it lives in one bubble of testing/synctest.
type world struct {
	seed    uint64
	swarm   swarm
	dir     string
	log     *slog.Logger
	net     *network
	journal *journal
	masters []*master
	workers []*worker
	callers []*caller
	calm    atomic.Bool            // the faults are over
	losing  atomic.Pointer[master] // whose disk is lost, and not back or replaced yet
	wg      sync.WaitGroup
	asking  sync.WaitGroup // submitters: their last calls get answers

	mu       sync.Mutex
	cover    map[string]uint64
	problems []string
}

// Report is what one seed showed.
type Report struct {
	Seed      uint64
	Problems  []string // what did not hold
	Entries   uint64
	Tasks     int
	Simulated time.Duration
	Cover     map[string]uint64
}

// maxProblems of a seed are kept: the first say it.
const maxProblems = 5

// Run plays the world of a seed in a directory of its own, which is best in memory.
// Call it in a bubble of testing/synctest. trace, if not nil, is told of everything.
func Run(seed uint64, dir string, trace io.Writer) Report {
	w := newWorld(seed, dir, trace)
	began := time.Now()
	w.play()
	return Report{
		Seed: seed, Problems: w.problems, Entries: w.journal.last, Tasks: len(w.journal.acked),
		Simulated: time.Since(began), Cover: w.cover,
	}
}

func newWorld(seed uint64, dir string, trace io.Writer) *world {
	w := &world{seed: seed, dir: filepath.Join(dir, fmt.Sprintf("seed-%d", seed)), cover: map[string]uint64{}}
	w.log = slog.New(slog.DiscardHandler)
	if trace != nil {
		w.log = slog.New(slog.NewTextHandler(trace, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.swarm = drawSwarm(w.random(0))
	w.log.Info("swarm", "is", w.swarm.String())
	w.net = newNetwork(w.random(1), w.swarm)
	w.journal = newJournal(w)
	for i := range w.swarm.masters {
		m := newMaster(w, i)
		m.clock.Store(int64(w.chance(m.rng, 2*w.swarm.offset) - w.swarm.offset))
		m.began, m.rate = time.Now(), w.swarm.rates*(1.5*m.rng.Float64()-0.5)
		w.masters = append(w.masters, m)
	}
	return w
}

// random returns a stream of random numbers of the seed's own.
func (w *world) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, stream)) }

// chance draws a time below most.
func (w *world) chance(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most) + 1))
}

// later does something after a while; at the end of the faults at once.
func (w *world) later(d time.Duration, do func()) {
	w.wg.Go(func() {
		const look = time.Second
		for ; d > 0 && !w.calm.Load(); d -= look {
			_ = sleep(context.Background(), min(d, look))
		}
		do()
	})
}

func (w *world) met(what string) { w.metTimes(what, 1) }

func (w *world) metTimes(what string, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cover[what] += n
}

// failf notes that something does not hold.
func (w *world) failf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	w.log.Error("violation", "is", text)
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, text)
	}
}

// play runs the faulty part, heals, lets everything come to its end, and judges.
func (w *world) play() {
	if err := os.RemoveAll(w.dir); err != nil {
		w.failf("clear the directory: %v", err)
	}
	for _, m := range w.masters {
		m.start(place{dir: m.path()})
	}
	ctx, end := context.WithCancel(context.Background())
	var working, harming sync.WaitGroup
	for i := range w.swarm.submitters {
		c := newSubmitter(w, i)
		w.callers = append(w.callers, c.caller)
		w.asking.Go(func() { c.run(ctx) })
	}
	for k := range w.swarm.programs {
		p := newProgram(w, k)
		w.callers = append(w.callers, p.caller)
		w.asking.Go(func() { p.run(ctx) })
	}
	for i := range w.swarm.workers {
		o := newWorker(w, i)
		w.workers, w.callers = append(w.workers, o), append(w.callers, o.caller)
		working.Go(func() { o.run(ctx) })
	}
	harm, calm := context.WithTimeout(ctx, w.swarm.length)
	harming.Go(func() { newNemesis(ctx, w).run(harm) })
	harming.Wait()
	<-harm.Done()
	calm()
	w.heal()
	answered := make(chan struct{})
	w.wg.Go(func() { w.asking.Wait(); close(answered) })
	patience := w.drainWithin()
	if w.within(patience, func() bool { return w.drained(answered) }) {
		w.within(replaceWithin, func() bool { return w.losing.Load() == nil }) // who waits for it says when it does not come
		if !w.within(catchUpWithin, w.level) {
			w.failf("not all masters caught up within %v (L4)", catchUpWithin)
		}
	} else {
		w.failf("not all tasks came to their end within %v: %s (L1)", patience, w.unfinished())
	}
	end()
	w.asking.Wait()
	working.Wait()
	w.judge()
	w.stop()
}

const catchUpWithin = 90 * time.Second

// drainWithin bounds how long all that was submitted may take once the faults are
// over: an election, a TTL, five times a crashed worker's, back-off, and two seconds,
// several times what an attempt takes, for each task in each of the workers' slots.
func (w *world) drainWithin() time.Duration {
	slots := 0
	for _, o := range w.workers {
		slots += o.slots
	}
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return 3*time.Minute + time.Duration(len(w.journal.acked))*2*time.Second/time.Duration(slots)
}

// heal ends all faults: what is down comes up, what is cut is mended.
func (w *world) heal() {
	w.calm.Store(true)
	w.net.mu.Lock()
	for _, l := range w.net.links {
		l.cut, l.reject, l.loss, l.late, l.stalls, l.clogged = false, false, 0, 0, 0, time.Time{}
		for p := range l.pipes {
			p.resend(time.Now())
		}
	}
	w.net.mu.Unlock()
	for _, m := range w.masters {
		m.change(func(d *disk) { d.low, d.hangs = false, time.Time{} })
	}
	for _, c := range w.callers {
		c.apart.Store(0)
	}
}

// within waits until something holds, and reports whether it did in time.
func (w *world) within(d time.Duration, holds func() bool) bool {
	for until := time.Now().Add(d); time.Now().Before(until); {
		if holds() {
			return true
		}
		_ = sleep(context.Background(), 500*time.Millisecond)
	}
	return false
}

// leading returns the node that leads, nil when there is none.
func (w *world) leading() *cluster.Node {
	for _, m := range w.masters {
		if n, _ := m.up(); n != nil && m.leads() {
			return n
		}
	}
	return nil
}

// drained reports whether every call was answered and every task that was
// acknowledged has come to its end.
func (w *world) drained(answered <-chan struct{}) bool {
	select {
	case <-answered:
		return w.unfinished() == ""
	default:
		return false
	}
}

// unfinished says what has not come to its end, also of what schedules submitted.
func (w *world) unfinished() (text string) {
	n := w.leading()
	if n == nil {
		return "no master leads"
	}
	w.journal.mu.Lock()
	ids := slices.Clone(w.journal.acked)
	w.journal.mu.Unlock()
	_, err := n.Read(context.Background(), cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		for _, id := range ids {
			if t, _ := m.Task(id); t == nil || t.State <= fsm.Stopping {
				text = fmt.Sprintf("task %d", id)
				if t != nil {
					text += " is " + t.State.String()
				}
				return
			}
		}
		for t := range m.TasksBefore(0) {
			if t.State <= fsm.Stopping && t.Extra != nil && t.Extra.Schedule != "" {
				text = fmt.Sprintf("task %d of schedule %s is %v", t.ID, t.Extra.Schedule, t.State)
			}
		}
	})
	if err != nil {
		return err.Error()
	}
	return text
}

// level reports whether all masters have applied the same.
func (w *world) level() bool {
	index := uint64(0)
	for i, m := range w.masters {
		n, _ := m.up()
		if n == nil {
			return false
		}
		pos := n.Position()
		if i > 0 && pos.Index != index {
			return false
		}
		index = pos.Index
	}
	return true
}

// judge looks at the end, and then at all that was recorded.
func (w *world) judge() {
	synctest.Wait()
	w.sameTables()
	w.journal.judgeExpiries()
	h := &checker.History{Taps: map[string][]checker.Entry{}, Ops: w.journal.ops, Finals: w.finals()}
	for _, r := range w.journal.log {
		h.Taps["all"] = append(h.Taps["all"], r.Entry)
	}
	slices.SortFunc(h.Taps["all"], func(a, b checker.Entry) int { return cmp.Compare(a.Index, b.Index) })
	r := checker.Check(h, checker.Floor{})
	for _, f := range r.Findings {
		w.failf("%s (%s)", f.Text, f.ID)
	}
	for what, n := range r.Counts {
		w.metTimes("checked: "+what, uint64(n))
	}
}

// sameTables compares the masters' tables byte by byte at the end (C1).
func (w *world) sameTables() {
	type at struct {
		index uint64
		sum   [32]byte
	}
	sums := map[at][]string{}
	for i, m := range w.masters {
		n, _ := m.up()
		if n == nil {
			w.failf("%s is not back %v after the last fault", name(i), catchUpWithin)
			continue
		}
		index, sum, err := n.Digest(context.Background())
		if err != nil {
			w.failf("%s has no digest: %v", name(i), err)
		}
		sums[at{index, sum}] = append(sums[at{index, sum}], name(i))
	}
	if len(sums) > 1 {
		w.failf("the masters' tables at the end are not one: %v (C1)", sums)
	}
}

// finals reads every task that was acknowledged, and holds what workers were told to it.
func (w *world) finals() (out []checker.Final) {
	n := w.leading()
	if n == nil {
		return nil
	}
	_, err := n.Read(context.Background(), cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		for _, id := range w.journal.acked {
			t, _ := m.Task(id)
			f := checker.Final{Task: id, Gone: t == nil}
			if t != nil {
				f.State = t.State.String()
			}
			if t != nil && t.State == fsm.Succeeded {
				f.Result = string(t.Result)
			}
			out = append(out, f)
		}
		for id, e := range w.journal.ended {
			t, _ := m.Task(id)
			if t == nil || t.State != fsm.Succeeded || !bytes.Equal(t.Result, []byte(e.result)) {
				w.failf("a worker was told that its completion of task %d under fence %d counts, and the table has another end (S4)", id, e.fence)
			}
		}
	})
	if err != nil {
		w.failf("read the end: %v", err)
	}
	return out
}

// stop ends the masters. What goroutines they leave, the bubble finds.
func (w *world) stop() {
	for _, m := range w.masters {
		m.end(false)
	}
	w.wg.Wait()
	if err := os.RemoveAll(w.dir); err != nil {
		w.failf("clear up: %v", err)
	}
}

// Err returns what did not hold.
func (r Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	errs := make([]error, len(r.Problems))
	for i, p := range r.Problems {
		errs[i] = errors.New(p)
	}
	return errors.Join(errs...)
}
