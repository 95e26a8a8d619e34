package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// The records of a snapshot and the table's own, both ways.

// fillTask writes t into r, which the writer uses again for every task.
func fillTask(r *fsmpb.TaskRecord, t *Task) {
	r.Id, r.Generation, r.State = t.ID, t.Generation, uint32(t.State)
	r.Queue, r.Kind, r.Payload, r.ContentType = t.Queue, t.Kind, t.Payload, t.ContentType
	r.Priority, r.SubmittedAt, r.EligibleAt, r.ExpiresAt = t.Priority, t.SubmittedAt, t.EligibleAt, t.ExpiresAt
	r.Timeout, r.MaxAttempts, r.BackoffBase, r.BackoffMax = t.Timeout, t.MaxAttempts, t.BackoffBase, t.BackoffMax
	r.Retain, r.RequestId = t.Retain, t.RequestID
	r.Attempts, r.Failures, r.Crashes, r.SoloCrashes = t.Attempts, t.Failures, t.Crashes, t.SoloCrashes
	r.Fence, r.Session, r.Worker, r.Boot = t.Fence, t.Session, t.Worker, t.Boot
	r.StartedAt, r.Deadline, r.Solo, r.Redeemable = t.StartedAt, t.Deadline, t.Solo, t.Redeemable
	r.StopCause, r.FinishedAt, r.SelfFence = uint32(t.StopCause), t.FinishedAt, t.SelfFence
	r.Result, r.ResultContentType, r.Error, r.Reason = t.Result, t.ResultContentType, t.Error, t.Reason
	fillExtra(r, t.Extra)
	r.Ended = r.Ended[:0]
	for i := range t.Ended {
		e := &t.Ended[i]
		r.Ended = append(r.Ended, &fsmpb.EndedFence{
			Fence: e.Fence, Worker: e.Worker, Boot: e.Boot, Cause: uint32(e.Cause),
			Verb: uint32(e.Verb), Digest: e.Digest, At: e.At, Error: e.Error, StartedAt: e.StartedAt,
		})
	}
}

// taskOf is the inverse of fillTask; l's strings are shared.
func taskOf(r *fsmpb.TaskRecord, l *line) *Task {
	t := &Task{
		ID: r.Id, Generation: r.Generation, State: State(r.State),
		Options: l.share(Options{
			Queue: l.rec.name, Kind: r.Kind, ContentType: r.ContentType, Priority: r.Priority,
			Timeout: r.Timeout, MaxAttempts: r.MaxAttempts, BackoffBase: r.BackoffBase, BackoffMax: r.BackoffMax,
			Retain: r.Retain,
		}),
		Attempt: &noAttempt,
		Payload: r.Payload, RequestID: r.RequestId, Extra: l.extraIn(r),
		SubmittedAt: r.SubmittedAt, EligibleAt: r.EligibleAt, ExpiresAt: r.ExpiresAt, FinishedAt: r.FinishedAt,
		Attempts: r.Attempts, Failures: r.Failures, Crashes: r.Crashes, SoloCrashes: r.SoloCrashes,
		Result: r.Result, ResultContentType: r.ResultContentType, Error: r.Error, Reason: r.Reason,
	}
	a := Attempt{
		Fence: r.Fence, Session: r.Session, Worker: r.Worker, Boot: r.Boot,
		StartedAt: r.StartedAt, Deadline: r.Deadline, Solo: r.Solo, Redeemable: r.Redeemable,
		StopCause: Cause(r.StopCause), SelfFence: r.SelfFence,
	}
	if a != noAttempt {
		t.Attempt = &a
	}
	if len(r.Ended) > 0 {
		t.Ended = make([]Ended, len(r.Ended))
	}
	for i, e := range r.Ended {
		t.Ended[i] = Ended{
			Fence: e.Fence, Worker: e.Worker, Boot: e.Boot, Cause: Cause(e.Cause),
			Verb: Verb(e.Verb), Digest: e.Digest, At: e.At, Error: e.Error, StartedAt: e.StartedAt,
		}
	}
	return t
}

func recordOfQueue(q *queueRecord) *fsmpb.QueueRecord {
	return &fsmpb.QueueRecord{
		Name: q.name, Paused: q.paused, Settings: q.settings,
		SubmittedTotal: q.submitted, TrimmedTotal: q.trimmed, RateAt: q.rateAt, RateDry: q.rateDry,
	}
}

func recordOfSession(s *sessionRecord) *fsmpb.SessionRecord {
	r := &fsmpb.SessionRecord{
		Id: s.ID, Worker: s.Worker, Boot: s.Boot, Labels: s.Labels, Slots: uint32(s.Slots), Ttl: s.TTL,
		Draining: s.Draining, Pull: s.Pull, Beats: s.Beats, Clearing: s.Clearing,
		Host: s.Host, Pid: s.PID, Version: s.Version, OpenedAt: s.OpenedAt,
		AssignedTotal: s.AssignedTotal, PollSeq: s.PollSeq, PollTasks: s.PollTasks,
		CompletedTotal: s.CompletedTotal, FailedTotal: s.FailedTotal, Push: s.Push,
		Ending: s.Ending != CauseNone, EndingCause: uint32(s.Ending),
		Served: s.served, ServedAll: s.servedAll,
	}
	for _, q := range s.Queues {
		r.Queues = append(r.Queues, &fsmpb.QueueWeight{Queue: q.Queue, Weight: q.Weight})
	}
	return r
}

func sessionOf(r *fsmpb.SessionRecord, epoch uint64) *sessionRecord {
	s := &sessionRecord{epoch: epoch, served: r.Served, servedAll: r.ServedAll, Session: Session{
		ID: r.Id, Worker: r.Worker, Boot: r.Boot, Labels: r.Labels, Slots: int(r.Slots), TTL: r.Ttl,
		Draining: r.Draining, Pull: r.Pull, Beats: r.Beats, Clearing: r.Clearing,
		Host: r.Host, PID: r.Pid, Version: r.Version, OpenedAt: r.OpenedAt,
		AssignedTotal: r.AssignedTotal, PollSeq: r.PollSeq, PollTasks: r.PollTasks,
		CompletedTotal: r.CompletedTotal, FailedTotal: r.FailedTotal, Push: r.Push,
		Ending: Cause(r.EndingCause), Queues: make([]QueueWeight, len(r.Queues)),
	}}
	for i, q := range r.Queues {
		s.Queues[i] = QueueWeight{q.Queue, q.Weight}
	}
	return s
}

func recordOfWorker(w *workerRecord) *fsmpb.WorkerRecord {
	return &fsmpb.WorkerRecord{Worker: w.name, Boot: w.boot, RetiredBoots: w.retired, SeenAt: w.seenAt, Drained: w.drained}
}

func recordOfRequest(id string, r *request) *fsmpb.RequestRecord {
	return &fsmpb.RequestRecord{RequestId: id, Task: r.task, ContentDigest: r.digest, CreatedAt: r.createdAt}
}

func recordOfClient(c *client) *fsmpb.ClientRecord {
	r := &fsmpb.ClientRecord{Client: []byte(c.id), AckedBelow: c.ackedBelow, UsedAt: c.usedAt}
	for _, a := range c.calls {
		r.Calls = append(r.Calls, &fsmpb.CallRecord{Seq: a.seq, Outcome: a.outcome})
	}
	return r
}

func recordOfBatch(b *batchRecord) *fsmpb.BatchRecord {
	return &fsmpb.BatchRecord{
		Id: b.id, Name: b.name, RequestId: b.requestID, ContentDigest: b.digest,
		OpenedAt: b.openedAt, TouchedAt: b.touchedAt, CommittedAt: b.committedAt, FinishedAt: b.finishedAt,
		First: b.first, Total: b.total, Unpacked: b.unpacked,
		GoneSucceeded: uint64(b.gone[Succeeded]), GoneDead: uint64(b.gone[Dead]), GoneCancelled: uint64(b.gone[Cancelled]),
		CancelReason: b.reason, CancelledAt: b.cancelledAt, CancelFrom: b.cancelFrom,
		FollowUp: b.followUp, OnSuccess: b.onSuccess, Widest: b.widest,
	}
}

// batchOf is the inverse; chunks have records of their own.
func batchOf(r *fsmpb.BatchRecord, epoch uint64) *batchRecord {
	b := &batchRecord{
		epoch: epoch, id: r.Id, name: r.Name, requestID: r.RequestId, digest: r.ContentDigest,
		openedAt: r.OpenedAt, touchedAt: r.TouchedAt, committedAt: r.CommittedAt, finishedAt: r.FinishedAt,
		first: r.First, total: r.Total, unpacked: r.Unpacked,
		reason: r.CancelReason, cancelledAt: r.CancelledAt, cancelFrom: r.CancelFrom,
		followUp: r.FollowUp, onSuccess: r.OnSuccess, widest: r.Widest,
	}
	b.gone[Succeeded], b.gone[Dead], b.gone[Cancelled] = int64(r.GoneSucceeded), int64(r.GoneDead), int64(r.GoneCancelled)
	return b
}

func recordOfChunk(batch uint64, c *chunk) *fsmpb.ChunkRecord {
	return &fsmpb.ChunkRecord{Batch: batch, Offset: c.offset, Digest: c.digest, Tasks: c.tasks}
}

func recordOfRelease(parent uint64, r *release) *fsmpb.ReleaseRecord {
	return &fsmpb.ReleaseRecord{Parent: parent, Generation: r.generation, State: uint32(r.state), After: r.after, Last: r.last}
}

func recordOfSchedule(s *Schedule) *fsmpb.ScheduleRecord {
	return &fsmpb.ScheduleRecord{
		Name: s.Name, Cron: s.Cron, TimeZone: s.TimeZone, Task: s.Task,
		Misfire: uint32(s.Misfire), MaxMisfires: s.MaxMisfires, Overlap: uint32(s.Overlap), Paused: s.Paused,
		Version: s.Version, Planned: s.Planned, NextFire: s.NextFire, PlanFrom: s.PlanFrom, CaughtUp: s.CaughtUp,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		LastFire: s.LastFire, LastTask: s.LastTask, LastRefusal: uint32(s.LastRefusal),
		FiredTotal: s.FiredTotal, MisfiresTotal: s.MisfiresTotal, OverlapsTotal: s.OverlapsTotal, RefusedTotal: s.RefusedTotal,
		CancelBelow: s.cancelBelow,
	}
}

func scheduleOf(r *fsmpb.ScheduleRecord) *Schedule {
	return &Schedule{
		Name: r.Name, Cron: r.Cron, TimeZone: r.TimeZone, Task: r.Task,
		Misfire: Misfire(r.Misfire), MaxMisfires: r.MaxMisfires, Overlap: Overlap(r.Overlap), Paused: r.Paused,
		Version: r.Version, Planned: r.Planned, NextFire: r.NextFire, PlanFrom: r.PlanFrom, CaughtUp: r.CaughtUp,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		LastFire: r.LastFire, LastTask: r.LastTask, LastRefusal: Outcome(r.LastRefusal),
		FiredTotal: r.FiredTotal, MisfiresTotal: r.MisfiresTotal, OverlapsTotal: r.OverlapsTotal, RefusedTotal: r.RefusedTotal,
		cancelBelow: r.CancelBelow,
	}
}
