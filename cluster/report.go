package cluster

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster/mutant"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// maxUnanswered bounds what a worker may report before it takes the answers.
const maxUnanswered = 2 * fsm.MaxSlots

// itemBytes is an item of a report without its texts, at most.
const itemBytes = 64

// pending is what a stream has reported and no entry carries yet.
type pending struct {
	done   []*fsmpb.Completion
	failed []*fsmpb.Failure
	back   []*fsmpb.Handback
}

func (p *pending) len() int { return len(p.done) + len(p.failed) + len(p.back) }

// report is a stream's part in an entry.
type report struct {
	stream *Stream
	n      int // items
}

// Report offers completions, failures and releases; the slices and what is in
// them belong to the stream from then on. It blocks only when too many are
// unanswered, and fails when the stream has ended.
func (s *Stream) Report(ctx context.Context, c []*fsmpb.Completion, f []*fsmpb.Failure, r []*fsmpb.Handback) error {
	if err := s.wait(ctx, func() bool { return s.unanswered < maxUnanswered }); err != nil {
		return err
	}
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	l.heardOf(s.session)
	s.pending.done = gather(s.pending.done, c)
	s.pending.failed = gather(s.pending.failed, f)
	s.pending.back = gather(s.pending.back, r)
	s.unanswered += len(c) + len(f) + len(r)
	if !s.dirty && s.pending.len() > 0 {
		s.dirty = true
		l.dirty = append(l.dirty, s)
	}
	l.work.ring()
	return nil
}

// gather appends, or takes the slice over when there was none.
func gather[T any](have, more []T) []T {
	if len(have) == 0 {
		return more
	}
	return append(have, more...)
}

// takeReports moves a stream's reports into the entry: all items of a kind in one
// command. It reports whether all went in. An empty entry takes at least one.
func (l *reign) takeReports(b *building, s *Stream, bytes, transitions int) bool {
	p := &s.pending
	room := func(size int) bool {
		if l.airBytes+b.bytes+size > maxInFlightBytes {
			return false
		}
		return b.bytes == 0 || (b.bytes+size <= bytes && b.transitions < transitions)
	}
	n := s.session.worker
	frame := 2*len(n) + len(s.session.boot) + 32
	done := prefix(p.done, func(c *fsmpb.Completion) bool {
		size := itemBytes + len(c.GetResult()) + len(c.GetContentType())
		for _, spec := range c.GetFollowUp() {
			size += proto.Size(spec) + 4
		}
		if !b.take(room, size) {
			return false
		}
		b.add(0, len(c.GetFollowUp()))
		return true
	})
	if len(done) > 0 {
		p.done = p.done[len(done):]
		l.addReport(b, s, len(done), frame, &fsmpb.Command{Kind: &fsmpb.Command_Complete{
			Complete: &fsmpb.Complete{Worker: n, Boot: s.session.boot, Items: done},
		}})
	}
	failed := prefix(p.failed, func(f *fsmpb.Failure) bool {
		return b.take(room, itemBytes+len(f.GetResult())+len(f.GetContentType())+len(f.GetError()))
	})
	if len(failed) > 0 {
		p.failed = p.failed[len(failed):]
		l.addReport(b, s, len(failed), frame, &fsmpb.Command{Kind: &fsmpb.Command_Fail{
			Fail: &fsmpb.Fail{Worker: n, Boot: s.session.boot, Items: failed},
		}})
	}
	back := prefix(p.back, func(*fsmpb.Handback) bool { return b.take(room, itemBytes) })
	if len(back) > 0 {
		p.back = p.back[len(back):]
		l.addReport(b, s, len(back), frame, &fsmpb.Command{Kind: &fsmpb.Command_Release{
			Release: &fsmpb.Release{Worker: n, Boot: s.session.boot, Items: back},
		}})
	}
	if p.len() > 0 {
		return false
	}
	*p = pending{}
	s.room.ring() // Goodbye waits for this
	return true
}

// take adds an item to the entry if there is room.
func (b *building) take(room func(int) bool, size int) bool {
	if !room(size) {
		return false
	}
	b.add(size, 1)
	return true
}

// prefix returns the first items, up to the first that does not fit.
func prefix[T any](items []T, fits func(T) bool) []T {
	for i, it := range items {
		if !fits(it) {
			return items[:i:i]
		}
	}
	return items
}

func (l *reign) addReport(b *building, s *Stream, n, frame int, cmd *fsmpb.Command) {
	cmd.Principal = s.principal
	b.bytes += frame
	l.byClass[classReport] = append(l.byClass[classReport], part{cmd: cmd, report: report{stream: s, n: n}})
	l.e.count.reports.Add(uint64(n))
	if mutant.On("M1") {
		early := fsm.Result{Outcome: fsm.Accepted}
		l.reported(&l.byClass[classReport][len(l.byClass[classReport])-1], &early)
		l.flushStreams()
	}
	t := &s.taker
	t.freeing += n
	l.offer(t)
	for i := range t.seats {
		if q := t.seats[i].line; t.free() > 0 && q.demand(true) > 0 {
			l.want(q)
		}
	}
}

// freed ends a report in flight: what it made free shows in the table now.
func (l *reign) freed(r *report) {
	t := &r.stream.taker
	t.freeing -= r.n
	if !t.gone {
		l.offer(t)
		l.touchTaker(t)
	}
}

// reported sends the outcomes of a stream's reports.
func (l *reign) reported(x *part, res *fsm.Result) {
	s := x.report.stream
	if s.err != nil {
		return // a newer stream asks again
	}
	answer := func(i int, task, fence uint64) {
		o := res.Outcome
		if i < len(res.Outcomes) {
			o = res.Outcomes[i]
		}
		s.out.outcomes = append(s.out.outcomes, TaskOutcome{Task: task, Fence: fence, Outcome: o})
		delete(s.held.stops, fence)
	}
	switch k := x.cmd.Kind.(type) {
	case *fsmpb.Command_Complete:
		for i, it := range k.Complete.GetItems() {
			answer(i, it.GetTask(), it.GetFence())
		}
	case *fsmpb.Command_Fail:
		for i, it := range k.Fail.GetItems() {
			answer(i, it.GetTask(), it.GetFence())
		}
	case *fsmpb.Command_Release:
		for i, it := range k.Release.GetItems() {
			answer(i, it.GetTask(), it.GetFence())
		}
	}
	l.flushLater(s)
}

// Heard keeps the session of a push worker: it answered.
func (s *Stream) Heard() {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.err == nil && l.open.Load() {
		l.heardOf(s.session)
		l.e.count.heartbeats.Add(1)
	}
}

// Heartbeat keeps the session; count and hash describe what the worker holds. It is
// answered with what else is to be said, or by the keeper's next look: an idle
// leader that answered each at once would wake twice for each of its workers.
func (s *Stream) Heartbeat(seq uint64, count int, hash uint64) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.err != nil || !l.open.Load() {
		return
	}
	l.heardOf(s.session)
	l.e.count.heartbeats.Add(1)
	s.out.heartbeat = seq
	if s.held.heard(count, hash, l.now()) {
		s.out.again = true
		l.e.count.mismatches.Add(1)
	}
	if !s.owes {
		s.owes = true
		l.owing = append(l.owing, s)
	}
}
