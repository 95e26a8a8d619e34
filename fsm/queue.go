package fsm

import (
	"github.com/tidwall/btree"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Queue is a queue's settings and counters; a copy.
type Queue struct {
	Name           string
	Paused         bool
	Defaults       *fsmpb.QueueDefaults // never nil; do not change
	Counts         [Cancelled + 1]int64 // tasks by State
	TerminalBytes  int64
	SubmittedTotal uint64
	TrimmedTotal   uint64
	OldestReadyAt  int64 // EligibleAt of the oldest ready task at the front of the queue; 0: none
}

// Unfinished returns how many of the queue's tasks are not terminal.
func (q *Queue) Unfinished() int64 {
	return q.Counts[Scheduled] + q.Counts[Ready] + q.Counts[Running] + q.Counts[Stopping]
}

// queueRecord is what the table keeps of a queue. It may be changed in place by
// the epoch that made it; see Machine.editQueue.
type queueRecord struct {
	epoch     uint64
	name      string
	paused    bool
	defaults  *fsmpb.QueueDefaults // never nil; replaced, not changed
	submitted uint64
	trimmed   uint64
}

// line is a queue at work: its record and the indexes over its tasks, which are
// rebuilt from the tasks and never copied.
type line struct {
	rec           *queueRecord
	ready         *btree.BTreeG[readyItem] // in the order of §3
	solo          *btree.BTreeG[readyItem] // those that may only run alone
	terminal      *btree.BTreeG[trimItem]  // in the order retention removes them
	terminalBytes int64
	counts        [Cancelled + 1]int64
	due           int64 // where the name index has this queue; 0: nowhere
	shared        shared

	readyHint, terminalHint btree.PathHint
}

// readyItem is a task's place in a lane.
type readyItem struct {
	priority int32
	at       int64
	id       uint64
	task     *Task
}

func readyOf(t *Task) readyItem {
	return readyItem{priority: t.Priority, at: t.EligibleAt, id: t.ID, task: t}
}

// before is the order of S9: priority, then the time of eligibility, then the id.
func (a readyItem) before(b readyItem) bool {
	if a.priority != b.priority {
		return a.priority > b.priority
	}
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}

// trimItem is a terminal record's place in the order of retention.
type trimItem struct {
	at int64
	id uint64
}

func (a trimItem) before(b trimItem) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}

func newLine(rec *queueRecord) *line {
	o := btree.Options{NoLocks: true}
	return &line{
		rec:      rec,
		ready:    btree.NewBTreeGOptions(readyItem.before, o),
		solo:     btree.NewBTreeGOptions(readyItem.before, o),
		terminal: btree.NewBTreeGOptions(trimItem.before, o),
	}
}

// lane returns where t waits when it is ready.
func (l *line) lane(t *Task) *btree.BTreeG[readyItem] {
	if t.alone() {
		return l.solo
	}
	return l.ready
}

// view returns the exported copy.
func (l *line) view() *Queue {
	q := &Queue{
		Name: l.rec.name, Paused: l.rec.paused, Defaults: l.rec.defaults, Counts: l.counts,
		TerminalBytes: l.terminalBytes, SubmittedTotal: l.rec.submitted, TrimmedTotal: l.rec.trimmed,
	}
	if it, ok := l.ready.Min(); ok {
		q.OldestReadyAt = it.at
	}
	if it, ok := l.solo.Min(); ok && (q.OldestReadyAt == 0 || it.at < q.OldestReadyAt) {
		q.OldestReadyAt = it.at
	}
	return q
}

// line returns the queue of that name, made on first use. The caller has made
// sure that MaxQueues allows it.
func (m *Machine) line(name string) *line {
	if l := m.lines[name]; l != nil {
		return l
	}
	rec := &queueRecord{epoch: m.epoch, name: name, defaults: &fsmpb.QueueDefaults{}}
	l := newLine(rec)
	m.lines[name] = l
	m.queues.Set(name, rec)
	return l
}

// editQueue returns the queue's record to change: a copy, if a snapshot shares it.
func (m *Machine) editQueue(l *line) *queueRecord {
	if l.rec.epoch != m.epoch {
		c := *l.rec
		c.epoch = m.epoch
		l.rec = &c
		m.queues.Set(c.name, l.rec)
	}
	return l.rec
}
