package fsm

import (
	"math"

	"github.com/tidwall/btree"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Queue is a queue's settings and counters; a copy.
type Queue struct {
	Name           string
	Paused         bool
	Settings       *fsmpb.QueueSettings // never nil; do not change
	Counts         [Cancelled + 1]int64 // tasks by State
	TerminalBytes  int64
	LiveBytes      int64 // payloads of the tasks that have not ended
	SubmittedTotal uint64
	TrimmedTotal   uint64
	OldestReadyAt  int64     // EligibleAt of the oldest ready task at the front of the queue; 0: none
	HeldBy         Hindrance // why nothing of it starts now
}

// Unfinished returns how many of the queue's tasks are not terminal.
func (q *Queue) Unfinished() int64 {
	return q.Counts[Scheduled] + q.Counts[Ready] + q.Counts[Running] + q.Counts[Stopping]
}

// Hindrance says what holds a whole queue back.
type Hindrance uint8

// The hindrances.
const (
	NotHeld Hindrance = iota
	HeldByPause
	HeldByConcurrency // max_running are running
	HeldByRate        // no token now
)

// Demand is what a queue could start now.
type Demand struct {
	Ready      int // ready tasks that no limit holds back; some when Room is 0
	Restricted int // those of them that require labels
	Room       int // how many of them the queue's own limits let start
	Unfinished int64
	// Gains moves whenever there may be more restricted tasks than before. It is
	// this machine's own count.
	Gains uint64
}

// queueRecord is what the table keeps of a queue. It may be changed in place by
// the epoch that made it; see Machine.editQueue.
type queueRecord struct {
	epoch     uint64
	name      string
	paused    bool
	settings  *fsmpb.QueueSettings // never nil; replaced, not changed
	submitted uint64
	trimmed   uint64
	rateAt    int64 // when the tokens taken so far are earned
	rateDry   int64 // no token before; 0: it is announced that there is one
}

// line is a queue at work: its record, its settings ready for use, and the
// indexes over its tasks, which are rebuilt from the tasks and never copied.
type line struct {
	rec        *queueRecord
	maxRunning int // math.MaxInt: no limit
	perKey     int
	rate       rate
	ageing     int64

	open     pool             // ready tasks that require no labels
	pools    map[string]*pool // those that do, by Extra.pool
	byPair   map[string][]*pool
	keys     btree.Map[string, *key]
	eligible int // ready tasks that the limits per key let start,
	gated    int // and those of them that require labels
	gains    uint64

	terminal      *btree.BTreeG[trimItem] // in the order retention removes them
	terminalBytes int64
	liveBytes     int64 // of the payloads of tasks that have not ended
	counts        [Cancelled + 1]int64
	packed        int64  // tasks of batches that have no records yet
	ids           idSet  // of all its tasks
	due           int64  // where the name index has this queue; 0: nowhere
	beside        int64  // broadcasts and their targets that run
	targets       length // unfinished targets of broadcasts
	shared        shared

	terminalHint btree.PathHint
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
	l := &line{rec: rec, terminal: btree.NewBTreeGOptions(trimItem.before, btree.Options{NoLocks: true})}
	l.configure()
	return l
}

// configure takes the record's settings into use, other than the rate limit.
func (l *line) configure() {
	s := l.rec.settings
	l.maxRunning = math.MaxInt
	if s.MaxRunning != nil {
		l.maxRunning = int(*s.MaxRunning)
	}
	l.perKey = int(either(nil, s.MaxRunningPerKey, DefaultRunningPerKey))
	l.ageing = min(max(s.GetAgeing(), 0), MaxAgeing)
}

// room returns how many tasks the queue's own limits let start now.
func (m *Machine) room(l *line) int {
	if l.rec.paused {
		return 0
	}
	room := l.maxRunning
	if room != math.MaxInt {
		room = max(room-l.running(), 0)
	}
	if l.rate.every != 0 {
		room = min(room, m.tokens(l))
	}
	return room
}

// running is what counts against the queue's limit.
func (l *line) running() int { return int(l.counts[Running] + l.counts[Stopping] - l.beside) }

// heldBy says why nothing of the queue starts now.
func (m *Machine) heldBy(l *line) Hindrance {
	switch {
	case l.rec.paused:
		return HeldByPause
	case l.running() >= l.maxRunning:
		return HeldByConcurrency
	case l.rate.every != 0 && m.tokens(l) == 0:
		return HeldByRate
	}
	return NotHeld
}

// view returns the exported copy.
func (m *Machine) viewQueue(l *line) *Queue {
	q := &Queue{
		Name: l.rec.name, Paused: l.rec.paused, Settings: l.rec.settings, Counts: l.counts,
		TerminalBytes: l.terminalBytes, LiveBytes: l.liveBytes, SubmittedTotal: l.rec.submitted, TrimmedTotal: l.rec.trimmed,
		HeldBy: m.heldBy(l),
	}
	q.Counts[Scheduled] += l.packed
	q.SubmittedTotal += uint64(l.packed)
	oldest := func(p *pool) {
		for _, f := range [...]*front{&p.beside, &p.alone} {
			if it := l.first(f); it.task != nil && (q.OldestReadyAt == 0 || it.at < q.OldestReadyAt) {
				q.OldestReadyAt = it.at
			}
		}
	}
	oldest(&l.open)
	for _, p := range l.pools { // order-free: the minimum
		oldest(p)
	}
	return q
}

// line returns the queue of that name, made on first use. The caller has made
// sure that MaxQueues allows it.
func (m *Machine) line(name string) *line {
	if l := m.lines[name]; l != nil {
		return l
	}
	rec := &queueRecord{epoch: m.epoch, name: name, settings: &fsmpb.QueueSettings{}}
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
