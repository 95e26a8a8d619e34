package cluster

import (
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/taskraft/taskraft/cluster/cron"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

const (
	maxFires         = 256 // items in one Fire
	maxFiresEach     = 32  // of them for one schedule
	transitionsAFire = 3   // task, schedule, and one that it may cancel

	// fireRetry is the pause after a Fire that was not applied or did nothing.
	fireRetry = 200 * time.Millisecond
)

// scheduler proposes what schedules are due for. It evaluates the rules and reads
// the clock; the table decides. It sleeps until the table's next fire time.
//
//	table's next fire time ──► Fire{schedule, version, time, next time}
//	         ▲                          │ compare-and-set
//	         └──────────────────────────┘
type scheduler struct {
	fires    bell            // a schedule has changed
	unusable map[string]bool // rules that cannot be evaluated here; of the goroutine
}

func (s *scheduler) init() { s.fires, s.unusable = newBell(), make(map[string]bool) }

// fireSchedules runs until the leadership ends.
func (l *reign) fireSchedules() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.fires:
		case <-l.closed:
			return
		}
		timer.Reset(l.fireDue())
	}
}

// fireDue proposes what is due now, if anything, and returns how long to sleep.
func (l *reign) fireDue() time.Duration {
	now := l.e.clock.now()
	due, wait := l.dueSchedules(now)
	fire := &fsmpb.Fire{}
	for _, s := range due {
		fire.Items = append(fire.Items, l.itemsOf(s, now)...)
		if len(fire.Items) >= maxFires {
			break
		}
	}
	if len(fire.Items) == 0 {
		return wait
	}
	cmd := &fsmpb.Command{Principal: l.principal, Kind: &fsmpb.Command_Fire{Fire: fire}}
	res, _, err := l.order(l.ctx, cmd, tie{})
	if err != nil {
		if !errors.Is(err, ErrUncertain) && l.open.Load() {
			l.e.log.Debug("schedules not fired", slog.Any("err", err))
		}
		return fireRetry
	}
	for _, o := range res.Outcomes {
		if o != fsm.FireStale && o != fsm.FireRefused && o != fsm.NoSchedule {
			return 0 // there may be more
		}
	}
	return fireRetry
}

// dueSchedules returns the schedules to look at now, and how long it is until
// the next one when there are none.
func (l *reign) dueSchedules(now int64) (due []*fsm.Schedule, wait time.Duration) {
	t := l.e.t
	t.mu.RLock()
	defer t.mu.RUnlock()
	for at, s := range t.m.SchedulesByTime() {
		switch {
		case len(l.unusable) > 0 && l.unusable[ruleKey(s)]:
			continue
		case at > now:
			return due, time.Duration(min(at-now, int64(time.Hour)))
		case len(due) == maxFires:
			return due, 0
		}
		due = append(due, s)
	}
	return due, time.Hour // a change rings
}

func ruleKey(s *fsm.Schedule) string { return s.TimeZone + "\n" + s.Cron }

// itemsOf returns what a schedule is due for at a time.
func (l *reign) itemsOf(s *fsm.Schedule, now int64) []*fsmpb.FireItem {
	rule, err := cron.Parse(s.Cron, s.TimeZone)
	if err != nil {
		l.unusable[ruleKey(s)] = true
		l.e.log.Error("schedule cannot fire", slog.String("schedule", s.Name), slog.Any("err", err))
		return nil
	}
	return fireItems(s, rule, now)
}

// fireItems works out what the table asks for: the next time of a schedule that
// has none, misfires to leave out, and each time that makes a task.
func fireItems(s *fsm.Schedule, rule *cron.Rule, now int64) (items []*fsmpb.FireItem) {
	add := func(at, next int64, skip bool) {
		items = append(items, &fsmpb.FireItem{Schedule: s.Name, SpecVersion: s.Version, FireTime: at, NextFire: next, Skip: skip})
	}
	if !s.Planned {
		add(0, nextFire(rule, s.PlanFrom), false)
		return items
	}
	at := s.NextFire
	if now-at > fsm.MisfireAfter {
		if to := afterMisfires(s, rule, now); to != at {
			add(at, to, true)
			at = to
		}
	}
	for at != 0 && at <= now && len(items) < maxFiresEach {
		next := nextFire(rule, at)
		add(at, next, false)
		at = next
	}
	return items
}

// afterMisfires returns the first time, from the schedule's next on, that may
// still make a task by its misfire policy; 0: none ever.
func afterMisfires(s *fsm.Schedule, rule *cron.Rule, now int64) int64 {
	late := now - fsm.MisfireAfter - 1 // the newest time that is a misfire
	onTime := nextFire(rule, late)
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
	if newest := rule.Latest(time.Unix(0, s.NextFire-1), time.Unix(0, late), n); len(newest) > 0 {
		return newest[0].UnixNano()
	}
	return s.NextFire // the rule of its zone has changed since: it was the only one
}

// nextFire returns the first time after another; 0: never.
func nextFire(rule *cron.Rule, after int64) int64 {
	next, ok := rule.Next(time.Unix(0, after))
	if !ok || next.Unix() > math.MaxInt64/int64(time.Second) {
		return 0
	}
	return next.UnixNano()
}
