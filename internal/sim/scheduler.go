package sim

import (
	"fmt"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/model"
)

// Schedules: the leader's part of them, as far from careful as it may be. It looks
// again before it knows what became of what it proposed, a new leader says once
// more what the last one said, and at times an item is too early, of another
// version or leaves out what is no misfire.

// springGap is when the clocks of Berlin skip an hour. Every world begins shortly
// before.
const springGap = epoch + 20*second

// fire proposes what schedules are due for.
func (w *world) fire() {
	if w.lead.fired != nil && w.chance(0.05) {
		w.proposeFire(w.lead.fired)
	}
	fire, careful := &fsmpb.Fire{}, true
	for s := range w.table.SchedulesAfter("") {
		if s.Paused {
			continue
		}
		now := w.tableTime()
		if now-s.NextFire < fsm.MisfireAfter/2 && w.chance(0.02) { // refused, as it is no misfire yet
			careful = false
			fire.Items = append(fire.Items, &fsmpb.FireItem{
				Schedule: s.Name, SpecVersion: s.Version, FireTime: s.NextFire, NextFire: w.ruleOf(s).Next(s.NextFire), Skip: true,
			})
		}
		fire.Items = append(fire.Items, w.fireItems(s, now)...)
	}
	if len(fire.Items) == 0 {
		return
	}
	if careful { // later it could be a misfire
		w.lead.fired, w.lead.firedAt = fire, w.tableTime()
	}
	w.proposeFire(fire)
}

func (w *world) proposeFire(f *fsmpb.Fire) {
	w.propose(&fsmpb.Command{Kind: &fsmpb.Command_Fire{Fire: f}}, nil)
}

func (w *world) fireItems(s *fsm.Schedule, now int64) (items []*fsmpb.FireItem) {
	rule := w.ruleOf(s)
	add := func(at, next int64, skip bool) *fsmpb.FireItem {
		item := &fsmpb.FireItem{Schedule: s.Name, SpecVersion: s.Version, FireTime: at, NextFire: next, Skip: skip}
		items = append(items, item)
		return item
	}
	at := s.NextFire
	switch {
	case !s.Planned:
		add(0, rule.Next(s.PlanFrom), false)
		return items
	case at == 0, at > now && !w.chance(0.02):
		return nil
	case w.chance(0.02):
		add(at, rule.Next(at), false).SpecVersion++
	}
	if now-at > fsm.MisfireAfter {
		if to := afterMisfires(s, rule, now); to != at {
			add(at, to, true)
			at = to
		}
	}
	for n := 0; at != 0 && n < 5 && (at <= now || n == 0); n++ {
		next := rule.Next(at)
		add(at, next, false)
		at = next
	}
	return items
}

func (w *world) ruleOf(s *fsm.Schedule) *model.Rule {
	rule := w.rules[s.Cron+s.TimeZone]
	if rule == nil {
		var err error
		if rule, err = model.ParseRule(s.Cron, s.TimeZone); err != nil {
			failf("%v", err)
		}
		w.rules[s.Cron+s.TimeZone] = rule
	}
	return rule
}

// afterMisfires returns the first time, from the schedule's next on, that may still
// make a task.
func afterMisfires(s *fsm.Schedule, rule *model.Rule, now int64) int64 {
	onTime := rule.Next(now - fsm.MisfireAfter - 1)
	n := 0
	switch s.Misfire {
	case fsm.MisfireAll:
		n = int(s.MaxMisfires) - int(s.CaughtUp)
	case fsm.MisfireLast:
		if onTime == 0 || onTime > now {
			n = 1
		}
	}
	if n <= 0 {
		return onTime
	}
	var newest []int64
	for span := minute; len(newest) < n; span *= 4 {
		from := max(now-fsm.MisfireAfter-span, s.NextFire-1)
		newest = nil
		for t := rule.Next(from); t != 0 && t < now-fsm.MisfireAfter; t = rule.Next(t) {
			newest = append(newest, t)
		}
		if from < s.NextFire {
			break
		}
	}
	return newest[max(0, len(newest)-n)]
}

// metFires counts what became of fire times.
func (w *world) metFires(f *fsmpb.Fire, r model.Result) {
	for i, item := range f.GetItems() {
		at := item.GetFireTime()
		switch late := w.model.Now()-at > fsm.MisfireAfter; {
		case r.Outcomes[i] != "ACCEPTED" || at == 0:
		case item.GetSkip():
			w.cover["misfire left out"]++
		case late:
			w.cover["misfire caught up"]++
		case at == springGap:
			w.cover["fired at the end of a gap"]++
		}
	}
}

// compareSchedules compares every schedule.
func (w *world) compareSchedules() {
	n := 0
	for s := range w.table.SchedulesAfter("") {
		n++
		if have := w.model.Schedules(); n > len(have) || have[n-1] != s.Name {
			failf("entry %d: schedule %s, the model has %v", w.index, s.Name, have)
		}
		if diff := model.DiffSchedule(scheduleOf(s), w.model.Schedule(s.Name)); diff != "" {
			failf("entry %d: schedule %s: %s (S11)", w.index, s.Name, diff)
		}
	}
	if have := w.model.Schedules(); n < len(have) {
		failf("entry %d: %d schedules, the model has %v", w.index, n, have)
	}
}

// schedule is what a client does to schedules.
func (c *client) schedule() *fsmpb.Command {
	w := c.w
	name := fmt.Sprintf("s%d", w.rng.IntN(3))
	switch p := w.rng.Float64(); {
	case p < 0.5:
		return &fsmpb.Command{Kind: &fsmpb.Command_SetSchedule{SetSchedule: c.rule(name)}}
	case p < 0.7:
		return &fsmpb.Command{Kind: &fsmpb.Command_PauseSchedule{PauseSchedule: &fsmpb.PauseSchedule{Schedule: name, Paused: w.chance(0.4)}}}
	case p < 0.8:
		return deleteSchedule(name)
	}
	return &fsmpb.Command{Kind: &fsmpb.Command_TriggerSchedule{TriggerSchedule: &fsmpb.TriggerSchedule{Schedule: name}}}
}

func deleteSchedule(name string) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_DeleteSchedule{DeleteSchedule: &fsmpb.DeleteSchedule{Schedule: name}}}
}

// rule is one of few schedules, so that the same one is said again.
func (c *client) rule(name string) *fsmpb.SetSchedule {
	w := c.w
	s := &fsmpb.SetSchedule{
		Schedule: name, Cron: []string{"@every 1s", "@every 3s", "@every 7s", "* * * * *", "30 2 * * *", "*/20 9-17 * * MON-FRI"}[w.rng.IntN(6)],
		TimeZone: "Europe/Berlin", Task: &fsmpb.TaskSpec{Queue: "a", RequestId: "of one task"}, Replace: w.chance(0.7),
	}
	s.Misfire, s.Overlap = w.cfg.rules%3, w.cfg.rules/3%3
	if s.Misfire == uint32(fsm.MisfireAll) {
		s.MaxMisfires = 1 + w.cfg.rules%4
	}
	if w.chance(0.2) {
		s.Misfire, s.Overlap = w.rng.Uint32N(3), w.rng.Uint32N(3)
	}
	if w.cfg.broadcasts && name == "s2" && s.Cron != "@every 1s" {
		c.broadcast(s.Task)
	}
	if w.cfg.unique && name == "s1" {
		s.Task.UniqueKey = "u1"
	}
	return s
}
