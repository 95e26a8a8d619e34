package sim

import (
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// configure sets the queues up.
func (w *world) configure() {
	for _, name := range []string{"a", "b"} {
		set := &fsmpb.QueueSettings{}
		if w.cfg.smallRetention {
			set.RetainCount = new(w.rng.Uint64N(30))
		}
		if w.cfg.limits {
			if w.chance(0.5) {
				set.MaxRunning = new(uint32(1 + w.rng.IntN(5)))
			}
			if w.chance(0.5) {
				set.MaxRunningPerKey = new(uint32(1 + w.rng.IntN(3)))
			}
			if w.chance(0.3) {
				set.Rate = &fsmpb.RateLimit{Tokens: uint32(5 + w.rng.IntN(3)*5), Period: second * 3, Burst: uint32(1 + w.rng.IntN(5))}
			}
		}
		if w.cfg.ageing && w.chance(0.7) {
			set.Ageing = new(second)
		}
		w.propose(&fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: name, Settings: set}}}, nil)
	}
}

// faults sets going what the seed drew.
func (w *world) faults() {
	w.every(w.cfg.leaderDies, w.crash)
	w.every(w.cfg.workerDies, func() { w.anyWorker().crash() })
	w.every(w.cfg.workerFreezes, func() { w.anyWorker().freeze() })
	w.every(15*second, func() { w.anyWorker().leave() })
	if w.cfg.broadcasts {
		w.every(10*second, func() { w.anyWorker().relabel() })
	}
	if w.cfg.zombies > 0 {
		w.every(int64(float64(second)/(4*w.cfg.zombies+0.1)), func() { w.anyWorker().haunt() })
		w.every(2*second, func() { w.clients[w.rng.IntN(len(w.clients))].echo() })
	}
	w.every(20*second, func() {
		session := 1 + w.rng.Uint64N(40) // an expiry that was late, perhaps of a session that is gone
		if s := w.table.SessionOf(w.anyWorker().name); s != nil && w.chance(0.5) {
			session = s.ID
		}
		w.propose(&fsmpb.Command{Kind: &fsmpb.Command_ExpireSession{ExpireSession: &fsmpb.ExpireSession{Session: session}}}, nil)
	})
}

func (w *world) anyWorker() *worker { return w.workers[w.rng.IntN(len(w.workers))] }

// maxDrain is far beyond what the slowest world needs: TTLs, back-offs, graces and
// rate limits, one after the other.
const maxDrain = 30 * minute

// drain ends all faults and waits until every task has come to its end (L1), then
// looks once more at everything.
func (w *world) drain() {
	w.calm = true
	w.run(w.now + second)
	if !w.lead.up {
		w.run(w.now + 45*second)
	}
	for _, one := range w.workers {
		one.frozen, one.labels["gpu"], one.queues = 0, "a100", []string{"a", "b"}
		if one.alive {
			one.attach()
		} else {
			one.start()
		}
	}
	for until := w.now + maxDrain; w.now < until && !w.drained(); {
		w.unpause()
		w.unschedule()
		w.undrain()
		w.run(w.now + second)
	}
	if !w.drained() {
		for t := range w.table.TasksBefore(0) {
			if !t.State.Terminal() {
				failf("task %d is still %v when %d minutes have passed since the last fault (L1)", t.ID, t.State, maxDrain/minute)
			}
		}
		failf("calls without an answer long after the last fault (L1)")
	}
	w.compareAll()
	w.sameTables()
	for _, c := range w.clients {
		c.check()
	}
}

// unpause resumes every queue: a late call may have paused it again.
func (w *world) unpause() {
	for q := range w.table.QueuesAfter("") {
		if q.Paused {
			w.propose(&fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: q.Name, Paused: new(false)}}}, nil)
		}
	}
}

// unschedule deletes every schedule.
func (w *world) unschedule() {
	for s := range w.table.SchedulesAfter("") {
		w.propose(deleteSchedule(s.Name), nil)
	}
}

func (w *world) drained() bool {
	for range w.table.SchedulesAfter("") {
		return false
	}
	for t := range w.table.TasksBefore(0) {
		if !t.State.Terminal() {
			return false
		}
	}
	for _, c := range w.clients {
		if len(c.open) > 0 {
			return false
		}
	}
	return true
}
