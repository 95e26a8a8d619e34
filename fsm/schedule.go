package fsm

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Misfire says what becomes of fire times that passed by more than MisfireAfter
// while nobody led.
type Misfire uint8

// The misfire policies. Their numbers stand in the log: append, never reuse.
const (
	MisfireLast Misfire = iota // only the newest of them, unless a later time is on time
	MisfireSkip                // none
	MisfireAll                 // the newest of them, at most MaxMisfires
)

const lastMisfire = MisfireAll

// Overlap says what becomes of a fire time while a task of the schedule has not
// ended.
type Overlap uint8

// The overlap policies. Their numbers stand in the log: append, never reuse.
const (
	OverlapAllow     Overlap = iota
	OverlapSkip              // no task for this time
	OverlapCancelOld         // the others are cancelled
)

const lastOverlap = OverlapCancelOld

// Schedule is a rule that submits tasks. A *Schedule reachable from a Machine is
// frozen: an update copies it. The table keeps the rule as text: when it fires
// next the leader works out and the table stores, so that every fire time is
// decided once (S11).
type Schedule struct {
	Name        string
	Cron        string
	TimeZone    string
	Task        *fsmpb.TaskSpec // do not change
	Misfire     Misfire
	MaxMisfires uint32
	Overlap     Overlap
	Paused      bool

	Version  uint64 // counts changes of the above; never reused under one name
	Planned  bool   // NextFire is known
	NextFire int64  // when planned: the next nominal time; 0: never
	PlanFrom int64  // the next time is the first one after this
	CaughtUp uint32 // misfires caught up in a row

	CreatedAt   int64
	UpdatedAt   int64
	LastFire    int64   // the newest nominal time that made a task
	LastTask    uint64  // that task, or a triggered one
	LastRefusal Outcome // why the newest fire time that could make no task made none

	FiredTotal    uint64
	MisfiresTotal uint64 // times that misfires were left out; each may stand for many
	OverlapsTotal uint64 // fire times without a task because an earlier one had not ended
	RefusedTotal  uint64 // fire times whose task the table refused

	cancelBelow uint64 // unfinished tasks with smaller ids are to be cancelled; 0: none
}

// setSchedule makes or replaces a schedule. What it will do begins now.
func (m *Machine) setSchedule(c *fsmpb.SetSchedule) Result {
	old, exists := m.schedules.Get(c.GetSchedule())
	s := &Schedule{
		Name: c.GetSchedule(), Cron: c.GetCron(), TimeZone: c.GetTimeZone(), Task: template(c.GetTask()),
		Misfire: Misfire(c.GetMisfire()), MaxMisfires: c.GetMaxMisfires(), Overlap: Overlap(c.GetOverlap()),
		Paused: c.GetPaused(), CreatedAt: m.now,
	}
	switch {
	case exists && s.same(old):
		return Result{Outcome: Existing}
	case exists && !c.GetReplace():
		return Result{Outcome: ScheduleExists}
	case !exists && m.schedules.Len() >= MaxSchedules:
		return Result{Outcome: SchedulesFull}
	case exists:
		next := *old
		next.Cron, next.TimeZone, next.Task = s.Cron, s.TimeZone, s.Task
		next.Misfire, next.MaxMisfires, next.Overlap, next.Paused = s.Misfire, s.MaxMisfires, s.Overlap, s.Paused
		s = &next
	}
	m.plan(old, s)
	return Result{Outcome: Accepted}
}

// template is what every task of a schedule is made of: without what belongs to
// one task alone.
func template(spec *fsmpb.TaskSpec) *fsmpb.TaskSpec {
	if spec == nil {
		return new(fsmpb.TaskSpec)
	}
	if spec.RequestId != "" || spec.RunAt != 0 || len(spec.After)+len(spec.AfterItems)+len(spec.OnSuccess)+len(spec.OnDead)+len(spec.Traceparent) > 0 {
		spec = proto.CloneOf(spec)
		spec.After, spec.AfterItems, spec.AfterRun, spec.OnSuccess, spec.OnDead = nil, nil, false, nil, nil
		spec.RequestId, spec.ContentDigest, spec.RunAt = "", 0, 0
		spec.Traceparent, spec.Tracestate = nil, ""
	}
	return spec
}

// same reports whether two schedules say the same.
func (s *Schedule) same(o *Schedule) bool {
	return s.Cron == o.Cron && s.TimeZone == o.TimeZone && s.Misfire == o.Misfire && s.MaxMisfires == o.MaxMisfires &&
		s.Overlap == o.Overlap && s.Paused == o.Paused && proto.Equal(s.Task, o.Task)
}

// pauseSchedule stops a schedule or lets it go on. What would have fired in the
// meantime is no misfire: it goes on from now.
func (m *Machine) pauseSchedule(c *fsmpb.PauseSchedule) Result {
	old, ok := m.schedules.Get(c.GetSchedule())
	switch {
	case !ok:
		return Result{Outcome: NoSchedule}
	case old.Paused == c.GetPaused():
		return Result{Outcome: Duplicate}
	}
	s := *old
	s.Paused = c.GetPaused()
	m.plan(old, &s)
	return Result{Outcome: Accepted}
}

// plan stores a schedule that begins anew: what the leader worked out before, and
// any Fire on its way, no longer counts.
func (m *Machine) plan(old, s *Schedule) {
	m.lastVersion++
	s.Version, s.UpdatedAt = m.lastVersion, m.now
	s.Planned, s.NextFire, s.PlanFrom, s.CaughtUp = false, 0, m.now, 0
	m.putSchedule(old, s)
	m.emit(Event{Kind: ScheduleChanged, Name: s.Name})
}

// deleteSchedule forgets a schedule; its tasks go on.
func (m *Machine) deleteSchedule(c *fsmpb.DeleteSchedule) Result {
	old, ok := m.schedules.Get(c.GetSchedule())
	if !ok {
		return Result{Outcome: NoSchedule}
	}
	m.schedules.Delete(old.Name)
	m.indexSchedule(old, nil)
	m.emit(Event{Kind: ScheduleChanged, Name: old.Name})
	return Result{Outcome: Accepted}
}

// putSchedule makes s the record of its schedule in place of old (nil: a new one).
func (m *Machine) putSchedule(old, s *Schedule) {
	m.budget--
	m.schedules.Set(s.Name, s)
	m.indexSchedule(old, s)
}

// indexSchedule brings the indexes from old to s; nil: absent.
func (m *Machine) indexSchedule(old, s *Schedule) {
	var was, is, wasCancel, isCancel int64
	if old != nil {
		was, wasCancel = old.planAt(), old.cancelAt()
	}
	if s != nil {
		is, isCancel = s.planAt(), s.cancelAt()
	}
	if was != is {
		if was != 0 {
			m.fires.Delete(nameItem{at: was, name: old.Name})
		}
		if is != 0 {
			m.fires.Set(nameItem{at: is, name: s.Name})
		}
	}
	if wasCancel != isCancel {
		m.setNameDue(dueSchedule, cmp.Or(s, old).Name, wasCancel, isCancel)
	}
}

// planAt is when the leader must look at the schedule: at once, as 1, when its
// next time is not known; 0: never.
func (s *Schedule) planAt() int64 {
	switch {
	case s.Paused:
		return 0
	case !s.Planned:
		return 1
	default:
		return s.NextFire
	}
}

// cancelAt is 1 while tasks are left to cancel: ticks go on with it.
func (s *Schedule) cancelAt() int64 { return int64(min(s.cancelBelow, 1)) }

// indexFired keeps which tasks of a schedule have not ended.
func (m *Machine) indexFired(old, t *Task) {
	name := t.schedule()
	was, is := old != &absent && !old.State.Terminal(), !t.State.Terminal()
	if name == "" || was == is {
		return
	}
	ids := m.fired[name]
	if is {
		if ids == nil {
			ids = new(idSet)
			m.fired[name] = ids
		}
		ids.add(t.ID)
		return
	}
	ids.remove(t.ID)
	if ids.len() == 0 {
		delete(m.fired, name)
	}
}
