package fsm

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// loader builds a machine from a snapshot's records.
type loader struct {
	m        *Machine
	last     recordKind // kind of the last record; -1 before the first
	counts   [recordKinds]uint64
	attempts []*Task // those with an attempt, indexed last and in the order of fences
	waiting  []*Task // for parents, entered into their lists last

	broadcasts []*Task

	sum hash // of all tasks, as the snapshot has it

	// Every record is read into these: nearly all are tasks, and a message of their
	// own for each would be most of what a restore allocates. The table keeps what
	// the fields point to, never the messages.
	rec   fsmpb.Record
	whole *fsmpb.Record_Task
}

func newLoader() *loader {
	return &loader{m: New(), last: -1, whole: &fsmpb.Record_Task{Task: new(fsmpb.TaskRecord)}}
}

// block loads the records of one block.
func (l *loader) block(b []byte) error {
	for len(b) > 0 {
		raw, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return fmt.Errorf("snapshot record length: %w", ErrCorrupt)
		}
		b = b[n:]
		r := &l.rec
		r.Reset()
		l.whole.Task.Reset()
		r.Kind = l.whole
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(raw, r); err != nil {
			return fmt.Errorf("snapshot record: %w: %w", ErrCorrupt, err)
		}
		if unknownInRecord(r) {
			return fmt.Errorf("snapshot record: unknown kind or field: %w", ErrNewer)
		}
		k, err := l.record(r)
		if err == nil && (k < l.last || l.last < 0 && k != metaKind || k == metaKind && l.last == metaKind) {
			err = fmt.Errorf("out of order: %w", ErrCorrupt)
		}
		if err != nil {
			return fmt.Errorf("snapshot record %d of kind %d: %w", l.counts[k], k, err)
		}
		l.last = k
		l.counts[k]++
	}
	return nil
}

// record loads one record.
func (l *loader) record(r *fsmpb.Record) (recordKind, error) {
	switch k := r.Kind.(type) {
	case *fsmpb.Record_Meta:
		return metaKind, l.meta(k.Meta)
	case *fsmpb.Record_Member:
		return memberKind, l.member(k.Member)
	case *fsmpb.Record_Queue:
		return queueKind, l.queue(k.Queue)
	case *fsmpb.Record_Worker:
		return workerKind, l.worker(k.Worker)
	case *fsmpb.Record_Session:
		return sessionKind, l.session(k.Session)
	case *fsmpb.Record_Batch:
		return batchKind, l.batch(k.Batch)
	case *fsmpb.Record_Chunk:
		return chunkKind, l.chunk(k.Chunk)
	case *fsmpb.Record_Release:
		return releaseKind, l.release(k.Release)
	case *fsmpb.Record_Task:
		return taskKind, l.task(k.Task)
	case *fsmpb.Record_Request:
		return requestKind, l.request(k.Request)
	case *fsmpb.Record_Client:
		return clientKind, l.client(k.Client)
	case *fsmpb.Record_Schedule:
		return scheduleKind, l.schedule(k.Schedule)
	case *fsmpb.Record_Sweep:
		return sweepKind, l.sweep(k.Sweep)
	case *fsmpb.Record_Push:
		return pushKind, l.push(k.Push)
	default:
		return 0, fmt.Errorf("no kind: %w", ErrCorrupt)
	}
}

func (l *loader) meta(r *fsmpb.Meta) error {
	if r.Level > Level {
		return fmt.Errorf("feature level %d: %w", r.Level, ErrNewer)
	}
	m := l.m
	m.index, m.term, m.now, m.level = r.Index, r.Term, r.Now, uint16(r.Level)
	m.lastTask, m.lastFence, m.lastSession, m.trimmed = r.LastTask, r.LastFence, r.LastSession, r.TrimmedTotal
	m.lastVersion, m.lastSweep = r.LastVersion, r.LastSweep
	m.lastBatch, m.deadRetries = r.LastBatch, r.DeadRetries
	m.chain, l.sum = hash(r.HashChain), hash(r.HashSum)
	return must(r.Level > 0 && r.Now >= 0 && len(r.DeadRetries) <= MaxDeadRetries)
}

func (l *loader) member(r *fsmpb.MemberRecord) error {
	if r.Member == nil {
		return errInconsistent
	}
	last, _, some := l.m.members.Max()
	l.m.members.Set(r.Member.GetName(), r.Member)
	return must(!some || last < r.Member.GetName())
}

func (l *loader) queue(r *fsmpb.QueueRecord) error {
	last, _, some := l.m.queues.Max()
	if some && last >= r.Name || r.Name == "" || r.Settings == nil || l.m.queues.Len() >= MaxQueues {
		return errInconsistent
	}
	q := l.m.line(r.Name)
	q.rec.paused, q.rec.settings = r.Paused, r.Settings
	q.rec.submitted, q.rec.trimmed = r.SubmittedTotal, r.TrimmedTotal
	q.rec.rateAt, q.rec.rateDry = r.RateAt, r.RateDry
	q.configure()
	q.rate = rateOf(r.Settings.GetRate())
	l.m.setNameDue(dueToken, r.Name, 0, r.RateDry)
	return must(r.RateAt >= 0 && r.RateDry >= 0)
}

func (l *loader) worker(r *fsmpb.WorkerRecord) error {
	last, _, some := l.m.workers.Max()
	rec := &workerRecord{
		epoch: l.m.epoch, name: r.Worker, boot: r.Boot, retired: r.RetiredBoots, seenAt: r.SeenAt, drained: r.Drained,
	}
	l.m.workers.Set(r.Worker, rec)
	l.m.known[r.Worker] = &worker{rec: rec}
	return must((!some || last < r.Worker) && r.SeenAt >= 0 && len(r.RetiredBoots) <= MaxRetiredBoots)
}

func (l *loader) session(r *fsmpb.SessionRecord) error {
	if r.EndingCause > uint32(lastCause) {
		return fmt.Errorf("cause %d: %w", r.EndingCause, ErrNewer)
	}
	w := l.m.known[r.Worker]
	last, _, _ := l.m.sessions.Max()
	if r.Id <= last || r.Id > l.m.lastSession || r.Slots > MaxSlots || w == nil || w.session != nil ||
		w.rec.boot != r.Boot || r.Ending != (r.EndingCause != 0) {
		return errInconsistent
	}
	s := &session{drained: w.rec.drained, rec: sessionOf(r, l.m.epoch)}
	s.lines = make([]*line, len(s.rec.Queues))
	s.weigh()
	s.label()
	if s.weighted != (len(r.Served) > 0) || s.weighted && len(r.Served) != len(r.Queues) {
		return errInconsistent
	}
	w.session = s
	l.m.sessions.Set(r.Id, s.rec)
	l.m.live[r.Id] = s
	if r.Clearing {
		l.m.clearing.Set(r.Id, s)
	}
	if r.Ending {
		l.m.ending.Set(r.Id, s)
	}
	return nil
}

func (l *loader) task(r *fsmpb.TaskRecord) error {
	if err := newerInTask(r); err != nil {
		return err
	}
	q := l.m.lines[r.Queue]
	last, _, _ := l.m.tasks.Max()
	if q == nil || r.Id <= last || r.Id > l.m.lastTask {
		return errInconsistent
	}
	t := taskOf(r, q)
	if !l.consistent(t) || !l.inBatch(t) || t.Extra != nil && !l.consistentExtra(t) {
		return errInconsistent
	}
	if mutated("M3") && t.State == Ready && t.ID == l.m.lastTask {
		return nil
	}
	l.m.tasks.Set(t.ID, t)
	l.m.rehash(nil, t)
	if t.broadcast() != nil {
		l.broadcasts = append(l.broadcasts, t)
	}
	if t.waiting() {
		l.waiting = append(l.waiting, t)
	}
	if key := t.uniqueKey(); key != "" {
		if _, taken := l.m.unique[key]; taken {
			return errInconsistent
		}
		l.m.unique[key] = t.ID
	}
	if t.Fence != 0 {
		l.attempts = append(l.attempts, t)
	} else {
		l.m.reindex(q, nil, t)
	}
	return nil
}

func (l *loader) request(r *fsmpb.RequestRecord) error {
	last, _, some := l.m.requests.Max()
	t, _ := l.m.tasks.Get(r.Task)
	if some && last >= r.RequestId || r.RequestId == "" || r.Task == 0 || r.Task > l.m.lastTask || r.CreatedAt < 0 ||
		t != nil && t.RequestID != r.RequestId {
		return errInconsistent
	}
	req := &request{task: r.Task, digest: r.ContentDigest, createdAt: r.CreatedAt}
	if !mutated("M14") || r.Task%7 != 0 {
		l.m.requests.Set(r.RequestId, req)
	}
	if t == nil || t.State.Terminal() {
		l.m.setNameDue(dueRequest, r.RequestId, 0, req.expiry())
	}
	return nil
}

func (l *loader) client(r *fsmpb.ClientRecord) error {
	last, _, some := l.m.clients.Max()
	c := &client{epoch: l.m.epoch, id: string(r.Client), ackedBelow: r.AckedBelow, usedAt: r.UsedAt}
	if some && last >= c.id || r.UsedAt < 0 || len(r.Calls) > MaxCallsPerClient {
		return errInconsistent
	}
	for i, a := range r.Calls {
		if i > 0 && r.Calls[i-1].Seq >= a.Seq {
			return errInconsistent
		}
		if err := outcomeFault(a.Outcome); err != nil {
			return err
		}
		c.calls = append(c.calls, call{a.Seq, a.Outcome})
	}
	l.m.clients.Set(c.id, c)
	l.m.setNameDue(dueClient, c.id, 0, c.due())
	return nil
}

func (l *loader) schedule(r *fsmpb.ScheduleRecord) error {
	if r.Misfire > uint32(lastMisfire) || r.Overlap > uint32(lastOverlap) || r.LastRefusal > uint32(lastOutcome) {
		return fmt.Errorf("schedule %s: unknown policy or outcome: %w", r.Name, ErrNewer)
	}
	last, _, some := l.m.schedules.Max()
	s := scheduleOf(r)
	if some && last >= s.Name || s.Name == "" || s.Task == nil || s.Version == 0 || s.Version > l.m.lastVersion ||
		s.NextFire < 0 || s.NextFire > 0 && !s.Planned || s.cancelBelow > l.m.lastTask+1 || l.m.schedules.Len() >= MaxSchedules {
		return errInconsistent
	}
	l.m.schedules.Set(s.Name, s)
	l.m.indexSchedule(nil, s)
	return nil
}

func (l *loader) push(r *fsmpb.PushRecord) error {
	last, _, some := l.m.pushes.Max()
	l.m.pushes.Set(r.Addr, &Push{Addr: r.Addr, Worker: r.Worker, Fixed: r.Fixed, AddedAt: r.AddedAt})
	return must((!some || last < r.Addr) && r.AddedAt >= 0 && l.m.pushes.Len() <= MaxPushes)
}

// end checks the trailer's counts and that nothing follows, and builds the
// indexes that need the whole table.
func (l *loader) end(counts []byte, r io.Reader) error {
	for k, n := range l.counts {
		if want := binary.BigEndian.Uint64(counts[8*k:]); n != want {
			return fmt.Errorf("snapshot has %d records of kind %d, its trailer says %d: %w", n, k, want, ErrCorrupt)
		}
	}
	var one [1]byte
	switch _, err := io.ReadFull(r, one[:]); {
	case err == nil:
		return fmt.Errorf("bytes after the snapshot: %w", ErrCorrupt)
	case !errors.Is(err, io.EOF):
		return err
	}
	if l.counts[metaKind] != 1 {
		return fmt.Errorf("snapshot without meta: %w", ErrCorrupt)
	}
	if l.m.sum != l.sum {
		return fmt.Errorf("snapshot's tasks have hash %x, not %x: %w", l.m.sum, l.sum, ErrCorrupt)
	}
	slices.SortFunc(l.attempts, func(a, b *Task) int { return cmp.Compare(a.Fence, b.Fence) })
	last := uint64(0)
	for _, t := range l.attempts {
		if t.Fence == last || t.Fence > l.m.lastFence {
			return fmt.Errorf("snapshot task %d has fence %d: %w", t.ID, t.Fence, ErrCorrupt) // S6
		}
		last = t.Fence
		l.m.reindex(l.m.lines[t.Queue], nil, t)
	}
	for _, t := range l.broadcasts {
		if !t.State.Terminal() && !l.consistentTargets(t) {
			return fmt.Errorf("snapshot's broadcast %d miscounts its targets: %w", t.ID, ErrCorrupt)
		}
	}
	if err := l.endBatches(); err != nil {
		return err
	}
	trimmed := l.m.trimmed
	conserved := true
	l.m.queues.Scan(func(name string, rec *queueRecord) bool {
		q := l.m.lines[name]
		l.m.setTrimDue(q)
		trimmed -= rec.trimmed
		total := rec.trimmed
		for _, n := range q.counts {
			total += uint64(n)
		}
		conserved = conserved && total == rec.submitted // S16
		return true
	})
	if !conserved || trimmed != 0 {
		return fmt.Errorf("snapshot's queues miss tasks: %w", ErrCorrupt)
	}
	l.m.workers.Scan(func(name string, _ *workerRecord) bool {
		l.m.setNameDue(dueWorker, name, 0, l.m.known[name].due())
		return true
	})
	return nil
}
