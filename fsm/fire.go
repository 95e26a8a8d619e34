package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// fire carries out what the leader found due. Each item is a compare-and-set on
// schedule, version and fire time: of two leaders that overlap, or of an entry
// and its repeat, the second does nothing (S11).
func (m *Machine) fire(c *fsmpb.Fire) Result {
	r := Result{Outcome: Accepted, Outcomes: make([]Outcome, len(c.GetItems())), IDs: make([]uint64, len(c.GetItems()))}
	for i, it := range c.GetItems() {
		r.Outcomes[i], r.IDs[i] = m.fireOne(it)
	}
	return r
}

func (m *Machine) fireOne(it *fsmpb.FireItem) (Outcome, uint64) {
	at, next := it.GetFireTime(), it.GetNextFire()
	old, ok := m.schedules.Get(it.GetSchedule())
	switch {
	case !ok:
		return NoSchedule, 0
	case old.Paused, old.Version != it.GetSpecVersion(), old.NextFire != at && !(mutated("M16") && at == old.LastFire), old.Planned != (at != 0):
		return FireStale, 0
	case next != 0 && next <= max(at, old.PlanFrom), at > m.now:
		return FireRefused, 0
	}
	late := at != 0 && m.now-at > MisfireAfter
	if it.GetSkip() && !late || late && !it.GetSkip() && !old.catchesUp(next, m.now) {
		return FireRefused, 0
	}
	s := *old
	s.Planned, s.NextFire = true, next
	var o Outcome
	var id uint64
	switch {
	case at == 0:
		o = Accepted
	case it.GetSkip():
		s.MisfiresTotal++
		o = Accepted
	case mutated("M17") && m.now-at > 5*Second:
		o = Accepted
	default:
		s.PlanFrom = at
		s.CaughtUp++
		o, id = m.launch(&s, at)
	}
	if next == 0 || next > m.now {
		s.CaughtUp = 0
	}
	m.putSchedule(old, &s)
	return o, id
}

// catchesUp reports whether the policy lets a misfire that next follows make a task.
func (s *Schedule) catchesUp(next, now int64) bool {
	switch s.Misfire {
	case MisfireSkip:
		return false
	case MisfireAll:
		return s.CaughtUp < s.MaxMisfires
	default:
		return next == 0 || next > now
	}
}

// launch submits the task of a schedule for a nominal time (0: triggered), as
// its overlap policy allows. It notes in s what happened; s is not stored yet.
func (m *Machine) launch(s *Schedule, at int64) (Outcome, uint64) {
	open := m.fired[s.Name]
	if open.len() > 0 && s.Overlap == OverlapSkip {
		if at != 0 {
			s.OverlapsTotal++
		}
		for id := range open.from(0) {
			return ScheduleBusy, id
		}
	}
	specs := []*fsmpb.TaskSpec{s.Task}
	r := Result{Outcomes: make([]Outcome, 1), IDs: make([]uint64, 1)}
	if o := m.admissible(specs, nil, &r, &entering{m: m, strict: true}); o != Accepted {
		if at != 0 {
			s.RefusedTotal++
		}
		s.LastRefusal = o
		return o, 0
	}
	if open.len() > 0 && s.Overlap == OverlapCancelOld {
		s.cancelBelow = m.lastTask + 1
		m.cancelOld(s)
	}
	s.LastTask = m.create(s.Task, &origin{schedule: s.Name, fireTime: at})
	s.FiredTotal++
	s.LastFire = max(s.LastFire, at)
	return Accepted, s.LastTask
}

// cancelOld cancels what an overlap policy left to cancel, as far as the entry's
// budget goes; ticks go on with it. It notes in s whether all is done.
func (m *Machine) cancelOld(s *Schedule) {
	var ids []uint64
	for id := range m.fired[s.Name].from(0) {
		if id >= s.cancelBelow || len(ids) > m.budget {
			break
		}
		if t, _ := m.tasks.Get(id); !t.revoked() {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if m.budget <= 0 {
			return
		}
		t, _ := m.tasks.Get(id)
		m.revoke(m.lines[t.Queue], t, ReasonOverlapped)
	}
	s.cancelBelow = 0
}

// cancelMore goes on with cancelOld. Called by ticks.
func (m *Machine) cancelMore(name string) {
	old, _ := m.schedules.Get(name)
	s := *old
	m.cancelOld(&s)
	m.putSchedule(old, &s)
}

// triggerSchedule submits a schedule's task now; its times stay as they are.
func (m *Machine) triggerSchedule(c *fsmpb.TriggerSchedule) Result {
	old, ok := m.schedules.Get(c.GetSchedule())
	if !ok {
		return Result{Outcome: NoSchedule}
	}
	s := *old
	o, id := m.launch(&s, 0)
	m.putSchedule(old, &s)
	return Result{Outcome: o, IDs: []uint64{id}}
}
