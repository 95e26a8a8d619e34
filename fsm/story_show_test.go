package fsm

import (
	"fmt"
	"strings"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// show prints a part of the table: "show tasks", "show task 3", "show queue q",
// "show session w01", "show due".
func (s *story) show(words []string) {
	switch words[0] {
	case "tasks":
		var all []*Task
		for t := range s.m.TasksBefore(0) {
			all = append([]*Task{t}, all...)
		}
		for _, t := range all {
			s.printf("%s", s.taskText(t))
		}
	case "task":
		s.showTask(s.number(words[1]))
	case "queue":
		s.showQueue(words[1])
	case "session":
		ses := s.m.Session(s.session(words[1]))
		if ses == nil {
			s.printf("none")
			return
		}
		beats := ""
		if ses.Beats {
			beats = " beats"
		}
		if ses.Drained {
			beats += " drained"
		}
		s.printf("session %d of %s/%s slots=%d held=%d assigned=%d draining=%v clearing=%v ending=%q assignable=%d%s", ses.ID, ses.Worker, ses.Boot,
			ses.Slots, ses.Held, ses.AssignedTotal, ses.Draining, ses.Clearing, ses.Ending, s.m.Assignable(ses.ID, MaxSlots), beats)
	case "batch":
		s.showBatch(s.number(words[1]))
	case "sweeps":
		for c := range s.m.Sweeps() {
			s.printf("sweep %d matched=%d cancelled=%d ended=%d left=%d done=%v", c.ID, c.Matched, c.Cancelled, c.Ended, c.Left, c.FinishedAt != 0)
		}
	case "find":
		var ids []uint64
		for t := range s.m.Find(s.options(words[1:]).filter(), 0) {
			ids = append(ids, t.ID)
		}
		s.printf("found %v", ids)
	case "dead":
		for g := range s.m.DeadGroups(&fsmpb.RetryDead{}, 0) {
			s.printf("group %s/%s %q count=%d first=%s last=%s example=%d", g.Queue, g.Kind, g.Error, g.Count, s.clock(g.FirstAt), s.clock(g.LastAt), g.Example)
		}
	case "pushes":
		for p := range s.m.Pushes() {
			s.printf("%s worker=%q fixed=%v", p.Addr, p.Worker, p.Fixed)
		}
	case "broadcast":
		s.showBroadcast(s.number(words[1]))
	case "worker":
		w := s.m.Worker(words[1])
		if w == nil {
			s.printf("none")
			return
		}
		s.printf("worker %s/%s seen=%s drained=%v", w.Name, w.Boot, s.clock(w.SeenAt), w.Drained)
		if ses := w.Session; ses != nil {
			s.printf("  session %d held=%d assigned=%d completed=%d failed=%d", ses.ID, ses.Held, ses.AssignedTotal, ses.CompletedTotal, ses.FailedTotal)
		}
	case "due":
		if len(words) > 1 {
			s.printf("next due %s, sparing until %s", s.clock(s.m.NextDueSparing(epochStart+s.duration(words[1]))), words[1])
			return
		}
		s.printf("next due %s", s.clock(s.m.NextDue()))
	case "counts":
		tasks, sessions, queues := s.m.Counts()
		s.printf("tasks=%d sessions=%d queues=%d workers=%d requests=%d clients=%d level=%d", tasks, sessions, queues,
			s.m.workers.Len(), s.m.requests.Len(), s.m.clients.Len(), s.m.FeatureLevel())
	case "schedule":
		s.showSchedule(words[1])
	default:
		s.Fatalf("show what? %v", words)
	}
}

func (s *story) showBroadcast(id uint64) {
	t, _ := s.m.Task(id)
	if t == nil || t.broadcast() == nil {
		s.printf("no broadcast")
		return
	}
	b := t.broadcast()
	s.printf("broadcast %d %s %q targets=%d acked=%d failed=%d until=%s audience=%v sweep=%d/%d generation=%d %s", id, t.State, t.Reason, b.Targets, b.Acked,
		b.Failed, s.clock(b.Until), b.Audience, b.Pursuit, b.Pursued, t.Generation, t.Error)
	for target := range s.m.Targets(id, 0) {
		s.printf("  %s: %s", target.target().Worker, s.taskText(target))
	}
}

func (s *story) showTask(id uint64) {
	t, known := s.m.Task(id)
	if t == nil {
		s.printf("task %d: none, known=%v", id, known)
		return
	}
	s.printf("%s", s.taskText(t))
	for _, e := range t.Ended {
		s.printf("  ended #%d %s/%s %s verb=%d at %s %s", e.Fence, e.Worker, e.Boot, e.Cause, e.Verb, s.clock(e.At), e.Error)
	}
	for _, p := range t.Superseded() {
		s.printf("  superseded #%d %s %s %q truncated=%v at %s", p.Fence, p.Worker, p.Outcome, p.Result, p.Truncated, s.clock(p.At))
	}
}

func (s *story) taskText(t *Task) string {
	var b strings.Builder
	fmt.Fprintf(&b, "task %d %s queue=%s attempts=%d failures=%d crashes=%d/%d eligible=%s", t.ID, t.State, t.Queue,
		t.Attempts, t.Failures, t.Crashes, t.SoloCrashes, s.clock(t.EligibleAt))
	if t.Generation > 1 {
		fmt.Fprintf(&b, " generation=%d", t.Generation)
	}
	if x := t.Extra; x != nil && len(x.After)+len(x.OnSuccess)+len(x.OnDead)+int(x.Batch|x.Follows|x.FollowsBatch) > 0 {
		fmt.Fprintf(&b, " kind=%s", t.Kind)
		for _, p := range x.After {
			fmt.Fprintf(&b, " after=%d", p.Task)
		}
		if x.Waiting {
			fmt.Fprintf(&b, " waits=%d", s.m.Awaits(t.ID))
		}
		for _, n := range []struct {
			name string
			id   uint64
		}{{"batch", x.Batch}, {"follows", x.Follows}, {"follows_batch", x.FollowsBatch}} {
			if n.id != 0 {
				fmt.Fprintf(&b, " %s=%d", n.name, n.id)
			}
		}
	}
	if t.Priority != 0 {
		fmt.Fprintf(&b, " priority=%d", t.Priority)
	}
	if t.Fence != 0 {
		fmt.Fprintf(&b, " fence=%d worker=%s/%s session=%d deadline=%s", t.Fence, t.Worker, t.Boot, t.Session, s.clock(t.Deadline))
		if t.SelfFence {
			b.WriteString(" self_fence")
		}
	}
	if x := t.Extra; x != nil && x.Schedule != "" {
		fmt.Fprintf(&b, " schedule=%s@%s", x.Schedule, s.clock(x.FireTime))
	}
	if x := t.Extra; x != nil && x.Trace != nil {
		fmt.Fprintf(&b, " trace=%s/%s", x.Trace.Parent, x.Trace.State)
	}
	if t.Redeemable {
		b.WriteString(" redeemable")
	}
	if t.Solo {
		b.WriteString(" solo")
	}
	if t.Reason != "" {
		fmt.Fprintf(&b, " reason=%q", t.Reason)
	}
	if t.FinishedAt != 0 {
		fmt.Fprintf(&b, " finished=%s", s.clock(t.FinishedAt))
	}
	if len(t.Result) > 0 {
		fmt.Fprintf(&b, " result=%q", t.Result)
	}
	if t.Error != "" {
		fmt.Fprintf(&b, " error=%q", t.Error)
	}
	return b.String()
}

func (s *story) showBatch(id uint64) {
	b := s.m.Batch(id)
	if b == nil {
		s.printf("none")
		return
	}
	s.printf("batch %d %q first=%d total=%d committed=%s finished=%s cancelled=%s %s", b.ID, b.Name, b.First, b.Total,
		s.clock(b.CommittedAt), s.clock(b.FinishedAt), s.clock(b.CancelledAt), b.Reason)
	for st := Scheduled; st <= Cancelled; st++ {
		if b.Counts[st] > 0 {
			s.printf("  %s %d", st, b.Counts[st])
		}
	}
}

func (s *story) showSchedule(name string) {
	c := s.m.Schedule(name)
	if c == nil {
		s.printf("none")
		return
	}
	next := "not known"
	if c.Planned {
		next = s.clock(c.NextFire)
	}
	s.printf("schedule %s version=%d paused=%v next=%s after=%s last=%s last_task=%d fired=%d misfires=%d overlaps=%d refused=%d %s", c.Name,
		c.Version, c.Paused, next, s.clock(c.PlanFrom), s.clock(c.LastFire), c.LastTask, c.FiredTotal, c.MisfiresTotal, c.OverlapsTotal,
		c.RefusedTotal, c.LastRefusal)
}

func (s *story) showQueue(name string) {
	q := s.m.Queue(name)
	if q == nil {
		s.printf("none")
		return
	}
	s.printf("queue %s paused=%v submitted=%d trimmed=%d terminal_bytes=%d oldest_ready=%s unfinished=%d", q.Name, q.Paused,
		q.SubmittedTotal, q.TrimmedTotal, q.TerminalBytes, s.clock(q.OldestReadyAt), q.Unfinished())
	if d := s.m.Demand(name); q.HeldBy != NotHeld || int64(min(d.Ready, d.Room)) != q.Counts[Ready] {
		s.printf("  held by %q, %d could start", q.HeldBy, min(d.Ready, d.Room))
	}
	for st := Scheduled; st <= Cancelled; st++ {
		if q.Counts[st] > 0 {
			s.printf("  %s %d", st, q.Counts[st])
		}
	}
}
