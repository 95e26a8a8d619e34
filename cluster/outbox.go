package cluster

import (
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// outbox gathers what a worker is to be told. What a worker holds is bounded by
// its slots and what it may report unanswered by maxUnanswered; a worker that
// does not read is ended by checkStream long before more comes together.
type outbox struct {
	assignments []*fsm.Task
	outcomes    []TaskOutcome
	aborts      []Abort
	heartbeat   uint64
	again       bool
	noMore      bool
	moved       *Leader
}

func (o *outbox) empty() bool {
	return len(o.assignments) == 0 && len(o.outcomes) == 0 && len(o.aborts) == 0 &&
		o.heartbeat == 0 && !o.again && !o.noMore && o.moved == nil
}

func (o *outbox) len() int { return len(o.assignments) + len(o.outcomes) + len(o.aborts) }

// fill makes b show the outbox.
func (o *outbox) fill(b *Batch) {
	*b = Batch{
		Assignments: o.assignments, Outcomes: o.outcomes, Aborts: o.aborts,
		HeartbeatSeq: o.heartbeat, AttachAgain: o.again, NoMoreTasks: o.noMore, Moved: o.moved,
	}
}

// reset empties the outbox and keeps its memory.
func (o *outbox) reset() {
	clear(o.assignments)
	*o = outbox{assignments: o.assignments[:0], outcomes: o.outcomes[:0], aborts: o.aborts[:0]}
}

// flushLater wakes the stream's sender once the entry has been looked at whole.
func (l *reign) flushLater(s *Stream) {
	if !s.flush {
		s.flush = true
		l.flush = append(l.flush, s)
	}
}

func (l *reign) flushStreams() {
	for _, s := range l.flush {
		s.flush = false
		if s.oldest == 0 && !s.out.empty() {
			s.oldest = max(l.now(), 1)
		}
		s.wake.ring()
	}
	clear(l.flush)
	l.flush = l.flush[:0]
}

// checkStream ends a stream whose worker does not read, or whose entries failed
// although leadership did not move.
func (l *reign) checkStream(s *Stream) {
	now := l.now()
	switch {
	case s.out.len() > 4*s.slots+maxUnanswered,
		s.oldest != 0 && now-s.oldest > s.session.ttl:
		l.e.count.slow.Add(1)
		l.drop(s, ErrSlowConsumer)
	case s.failed != 0 && now-s.failed > brokenPatience:
		l.drop(s, ErrUncertain)
	}
}

// brokenPatience is how long a stream whose entry failed waits for the word that
// leadership moved; without it the worker attaches again and learns what held.
const brokenPatience = time.Second

func (l *reign) broken(s *Stream) {
	if s.failed == 0 {
		s.failed = max(l.now(), 1)
	}
}
