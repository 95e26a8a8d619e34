package top

import "time"

// Look is what one refresh saw.
type Look struct {
	At      time.Time
	Cluster string // id
	Masters []Master
	Queues  []Queue
	Workers []Worker
	Tasks   []Task // that run, longest first; only when asked for
	More    bool   // there are more tasks than these
}

// Master is one master, or why it does not answer.
type Master struct {
	Address, Name, Role  string
	Leads                bool // and serves
	Term, Applied, Lag   uint64
	FsyncP50, FsyncP99   time.Duration
	Commits, CommitNanos uint64 // entries proposed by it, and how long they took in all
	Records              uint64
	Started              time.Time
	Version              string
	Alarms               []string
	Fault                string // why it does not answer
}

// Queue is one queue with its counters.
type Queue struct {
	Name                                     string
	Held                                     string // why nothing starts
	Scheduled, Ready, Running, Dead, Records uint64
	Submitted, Ended                         uint64    // ever; a manual retry takes one back
	Oldest                                   time.Time // ready since; zero: none is

	In, Done float64 // each second, by history
}

// Worker is one worker with a session.
type Worker struct {
	ID, State, Mode, Queues, Host, Version string
	Slots, Held                            uint64
	Completed, Failed                      uint64
	Silent                                 time.Duration

	Rate float64 // completed each second, by history
}

// Task is one that runs.
type Task struct {
	ID                         uint64
	State, Queue, Kind, Worker string
	Attempt                    uint32
	Started, Deadline          time.Time
	Progress                   string
}

// leader returns the master that leads and serves, nil if none does.
func (l *Look) leader() *Master {
	for i := range l.Masters {
		if l.Masters[i].Leads {
			return &l.Masters[i]
		}
	}
	return nil
}

// sums are a Look's totals.
type sums struct {
	scheduled, ready, running, dead uint64
	submitted, ended                uint64
	slots, held                     uint64
	oldest                          time.Duration
}

func (l *Look) sums() (s sums) {
	for i := range l.Queues {
		q := &l.Queues[i]
		s.scheduled += q.Scheduled
		s.ready += q.Ready
		s.running += q.Running
		s.dead += q.Dead
		s.submitted += q.Submitted
		s.ended += q.Ended
		s.oldest = max(s.oldest, q.age(l.At))
	}
	for i := range l.Workers {
		s.slots += l.Workers[i].Slots
		s.held += l.Workers[i].Held
	}
	return s
}

// age is how long the oldest ready task has waited.
func (q *Queue) age(now time.Time) time.Duration {
	if q.Oldest.IsZero() {
		return 0
	}
	return max(now.Sub(q.Oldest), 0)
}
