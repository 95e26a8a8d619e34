package clustersim

import (
	"bytes"
	"sync"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/sim"
)

// journal is what all masters applied and what clients were told.
type journal struct {
	w  *world
	mu sync.Mutex

	log     map[uint64]*record
	last    uint64
	reigns  map[uint64]*reign // by term
	ops     []checker.Op
	acked   []uint64               // tasks whose submit was acknowledged
	ended   map[uint64]end         // tasks whose completion was accepted
	beats   map[uint64][]time.Time // heartbeats of a session that were answered, by their sending
	expired []expiry
}

// record is an entry as the first master applied it.
type record struct {
	checker.Entry
	hash uint64
}

// reign is a term of a leader.
type reign struct {
	by    string    // who acknowledged something in it
	began time.Time // its first entry was applied
}

type end struct {
	fence  uint64
	result string
}

// expiry is the end of a session that was silent.
type expiry struct {
	session, term uint64
	at            time.Time // the first master applied it
}

func newJournal(w *world) *journal {
	return &journal{w: w, log: map[uint64]*record{}, reigns: map[uint64]*reign{}, ended: map[uint64]end{}, beats: map[uint64][]time.Time{}}
}

// applied compares an entry with what other masters, or this one before, did with it.
func (j *journal) applied(m *master, l *life, e cluster.AppliedEntry) {
	if l.disk.ended() {
		return // what a dead process does
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if l.index != 0 && e.Index > l.index+4 {
		j.w.met("snapshot installed")
	}
	if l.index == 0 && e.Index > 16 {
		j.w.met("table read from a snapshot")
	}
	l.index = e.Index
	if old := j.log[e.Index]; old != nil {
		j.compare(m, old, e)
		return
	}
	r := &record{Entry: checker.Entry{Index: e.Index, Term: e.Term, Entry: bytes.Clone(e.Data)}, hash: e.Hash}
	j.log[e.Index], j.last = r, max(j.last, e.Index)
	if e.Done == nil {
		return
	}
	r.NotLeader = e.Done.NotLeader
	if r.NotLeader {
		j.w.met("entry of another term's leader")
	}
	for i := range e.Done.Results {
		r.Results = append(r.Results, sim.ResultOf(&e.Done.Results[i]))
	}
	for i := range e.Done.Events {
		r.Events = append(r.Events, eventOf(&e.Done.Events[i]))
		j.event(e, &e.Done.Events[i])
	}
	if j.reigns[e.Term] == nil {
		j.reigns[e.Term] = &reign{began: time.Now()}
	}
}

// compare holds two masters, or two lives of one, to each other (C1, C2).
func (j *journal) compare(m *master, old *record, e cluster.AppliedEntry) {
	switch {
	case old.Term != e.Term || !bytes.Equal(old.Entry.Entry, e.Data):
		j.w.failf("%s has another entry %d of term %d than the others, of term %d (C2)", name(m.i), e.Index, e.Term, old.Term)
	case old.hash != e.Hash:
		j.w.failf("%s has the table %016x after entry %d, the others %016x (C1)", name(m.i), e.Hash, e.Index, old.hash)
	}
	j.w.met("entry compared")
}

func (j *journal) event(e cluster.AppliedEntry, v *fsm.Event) {
	if v.Task != nil {
		j.fired(v)
	}
	switch {
	case v.Kind == fsm.SessionClosed && v.Cause == fsm.CauseExpired:
		j.expired = append(j.expired, expiry{v.Session, e.Term, time.Now()})
		j.w.met("session expired")
	case v.Kind == fsm.ReportRefused:
		j.w.met("report answered " + v.Outcome.String())
	case v.Kind == fsm.TaskAssigned && v.Cause != fsm.CauseNone:
		j.w.met("attempt taken back")
	}
}

func eventOf(v *fsm.Event) checker.Event {
	out := checker.Event{Kind: v.Kind.String(), Cause: v.Cause.String(), Fence: v.Fence, Session: v.Session}
	if t := v.Task; t != nil {
		out.Task, out.State, out.Generation = t.ID, t.State.String(), t.Generation
		out.Failures, out.Crashes, out.RequestID = t.Failures, t.Crashes, t.RequestID
		if meant, ok := bytes.CutPrefix(t.Payload, []byte(intent)); ok {
			out.Intent = string(meant)
		}
		if t.Extra != nil {
			out.Schedule = t.Extra.Schedule
		}
	}
	return out
}

// acknowledged notes who answered in a term: it may only be one.
func (j *journal) acknowledged(by string, pos cluster.Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.reigns[pos.Term]
	if r == nil {
		j.w.failf("%s acknowledged at entry %d in term %d, in which nothing was applied", by, pos.Index, pos.Term)
		return
	}
	if r.by == "" {
		r.by = by
	}
	if r.by != by {
		j.w.failf("%s and %s both acknowledged in term %d", r.by, by, pos.Term)
	}
}

// called notes a call that has come to its end.
func (j *journal) called(op checker.Op) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops = append(j.ops, op)
	if op.Kind == "submit" && op.Outcome == checker.OK {
		j.acked = append(j.acked, op.Task)
	}
	j.w.met(op.Kind + " " + op.Outcome)
}

// some returns a task whose submit was acknowledged, 0 when there is none yet.
func (j *journal) some(pick func(n int) int) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.acked) == 0 {
		return 0
	}
	return j.acked[len(j.acked)-1-pick(min(len(j.acked), 40))]
}

// completed notes that a worker was told that its completion counts (S4).
func (j *journal) completed(task uint64, e end) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, twice := j.ended[task]; twice && old != e {
		j.w.failf("task %d: completions under fences %d and %d were both accepted (S4)", task, old.fence, e.fence)
	}
	j.ended[task] = e
	j.w.met("completion accepted")
}

// beat notes that the leader heard a session that spoke at a time.
func (j *journal) beat(session uint64, sent time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.beats[session] = append(j.beats[session], sent)
}

// slack is what the judgement of expiries allows for entries under way.
const slack = 3 * time.Second

// judgeExpiries checks that no session ended within a TTL of a sign of life that was
// answered, nor within one of a new leader's first entry (S7). Stamps would tell when
// the leader decided, but for one that loses leadership and has it again in the same
// term: its clock begins anew then, by a wall clock that may have jumped.
func (j *journal) judgeExpiries() {
	for _, x := range j.expired {
		r := j.reigns[x.term]
		if d := x.at.Sub(r.began); d < ttl-slack {
			j.w.failf("session %d was ended %v after the leader of term %d began: every session has %v (S7)", x.session, d, x.term, ttl)
		}
		for _, b := range j.beats[x.session] {
			if silent := x.at.Sub(b); silent > slack && silent < ttl-slack {
				j.w.failf("session %d was ended %v after a heartbeat that was answered (S7)", x.session, silent)
				break
			}
		}
	}
}
