package fsm

import (
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// serve sets the session's queues: no name twice, weights ≥ 1.
func (m *Machine) serve(s *session, queues []*fsmpb.QueueWeight) {
	seen := make(map[string]bool, len(queues))
	served := make([]QueueWeight, 0, len(queues))
	for _, q := range queues {
		name := queueName(q.GetQueue())
		if !seen[name] {
			seen[name] = true
			served = append(served, QueueWeight{name, max(q.GetWeight(), 1)})
		}
	}
	rec := m.editSession(s)
	old := rec.Queues
	rec.Queues = served
	s.lines = make([]*line, len(served))
	s.weigh()
	rec.carryOver(old, s.weighted)
}

// weigh finds out whether the queues' weights choose between them.
func (s *session) weigh() {
	s.weighted = slices.ContainsFunc(s.rec.Queues, func(q QueueWeight) bool { return q.Weight != s.rec.Queues[0].Weight })
}

// carryOver keeps how far each queue was served when the queues change. A new
// one starts where all are.
func (rec *sessionRecord) carryOver(old []QueueWeight, weighted bool) {
	was := rec.served
	rec.served = nil
	if !weighted {
		rec.servedAll = 0
		return
	}
	rec.served = make([]uint64, len(rec.Queues))
	for i, q := range rec.Queues {
		j := slices.IndexFunc(old, func(o QueueWeight) bool { return o.Queue == q.Queue })
		if j >= 0 && j < len(was) {
			rec.served[i] = was[j]
		}
	}
}
