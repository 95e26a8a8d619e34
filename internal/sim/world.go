package sim

import (
	"container/heap"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/model"
)

// world is one seed's run.
type world struct {
	rng   *rand.Rand
	cfg   swarm
	trace io.Writer // nil: silent
	cover Coverage

	now    int64
	timers timers
	seq    uint64
	calm   bool // the faults are over

	table    *fsm.Machine
	model    *model.Table
	follower *follower
	index    uint64
	lead     leader
	rules    map[string]*model.Rule // of schedules, by their text

	workers []*worker
	byName  map[string]*worker
	clients []*client
}

// Coverage counts what a run has reached, by name.
type Coverage map[string]uint64

// failure is what a world panics with when something does not hold.
type failure struct{ error }

// failf ends the world: an invariant is broken.
func failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// Report is what one seed showed.
type Report struct {
	Seed      uint64
	Err       error // what did not hold
	Entries   uint64
	Tasks     int
	Simulated int64 // nanoseconds
	Cover     Coverage
}

// Run plays the world of a seed. trace, if not nil, is told of every entry.
func Run(seed uint64, trace io.Writer) (r Report) {
	w := newWorld(seed, trace)
	r = Report{Seed: seed, Cover: w.cover}
	defer func() {
		r.Entries, r.Simulated = w.index, w.now-epoch
		switch p := recover().(type) {
		case nil:
		case failure:
			r.Err = p.error
		default:
			r.Err = fmt.Errorf("panic: %v", p)
		}
	}()
	w.play()
	return r
}

func newWorld(seed uint64, trace io.Writer) *world {
	rng := rand.New(rand.NewPCG(seed, 0x7461736b72616674))
	w := &world{
		rng: rng, cfg: drawSwarm(rng), trace: trace, cover: make(Coverage), now: epoch,
		table: fsm.New(), model: model.New(), follower: &follower{table: fsm.New()},
		rules: make(map[string]*model.Rule), byName: make(map[string]*worker),
	}
	if seed%crowdEvery == 0 {
		w.cfg.crowd(rng)
	}
	w.tracef("%+v", w.cfg)
	for i := range w.cfg.workers {
		one := newWorker(w, fmt.Sprintf("w%d", i))
		w.workers, w.byName[one.name] = append(w.workers, one), one
	}
	for i := range w.cfg.clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	return w
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, format+"\n", args...)
	}
}

// play runs the faulty part, then lets everything come to its end.
func (w *world) play() {
	w.elect()
	w.configure()
	for _, one := range w.workers {
		w.after(w.rng.Int64N(second), one.start)
	}
	for _, c := range w.clients {
		w.after(w.rng.Int64N(second), c.act)
	}
	w.faults()
	w.run(epoch + w.cfg.length)
	w.drain()
}

// run turns the clock until a time.
func (w *world) run(until int64) {
	for len(w.timers) > 0 && w.timers[0].at <= until {
		t := heap.Pop(&w.timers).(timer)
		w.now = t.at
		t.do()
	}
	w.now = until
}

// after calls do in d nanoseconds.
func (w *world) after(d int64, do func()) {
	w.seq++
	heap.Push(&w.timers, timer{w.now + d, w.seq, do})
}

// every calls do again and again, on average once in mean, while faults go on.
func (w *world) every(mean int64, do func()) {
	if mean == 0 {
		return
	}
	w.after(mean/2+w.rng.Int64N(mean), func() {
		if w.calm {
			return
		}
		do()
		w.every(mean, do)
	})
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// send delivers a message, or does not, or twice, or late.
func (w *world) send(deliver func()) {
	if w.calm {
		w.after(millisecond, deliver)
		return
	}
	if w.chance(w.cfg.loss) {
		w.cover["message lost"]++
		return
	}
	copies := 1
	if w.chance(w.cfg.twice) {
		copies = 2
		w.cover["message doubled"]++
	}
	for range copies {
		d := w.rng.Int64N(w.cfg.delay)
		if w.chance(w.cfg.late) {
			d += w.rng.Int64N(20 * second)
			w.cover["message late"]++
		}
		w.after(d, deliver)
	}
}

type timer struct {
	at  int64
	seq uint64
	do  func()
}

// timers is a heap by time, then by when it was set.
type timers []timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].seq < t[j].seq
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}
