package model

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// misfireAfter is how late a fire time may be that counts as on time.
const misfireAfter = 30 * second

// Schedule is a schedule's record: which of its nominal times are decided, and
// what was decided last.
type Schedule struct {
	Version uint64
	Paused  bool
	Planned bool  // the leader has said when it fires next
	Next    int64 // that time; 0: never
	From    int64 // what is decided goes up to this time
	InARow  uint32

	LastFire int64
	LastTask uint64

	Fired, LeftOut, Overlapped, Refused uint64

	set  *fsmpb.SetSchedule
	rule *Rule
}

// Breach is what a log must never say: it breaks an invariant, whatever the table
// makes of it.
type Breach struct{ ID, Text string }

func (b *Breach) Error() string { return fmt.Sprintf("%s (%s)", b.Text, b.ID) }

func breach(id, format string, args ...any) { panic(&Breach{id, fmt.Sprintf(format, args...)}) }

// setSchedule makes or replaces a schedule. What it will do begins now.
func (m *Table) setSchedule(c *fsmpb.SetSchedule) Result {
	set := proto.CloneOf(c)
	set.Replace = false
	if set.Task == nil {
		set.Task = new(fsmpb.TaskSpec)
	}
	bare := set.Task // what belongs to one task alone is not every task's
	bare.RequestId, bare.ContentDigest, bare.RunAt, bare.Traceparent, bare.Tracestate = "", 0, 0, nil, ""
	bare.After, bare.AfterItems, bare.AfterRun, bare.OnSuccess, bare.OnDead = nil, nil, false, nil, nil
	s := m.schedules[c.GetSchedule()]
	switch {
	case s != nil && proto.Equal(s.set, set):
		return Result{Outcome: "EXISTING"}
	case s != nil && !c.GetReplace():
		return Result{Outcome: "SCHEDULE_EXISTS"}
	case s == nil:
		s = new(Schedule)
		m.schedules[c.GetSchedule()] = s
	}
	rule, err := ParseRule(c.GetCron(), c.GetTimeZone())
	if err != nil {
		panic(gap(err.Error()))
	}
	s.set, s.rule = set, rule
	m.begin(s)
	return Result{Outcome: "ACCEPTED"}
}

// begin lets a schedule start anew from now on.
func (m *Table) begin(s *Schedule) {
	m.lastVersion++
	s.Version, s.Paused = m.lastVersion, s.set.GetPaused()
	s.Planned, s.Next, s.From, s.InARow = false, 0, m.now, 0
}

// pauseSchedule stops a schedule or lets it go on from now: while it is paused no
// time is missed.
func (m *Table) pauseSchedule(c *fsmpb.PauseSchedule) Result {
	s := m.schedules[c.GetSchedule()]
	switch {
	case s == nil:
		return Result{Outcome: "NO_SCHEDULE"}
	case s.Paused == c.GetPaused():
		return Result{Outcome: "DUPLICATE"}
	}
	s.set.Paused = c.GetPaused()
	m.begin(s)
	return Result{Outcome: "ACCEPTED"}
}

func (m *Table) deleteSchedule(c *fsmpb.DeleteSchedule) Result {
	if m.schedules[c.GetSchedule()] == nil {
		return Result{Outcome: "NO_SCHEDULE"}
	}
	delete(m.schedules, c.GetSchedule())
	return Result{Outcome: "ACCEPTED"}
}

// triggerSchedule submits the task now; no nominal time is touched.
func (m *Table) triggerSchedule(c *fsmpb.TriggerSchedule) Result {
	s := m.schedules[c.GetSchedule()]
	if s == nil {
		return Result{Outcome: "NO_SCHEDULE"}
	}
	outcome, id := m.launch(s, 0)
	return Result{Outcome: outcome, IDs: []uint64{id}}
}

// fire decides nominal times: each at most once (S11), since it must be the one
// that the table waits for.
func (m *Table) fire(c *fsmpb.Fire) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, i := range c.GetItems() {
		outcome, id := m.fireOne(m.schedules[i.GetSchedule()], i)
		r.Outcomes, r.IDs = append(r.Outcomes, outcome), append(r.IDs, id)
	}
	return r
}

func (m *Table) fireOne(s *Schedule, i *fsmpb.FireItem) (outcome string, id uint64) {
	at, next, skip := i.GetFireTime(), i.GetNextFire(), i.GetSkip()
	switch {
	case s == nil:
		return "NO_SCHEDULE", 0
	case s.Paused || s.Version != i.GetSpecVersion() || s.Planned != (at != 0) || s.Next != at:
		return "FIRE_STALE", 0
	case at > m.now || next != 0 && next <= max(at, s.From):
		return "FIRE_REFUSED", 0
	}
	late := at != 0 && at < m.now-misfireAfter
	if skip && !late || late && !skip && !s.catchesUp(next, m.now) {
		return "FIRE_REFUSED", 0
	}
	m.nominal(s, i)
	s.Planned, s.Next, outcome = true, next, "ACCEPTED"
	switch {
	case skip:
		s.LeftOut++
	case at != 0:
		s.From = at
		s.InARow++
		outcome, id = m.launch(s, at)
	}
	if next == 0 || next > m.now {
		s.InARow = 0
	}
	return outcome, id
}

// catchesUp says whether the policy lets a misfire make a task.
func (s *Schedule) catchesUp(next, now int64) bool {
	switch s.set.GetMisfire() {
	case misfireSkip:
		return false
	case misfireAll:
		return s.InARow < s.set.GetMaxMisfires()
	default: // the newest, unless a later time is on time
		return next == 0 || next > now
	}
}

const (
	misfireSkip, misfireAll = 1, 2
	overlapSkip, overlapOld = 1, 2
)

// nominal holds what the leader decided to the rule: no time is passed over that
// should have made a task, and none makes one that the rule does not name (S11).
func (m *Table) nominal(s *Schedule, i *fsmpb.FireItem) {
	at, next := i.GetFireTime(), i.GetNextFire()
	say := func(what string, t int64) {
		breach("S11", "schedule %s (%s in %q), after %v: %s %v", i.GetSchedule(), s.set.GetCron(), s.set.GetTimeZone(),
			time.Unix(0, max(at, s.From)).UTC(), what, time.Unix(0, t).UTC())
	}
	most := 0 // how many misfires may still make a task
	if s.set.GetMisfire() == misfireAll {
		most = int(s.set.GetMaxMisfires()) - int(s.InARow)
	}
	if !i.GetSkip() {
		if want := s.rule.Next(max(at, s.From)); next != want {
			say(fmt.Sprintf("it goes on with %v, the rule says", time.Unix(0, next).UTC()), want)
		}
		// The leader counts before it proposes: by then others may have become misfires.
		late := at != 0 && at < m.now-misfireAfter
		if late && s.set.GetMisfire() == misfireAll && s.misfires(at, m.now-2*misfireAfter, most+1) > most {
			say("newer misfires come first than", at)
		}
		return
	}
	onTime := s.rule.Next(m.now - misfireAfter - 1)
	switch {
	case next != 0 && s.rule.Next(next-1) != next:
		say("the rule does not name", next)
	case onTime != 0 && (next == 0 || next > onTime):
		say("left out, and no misfire", onTime)
	case s.set.GetMisfire() == misfireAll && s.misfires(next, m.now-misfireAfter, most) < most:
		say("left out too much; it goes on with", next)
	case s.set.GetMisfire() == 0 && (next == 0 || next > m.now):
		say("the newest misfire is left out before", next)
	}
}

// misfires counts the fire times from one on that are before another, up to most.
func (s *Schedule) misfires(from, before int64, most int) (n int) {
	for t := from; t != 0 && t < before && n < most; t = s.rule.Next(t) {
		n++
	}
	return n
}

// launch submits the schedule's task for a nominal time (0: triggered), unless an
// earlier one or its unique key is in the way.
func (m *Table) launch(s *Schedule, at int64) (outcome string, id uint64) {
	if at != 0 && at <= s.LastFire {
		breach("S11", "schedule %s fires for %v after %v", s.set.GetSchedule(), at, s.LastFire)
	}
	open := m.sorted(func(t *Task) bool { return t.Schedule == s.set.GetSchedule() && !t.Terminal() }, byID)
	if len(open) > 0 && s.set.GetOverlap() == overlapSkip {
		if at != 0 {
			s.Overlapped++
		}
		return "SCHEDULE_BUSY", open[0].ID
	}
	if m.holder(s.set.GetTask().GetUniqueKey()) != nil {
		if at != 0 {
			s.Refused++
		}
		return "UNIQUE_KEY_TAKEN", 0
	}
	if s.set.GetOverlap() == overlapOld {
		for _, t := range open {
			m.cancelOne(t.ID, "overlapped")
		}
	}
	t := m.enter(s.set.GetTask())
	t.Schedule, t.FireTime = s.set.GetSchedule(), at
	s.LastTask, s.LastFire = t.ID, max(s.LastFire, at)
	s.Fired++
	m.admit(t)
	return "ACCEPTED", t.ID
}
