package rpc

import (
	"encoding/base64"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/cluster/cron"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// The policies of the API by the table's numbers, and back.
var (
	misfires = map[taskraftv1.MisfirePolicy]fsm.Misfire{
		taskraftv1.MisfirePolicy_MISFIRE_POLICY_UNSPECIFIED: fsm.MisfireLast,
		taskraftv1.MisfirePolicy_MISFIRE_LAST:               fsm.MisfireLast,
		taskraftv1.MisfirePolicy_MISFIRE_SKIP:               fsm.MisfireSkip,
		taskraftv1.MisfirePolicy_MISFIRE_ALL:                fsm.MisfireAll,
	}
	overlaps = map[taskraftv1.OverlapPolicy]fsm.Overlap{
		taskraftv1.OverlapPolicy_OVERLAP_POLICY_UNSPECIFIED: fsm.OverlapAllow,
		taskraftv1.OverlapPolicy_OVERLAP_ALLOW:              fsm.OverlapAllow,
		taskraftv1.OverlapPolicy_OVERLAP_SKIP:               fsm.OverlapSkip,
		taskraftv1.OverlapPolicy_OVERLAP_CANCEL_OLD:         fsm.OverlapCancelOld,
	}
	misfirePolicies = [...]taskraftv1.MisfirePolicy{
		fsm.MisfireLast: taskraftv1.MisfirePolicy_MISFIRE_LAST,
		fsm.MisfireSkip: taskraftv1.MisfirePolicy_MISFIRE_SKIP,
		fsm.MisfireAll:  taskraftv1.MisfirePolicy_MISFIRE_ALL,
	}
	overlapPolicies = [...]taskraftv1.OverlapPolicy{
		fsm.OverlapAllow:     taskraftv1.OverlapPolicy_OVERLAP_ALLOW,
		fsm.OverlapSkip:      taskraftv1.OverlapPolicy_OVERLAP_SKIP,
		fsm.OverlapCancelOld: taskraftv1.OverlapPolicy_OVERLAP_CANCEL_OLD,
	}
)

// scheduleSpec checks what a schedule says and turns it into the log's command.
func (s *Server) scheduleSpec(v *violations, in *taskraftv1.ScheduleSpec) *fsmpb.SetSchedule {
	if in == nil {
		v.add("spec", "missing")
		return &fsmpb.SetSchedule{}
	}
	misfire, known := misfires[in.GetMisfire()]
	if !known {
		v.add("spec.misfire", "unknown value %d", in.GetMisfire())
	}
	overlap, known := overlaps[in.GetOverlap()]
	if !known {
		v.add("spec.overlap", "unknown value %d", in.GetOverlap())
	}
	out := &fsmpb.SetSchedule{
		Cron: in.GetCron(), TimeZone: in.GetTimeZone(), Misfire: uint32(misfire), Overlap: uint32(overlap),
		MaxMisfires: v.maxMisfires(in.GetMaxMisfires(), misfire),
	}
	if in.GetTask() == nil {
		v.add("spec.task", "missing")
	} else {
		out.Task = s.spec(v, "spec.task.", in.GetTask())
	}
	if _, err := cron.Zone(out.TimeZone); err != nil {
		v.add("spec.time_zone", "%v", err)
	}
	if _, err := cron.Parse(out.Cron, ""); err != nil {
		v.add("spec.cron", "%v", err)
	}
	if out.Task.GetRunAt() != 0 {
		v.add("spec.task.run_at", "the schedule says when: want delay or nothing")
	}
	if out.Task.GetRequestId() != "" {
		v.add("spec.task.request_id", "schedule and time identify each task: want none")
	}
	if t := out.Task; len(t.GetAfter())+len(t.GetAfterItems()) > 0 {
		v.add("spec.task.after", "a schedule's task waits for nothing else")
	}
	if t := out.Task; len(t.GetOnSuccess())+len(t.GetOnDead()) > 0 {
		v.add("spec.task.on_success", "a schedule's task has no follow-ups: have its worker send them with the completion")
	}
	return out
}

func (v *violations) maxMisfires(n int32, policy fsm.Misfire) uint32 {
	switch {
	case policy != fsm.MisfireAll && n != 0:
		v.add("spec.max_misfires", "got %d without MISFIRE_ALL", n)
	case policy == fsm.MisfireAll && n == 0:
		return defaultMaxMisfires
	case n < 0 || n > fsm.MaxMisfires:
		v.add("spec.max_misfires", "got %d, want 1 to %d", n, fsm.MaxMisfires)
	}
	return uint32(max(n, 0))
}

// namePage reads a page token that is the last name seen.
func (v *violations) namePage(token string) string {
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || (len(after) > 0 && !queueName.Match(after)) {
		v.add("page_token", "not a token of this list: start again without one")
	}
	return string(after)
}

// neverFires is the warning for a rule without a time to come.
func neverFires(set *fsmpb.SetSchedule) string {
	rule, err := cron.Parse(set.GetCron(), set.GetTimeZone())
	if err != nil {
		return ""
	}
	if _, ok := rule.Next(time.Now()); !ok {
		return fmt.Sprintf("%s never fires in the next %d years", rule, cron.Horizon)
	}
	return ""
}

// schedule converts a record, with its next n fire times.
func schedule(c *fsm.Schedule, n int) *taskraftv1.Schedule {
	if c == nil {
		return nil
	}
	out := &taskraftv1.Schedule{
		Name: c.Name, Paused: c.Paused, Version: c.Version, NextTimes: nextTimes(c, n),
		Spec: &taskraftv1.ScheduleSpec{
			Cron: c.Cron, TimeZone: c.TimeZone, Task: scheduledTask(c.Task),
			Misfire: misfirePolicies[c.Misfire], MaxMisfires: int32(c.MaxMisfires), Overlap: overlapPolicies[c.Overlap],
		},
		LastTime: timestamp(c.LastFire), LastTask: c.LastTask,
		CreateTime: timestamp(c.CreatedAt), UpdateTime: timestamp(c.UpdatedAt),
		FiredTotal: c.FiredTotal, MisfiresTotal: c.MisfiresTotal, OverlapsTotal: c.OverlapsTotal, RefusedTotal: c.RefusedTotal,
	}
	if c.LastRefusal != fsm.OutcomeNone {
		out.LastRefusal = c.LastRefusal.String()
	}
	return out
}

// nextTimes are the next n nominal times: first the table's, then what the rule
// says follows.
func nextTimes(c *fsm.Schedule, n int) []*timestamppb.Timestamp {
	if c.Paused || c.Planned && c.NextFire == 0 {
		return nil
	}
	rule, err := cron.Parse(c.Cron, c.TimeZone)
	if err != nil {
		return nil
	}
	var out []*timestamppb.Timestamp
	from := c.PlanFrom
	if c.Planned {
		out, from = append(out, timestamp(c.NextFire)), c.NextFire
	}
	for _, at := range rule.Upcoming(time.Unix(0, from), n-len(out)) {
		out = append(out, timestamppb.New(at))
	}
	return out
}

// scheduledTask converts the template as it was given: what it leaves open the
// queue decides when it fires.
func scheduledTask(t *fsmpb.TaskSpec) *taskraftv1.TaskSpec {
	out := &taskraftv1.TaskSpec{
		Queue: t.GetQueue(), Kind: t.GetKind(), Payload: t.GetPayload(), ContentType: t.GetContentType(), Priority: t.Priority,
	}
	if t.GetDelay() != 0 {
		out.Start = &taskraftv1.TaskSpec_Delay{Delay: duration(t.GetDelay())}
	}
	if t.Timeout != nil {
		out.Timeout = duration(t.GetTimeout())
	}
	if t.MaxAttempts != nil {
		out.MaxAttempts = new(int32(t.GetMaxAttempts()))
	}
	out.Backoff = backoff(t.BackoffBase, t.BackoffMax)
	if t.GetExpiresIn() != 0 {
		out.ExpiresIn = duration(t.GetExpiresIn())
	}
	if t.Retain != nil {
		out.Retain = duration(t.GetRetain())
	}
	out.ConcurrencyKey = t.GetConcurrencyKey()
	if len(t.GetRequire()) > 0 {
		out.Require = make(map[string]string, len(t.GetRequire()))
	}
	for _, label := range t.GetRequire() {
		out.Require[label.GetKey()] = label.GetValue()
	}
	return out
}
