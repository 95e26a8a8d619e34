package rpc

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/reason"
)

const retryAfter = 100 * time.Millisecond

// statusError builds a status with ErrorInfo and, where the caller should wait
// before it repeats, RetryInfo.
func statusError(code codes.Code, why, msg string, meta map[string]string, details ...protoadapt.MessageV1) error {
	all := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: why, Domain: reason.Domain, Metadata: meta}}, details...)
	if code == codes.ResourceExhausted || code == codes.Unavailable {
		all = append(all, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	st, err := status.New(code, msg).WithDetails(all...)
	if err != nil {
		return status.Error(code, msg)
	}
	return st.Err()
}

// compacted says that what was asked for is older than what is kept.
func compacted(err error, oldest uint64) error {
	return statusError(codes.OutOfRange, reason.Compacted, err.Error(), map[string]string{reason.MetaOldest: strconv.FormatUint(oldest, 10)})
}

// statusOf turns an error of package cluster into a status.
func (s *Server) statusOf(err error) error {
	if nl, ok := errors.AsType[*cluster.NotLeaderError](err); ok {
		return s.notLeader(nl.Leader)
	}
	if refused, ok := errors.AsType[*cluster.RefusedError](err); ok {
		return refusal(refused.Outcome, nil)
	}
	if gone, ok := errors.AsType[*events.CompactedError](err); ok {
		return compacted(gone, gone.Oldest)
	}
	if gone, ok := errors.AsType[*cluster.HashGoneError](err); ok {
		return compacted(gone, gone.Oldest)
	}
	switch {
	case errors.Is(err, cluster.ErrUncertain):
		return statusError(codes.Aborted, reason.OutcomeUnknown, "the outcome is unknown: repeat the call with the same id", nil)
	case errors.Is(err, cluster.ErrOverloaded):
		return statusError(codes.ResourceExhausted, reason.Overloaded, err.Error(), nil)
	case errors.Is(err, cluster.ErrDiskLow):
		return statusError(codes.ResourceExhausted, reason.DiskLow, err.Error(), nil)
	case errors.Is(err, cluster.ErrMemoryLow):
		return statusError(codes.ResourceExhausted, reason.MemoryLow, err.Error(), nil)
	case errors.Is(err, cluster.ErrStreamReplaced):
		return statusError(codes.Aborted, reason.StreamReplaced, err.Error(), nil)
	case errors.Is(err, cluster.ErrSlowConsumer):
		return statusError(codes.ResourceExhausted, reason.SlowConsumer, err.Error(), nil)
	case errors.Is(err, cluster.ErrNoMember):
		return statusError(codes.NotFound, reason.MemberNotFound, err.Error(), nil)
	case errors.Is(err, cluster.ErrMemberExists):
		return statusError(codes.AlreadyExists, reason.MemberExists, err.Error(), nil)
	case errors.Is(err, cluster.ErrChangeUnderWay):
		return statusError(codes.FailedPrecondition, reason.ChangeUnderWay, err.Error(), nil)
	case errors.Is(err, cluster.ErrQuorum):
		return statusError(codes.FailedPrecondition, reason.QuorumAtRisk, err.Error(), nil)
	case errors.Is(err, cluster.ErrUnreachable):
		return statusError(codes.FailedPrecondition, reason.MemberUnreachable, err.Error(), nil)
	case errors.Is(err, cluster.ErrForeign):
		return statusError(codes.FailedPrecondition, reason.MemberRefused, err.Error(), nil)
	case errors.Is(err, cluster.ErrLevel):
		return statusError(codes.FailedPrecondition, reason.LevelRefused, err.Error(), nil)
	case errors.Is(err, cluster.ErrNoSuccessor):
		return statusError(codes.FailedPrecondition, reason.NoSuccessor, err.Error(), nil)
	case errors.Is(err, cluster.ErrStopped):
		return statusError(codes.Unavailable, reason.Stopping, err.Error(), nil)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return status.FromContextError(err).Err()
	}
	return statusError(codes.Internal, reason.Internal, err.Error(), nil)
}

// notLeader redirects to the leader, or says that there is none.
func (s *Server) notLeader(l cluster.Leader) error {
	if l.Name == "" || l.Self {
		return statusError(codes.Unavailable, reason.NoLeader, "no leader is serving at the moment", map[string]string{
			"masters": strings.Join(s.masters(), ","),
		})
	}
	return statusError(codes.FailedPrecondition, reason.NotLeader, "not the leader: ask "+l.Name+" at "+l.GRPC, map[string]string{
		"leader": l.Name, "leader_grpc": l.GRPC, "leader_http": l.HTTP,
		"term": strconv.FormatUint(l.Term, 10), "masters": strings.Join(s.masters(), ","),
	})
}

// refusal turns an outcome that is not a reply field into a status.
func refusal(o fsm.Outcome, meta map[string]string) error {
	r, ok := refusals[o]
	if !ok {
		r = refusalStatus{codes.Internal, reason.Internal, "unexpected outcome " + strconv.Itoa(int(o))}
	}
	return statusError(r.code, r.reason, r.message, meta)
}

type refusalStatus struct {
	code    codes.Code
	reason  string
	message string
}

var refusals = map[fsm.Outcome]refusalStatus{
	fsm.RequestIDConflict: {codes.AlreadyExists, reason.RequestIDConflict, "request_id was used with other content"},
	fsm.RequestIDsFull:    {codes.ResourceExhausted, reason.RequestIDsFull, "too many request ids are remembered: submit without one, or later"},
	fsm.QueuesFull:        {codes.ResourceExhausted, reason.QueuesFull, "too many queues"},
	fsm.CallForgotten:     {codes.FailedPrecondition, reason.CallForgotten, "the first outcome of this call is no longer known: it may have been applied"},
	fsm.CallsFull:         {codes.ResourceExhausted, reason.TooManyCalls, "too many calls of this client are unanswered"},
	fsm.UnknownTask:       {codes.NotFound, reason.TaskNotFound, "no such task"},
	fsm.Forgotten:         {codes.NotFound, reason.Forgotten, "the task existed; its record is trimmed"},
	fsm.NoParent:          {codes.NotFound, reason.ParentNotFound, "no such task to wait for"},
	fsm.NoBatch:           {codes.NotFound, reason.BatchNotFound, "no such batch"},
	fsm.BatchFull:         {codes.ResourceExhausted, reason.BatchTooLarge, "too many tasks for one batch"},
	fsm.BatchesFull:       {codes.ResourceExhausted, reason.BatchesFull, "too many batches have not finished"},
	fsm.StagingFull:       {codes.ResourceExhausted, reason.StagingFull, "open batches hold as much as they may"},
	fsm.RetriesFull:       {codes.ResourceExhausted, reason.RetriesFull, "too many bulk retries are under way"},
	fsm.NoWorker:          {codes.NotFound, reason.WorkerNotFound, "no such worker"},
	fsm.PushesFull:        {codes.ResourceExhausted, reason.PushesFull, "too many addresses of push workers"},
	fsm.WorkerBusy:        {codes.FailedPrecondition, reason.WorkerBusy, "the worker holds tasks: drain it first, or remove it by force"},
	fsm.NoSchedule:        {codes.NotFound, reason.ScheduleNotFound, "no such schedule"},
	fsm.ScheduleExists:    {codes.AlreadyExists, reason.ScheduleExists, "a schedule of this name says something else: replace it, or choose another name"},
	fsm.SchedulesFull:     {codes.ResourceExhausted, reason.SchedulesFull, "too many schedules"},
	fsm.ScheduleBusy:      {codes.FailedPrecondition, reason.ScheduleBusy, "an earlier task of the schedule has not ended, and its overlap policy is skip"},
	fsm.NotTerminal:       {codes.FailedPrecondition, reason.NotTerminal, "only a task that has ended can be deleted, and only a DEAD or CANCELLED one retried"},
	fsm.NoQueue:           {codes.NotFound, reason.QueueNotFound, "no such queue"},
	fsm.QueueFull:         {codes.ResourceExhausted, reason.QueueFull, "the queue is full: its limit of tasks or bytes is reached, and nothing was accepted"},
	fsm.UniqueKeyTaken:    {codes.AlreadyExists, reason.UniqueKeyTaken, "another task with the same unique key lives"},
	fsm.TaskAwaited:       {codes.FailedPrecondition, reason.TaskAwaited, "tasks wait for it and have not been told of its end yet, or it belongs to a broadcast that goes on: delete it later, and a target with its broadcast"},
	fsm.SweepsFull:        {codes.ResourceExhausted, reason.SweepsFull, "too many bulk cancellations are under way"},
	fsm.NoSweep:           {codes.NotFound, reason.SweepNotFound, "no such sweep, or it ended long ago"},
	fsm.BatchUnfinished:   {codes.FailedPrecondition, reason.BatchUnfinished, "its batch has not finished: cancel the batch or wait for it first"},
	fsm.WorkerIDInUse:     {codes.AlreadyExists, reason.WorkerIDInUse, "another process with this worker id has a live stream: choose another id or stop that process"},
	fsm.BootReplaced:      {codes.FailedPrecondition, reason.BootReplaced, "a newer process took this worker's place, or an operator removed it: this one must end"},
	fsm.NoSession:         {codes.FailedPrecondition, reason.NoSession, "no session: attach or poll again"},
}
