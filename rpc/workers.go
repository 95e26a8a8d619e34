package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	minTTL    = time.Second
	maxTTL    = 10 * time.Minute
	maxQueues = 64 // per session
)

// RequestTask is the unary pull.
func (s *Server) RequestTask(ctx context.Context, req *taskraftv1.RequestTaskRequest) (*taskraftv1.RequestTaskResponse, error) {
	var v violations
	v.worker(req.GetWorkerId(), req.GetBootId())
	v.labels("labels", req.GetLabels())
	if req.GetMax() == 0 {
		v.add("max", "got 0, want 1 or more")
	}
	if req.GetPollSeq() == 0 {
		v.add("poll_seq", "got 0, want 1 or more: the same number returns the same tasks")
	}
	slots := req.GetSlots()
	if slots == 0 {
		slots = req.GetMax()
	}
	poll := cluster.Poll{
		Hello: cluster.Hello{
			Worker: req.GetWorkerId(), Boot: req.GetBootId(), Queues: v.queueWeights(req.GetQueues()),
			Labels: req.GetLabels(), Slots: int(min(slots, fsm.MaxSlots)), Held: req.GetHeld(), Host: remote(ctx),
		},
		Seq:  req.GetPollSeq(),
		Max:  int(min(req.GetMax(), slots, fsm.MaxSlots)),
		Wait: min(time.Duration(v.duration("wait", req.GetWait(), 0, 100*year)), maxWait), Batch: req.GetBatch(),
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	res, pos, err := s.node.Poll(ctx, poll)
	if err != nil {
		return nil, s.statusOf(err)
	}
	return &taskraftv1.RequestTaskResponse{
		Assignments: s.assignments(res.Tasks, s.node.Now()), NoMoreTasks: res.NoMoreTasks,
		Ttl: durationpb.New(res.TTL), Position: s.position(pos),
	}, nil
}

// CompleteTask ends an attempt with success.
func (s *Server) CompleteTask(ctx context.Context, req *taskraftv1.CompleteTaskRequest) (*taskraftv1.CompleteTaskResponse, error) {
	item, err := s.completion(req.GetCompletion())
	if err != nil {
		return nil, err
	}
	o, pos, err := s.settle(ctx, req.GetWorkerId(), req.GetBootId(), &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
		Worker: req.GetWorkerId(), Boot: req.GetBootId(), Items: []*fsmpb.Completion{item},
	}}})
	if err != nil {
		return nil, err
	}
	return &taskraftv1.CompleteTaskResponse{Outcome: o, Position: pos}, nil
}

// FailTask ends an attempt without success.
func (s *Server) FailTask(ctx context.Context, req *taskraftv1.FailTaskRequest) (*taskraftv1.FailTaskResponse, error) {
	item, err := s.failure(req.GetFailure())
	if err != nil {
		return nil, err
	}
	o, pos, err := s.settle(ctx, req.GetWorkerId(), req.GetBootId(), &fsmpb.Command{Kind: &fsmpb.Command_Fail{Fail: &fsmpb.Fail{
		Worker: req.GetWorkerId(), Boot: req.GetBootId(), Items: []*fsmpb.Failure{item},
	}}})
	if err != nil {
		return nil, err
	}
	return &taskraftv1.FailTaskResponse{Outcome: o, Position: pos}, nil
}

// settle proposes a worker's unary verb and returns its outcome.
func (s *Server) settle(ctx context.Context, worker, boot string, cmd *fsmpb.Command) (taskraftv1.Outcome, *taskraftv1.Position, error) {
	var v violations
	v.worker(worker, boot)
	if err := v.err(); err != nil {
		return 0, nil, err
	}
	cmd.Principal = "worker:" + worker
	res, pos, err := s.node.Propose(ctx, cmd)
	if err != nil {
		return 0, nil, s.statusOf(err)
	}
	if len(res.Outcomes) != 1 {
		return 0, nil, refusal(res.Outcome, nil)
	}
	return outcome(res.Outcomes[0]), s.position(pos), nil
}

// Heartbeat keeps a pulling worker's session.
func (s *Server) Heartbeat(ctx context.Context, req *taskraftv1.HeartbeatRequest) (*taskraftv1.HeartbeatResponse, error) {
	var v violations
	v.worker(req.GetWorkerId(), req.GetBootId())
	if err := v.err(); err != nil {
		return nil, err
	}
	progress, output, err := said(req.GetProgress(), req.GetOutput())
	if err != nil {
		return nil, err
	}
	void, ttl, err := s.node.Beat(ctx, req.GetWorkerId(), req.GetBootId(), req.GetHeld())
	if err != nil {
		return nil, s.statusOf(err)
	}
	if len(progress)+len(output) > 0 {
		if err := s.node.Hear(req.GetWorkerId(), progress, output); err != nil {
			return nil, s.statusOf(err)
		}
	}
	return &taskraftv1.HeartbeatResponse{Aborts: aborts(void), Ttl: durationpb.New(ttl), Position: s.position(s.node.Position())}, nil
}

func (v *violations) queueWeights(in []*taskraftv1.QueueWeight) []fsm.QueueWeight {
	if n := len(in); n == 0 || n > maxQueues {
		v.add("queues", "got %d, want 1 to %d", n, maxQueues)
		return nil
	}
	out := make([]fsm.QueueWeight, len(in))
	for i, q := range in {
		v.queue("queues", q.GetQueue())
		out[i] = fsm.QueueWeight{Queue: q.GetQueue(), Weight: max(q.GetWeight(), 1)}
	}
	return out
}

// completion checks a completion and stamps its digest.
func (s *Server) completion(c *taskraftv1.Completion) (*fsmpb.Completion, error) {
	if c == nil {
		return nil, violated("completion", "missing")
	}
	if err := s.resultSize(c.GetTask(), c.GetResult()); err != nil {
		return nil, err
	}
	if len(c.GetContentType()) > maxContentType {
		return nil, violated("completion.content_type", "too long")
	}
	out := &fsmpb.Completion{
		Task: c.GetTask(), Fence: c.GetFence(), Result: c.GetResult(), ContentType: c.GetContentType(),
		Digest: digest(c.GetResult(), []byte(c.GetContentType())),
	}
	if len(c.GetFollowUp()) > 0 {
		var v violations
		out.FollowUp = s.followUps(&v, "completion.follow_up", c.GetFollowUp())
		if err := v.err(); err != nil {
			return nil, followUpError{err}
		}
		out.Digest = followUpDigest(out.Digest, out.FollowUp)
		follow(c.GetFollowUp(), out.FollowUp, place{})
	}
	return out, nil
}

// failure checks a failure and stamps its digest.
func (s *Server) failure(f *taskraftv1.Failure) (*fsmpb.Failure, error) {
	if f == nil {
		return nil, violated("failure", "missing")
	}
	if err := s.resultSize(f.GetTask(), f.GetResult()); err != nil {
		return nil, err
	}
	var v violations
	after := v.duration("failure.retry_after", f.GetRetryAfter(), 0, year)
	if f.GetSnooze() && after == 0 {
		v.add("failure.retry_after", "missing: a snooze says for how long")
	}
	if f.GetPermanent() && (f.GetSnooze() || after != 0) {
		v.add("failure.permanent", "contradicts retry_after and snooze")
	}
	if len(f.GetContentType()) > maxContentType {
		v.add("failure.content_type", "too long")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	flags := []byte{0}
	if f.GetPermanent() {
		flags[0] |= 1
	}
	if f.GetSnooze() {
		flags[0] |= 2
	}
	text := fsm.Clip(f.GetError(), fsm.MaxError)
	return &fsmpb.Failure{
		Task: f.GetTask(), Fence: f.GetFence(), Error: text, Permanent: f.GetPermanent(), RetryAfter: after,
		Snooze: f.GetSnooze(), Result: f.GetResult(), ContentType: f.GetContentType(),
		Digest: digest([]byte(text), flags, f.GetResult(), []byte(f.GetContentType())),
	}, nil
}

// resultSize refuses a result that is too large; the task keeps its attempt.
func (s *Server) resultSize(task uint64, result []byte) error {
	if len(result) <= s.cfg.MaxResult {
		return nil
	}
	var v violations
	v.add("result", "task %d: got %d bytes, want at most %d", task, len(result), s.cfg.MaxResult)
	return statusError(codes.ResourceExhausted, reason.InvalidField, v[0].GetField()+": "+v[0].GetDescription(), map[string]string{"field": "result"})
}

func violated(field, what string) error {
	var v violations
	v.add(field, "%s", what)
	return v.err()
}
