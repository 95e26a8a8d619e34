package metrics

import (
	"context"
	"strings"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
)

// maxQueues are told apart, by name; the rest is added up.
const maxQueues = 1000

// perQueue is one series for each queue.
var perQueue = []struct {
	name, help string
	counter    bool
	value      func(q *fsm.Queue, now int64) float64
}{
	{"queue_submitted_total", "Tasks ever submitted (table).", true, func(q *fsm.Queue, _ int64) float64 { return float64(q.SubmittedTotal) }},
	{"queue_trimmed_total", "Records of ended tasks removed by retention (table).", true, func(q *fsm.Queue, _ int64) float64 { return float64(q.TrimmedTotal) }},
	{"queue_paused", "1 while the queue is paused (table).", false, func(q *fsm.Queue, _ int64) float64 { return truth(q.Paused) }},
	{"queue_held", "1 while a pause or a limit lets nothing of the queue start (table).", false, func(q *fsm.Queue, _ int64) float64 { return truth(q.HeldBy != fsm.NotHeld) }},
	{"queue_oldest_ready_seconds", "Age of the oldest task that could start (table).", false, func(q *fsm.Queue, now int64) float64 {
		if q.OldestReadyAt == 0 {
			return 0
		}
		return float64(max(now-q.OldestReadyAt, 0)) / 1e9
	}},
}

// table tells what this master's table holds.
func (c *collector) table(s sink) {
	var queues []*fsm.Queue
	var tasks, sessions, count, schedules int
	slots, held := 0, 0
	now := c.node.Now()
	// A stale read of a running node cannot fail; of a stopped one there is nothing.
	_, _ = c.node.Read(context.Background(), cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		tasks, sessions, count = m.Counts()
		for q := range m.QueuesAfter("") {
			queues = append(queues, q)
		}
		for x := range m.Sessions() {
			slots += x.Slots
			held += x.Held
		}
		for range m.SchedulesAfter("") {
			schedules++
		}
		_, _, at := m.Position()
		now = max(now, at)
	})
	s.gauge("tasks", "Records in the table (table).", float64(tasks))
	s.gauge("queues", "Queues (table).", float64(count))
	s.gauge("sessions", "Sessions of workers (table).", float64(sessions))
	s.gauge("schedules", "Schedules (table).", float64(schedules))
	s.gauge("session_slots", "Slots of all sessions (table).", float64(slots))
	s.gauge("session_held", "Attempts that sessions hold (table).", float64(held))
	if len(queues) > maxQueues {
		queues = append(queues[:maxQueues], sum(queues[maxQueues:]))
	}
	for _, q := range queues {
		for state := fsm.Scheduled; state <= fsm.Cancelled; state++ {
			s.gauge("queue_tasks", "Tasks by state (table).", float64(q.Counts[state]), "queue", q.Name, "state", strings.ToLower(state.String()))
		}
		for _, x := range perQueue {
			make := s.gauge
			if x.counter {
				make = s.counter
			}
			make(x.name, x.help, x.value(q, now), "queue", q.Name)
		}
	}
}

// sum is what many queues have together.
func sum(queues []*fsm.Queue) *fsm.Queue {
	all := &fsm.Queue{Name: cluster.Other}
	for _, q := range queues {
		for state, n := range q.Counts {
			all.Counts[state] += n
		}
		all.SubmittedTotal += q.SubmittedTotal
		all.TrimmedTotal += q.TrimmedTotal
		if q.OldestReadyAt != 0 && (all.OldestReadyAt == 0 || q.OldestReadyAt < all.OldestReadyAt) {
			all.OldestReadyAt = q.OldestReadyAt
		}
	}
	return all
}

// worked tells what became of tasks while this node led.
func (c *collector) worked(s sink) {
	var all []cluster.Worked
	c.node.Worked(func(w *cluster.Worked) {
		x := *w
		x.Ended = make(map[string]*[fsm.Cancelled + 1]uint64, len(w.Ended))
		for kind, states := range w.Ended {
			n := *states
			x.Ended[kind] = &n
		}
		all = append(all, x)
	})
	for i := range all {
		w := &all[i]
		s.histogram("task_wait_seconds", "From when an attempt could start to its start (leader).", w.Wait, "queue", w.Queue)
		s.histogram("task_run_seconds", "Length of attempts that ended (leader).", w.Run, "queue", w.Queue)
		s.histogram("task_total_seconds", "From submit to the end of the task (leader).", w.Total, "queue", w.Queue)
		for kind, states := range w.Ended {
			for _, state := range []fsm.State{fsm.Succeeded, fsm.Dead, fsm.Cancelled} {
				s.counter("tasks_ended_total", "Tasks that ended, by kind and state (leader).", float64(states[state]),
					"queue", w.Queue, "kind", kind, "state", strings.ToLower(state.String()))
			}
		}
	}
}
