package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

type workStream = grpc.BidiStreamingServer[taskraftv1.WorkerMessage, taskraftv1.MasterMessage]

// One message carries at most this much, so that a worker can start on the
// first task while the rest is on its way, and no message is too large.
const (
	maxSpread      = 512
	maxSpreadBytes = 1 << 20 // of payload; one task may have more
)

// Work serves one worker: this goroutine reads, a second one sends.
func (s *Server) Work(stream workStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello, err := helloOf(first.GetAttach())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	ws, err := s.node.Attach(ctx, hello)
	if err != nil {
		return s.statusOf(err)
	}
	defer ws.Close()

	sent := make(chan error, 1)
	go func() { sent <- s.send(ctx, stream, ws) }()
	received := make(chan error, 1)
	go func() { received <- s.receive(ctx, stream, ws) }()
	select {
	case err = <-sent: // moved, replaced or broken: returning ends the receiver
		return err
	case err = <-received: // goodbye, a bad message, or the worker is gone
		cancel()
		<-sent
		return err
	}
}

// helloOf checks an attach.
func helloOf(a *taskraftv1.Attach) (cluster.Hello, error) {
	if a == nil {
		return cluster.Hello{}, violated("attach", "missing: it must be the first message")
	}
	var v violations
	v.worker(a.GetWorkerId(), a.GetBootId())
	v.labels("labels", a.GetLabels())
	if n := a.GetSlots(); n < 1 || n > fsm.MaxSlots {
		v.add("slots", "got %d, want 1 to %d", n, fsm.MaxSlots)
	}
	h := cluster.Hello{
		Worker: a.GetWorkerId(), Boot: a.GetBootId(), Queues: v.queueWeights(a.GetQueues()),
		Labels: a.GetLabels(), Slots: int(a.GetSlots()), TTL: time.Duration(v.duration("ttl", a.GetTtl(), minTTL, maxTTL)),
		Held: a.GetHeld(), ExitWhenDone: a.GetExitWhenDone(), Host: a.GetHost(), PID: a.GetPid(), Version: a.GetVersion(),
	}
	v.text("host", h.Host, maxLabel)
	v.text("version", h.Version, maxLabel)
	return h, v.err()
}

// receive hands the worker's messages to the node until the worker says goodbye.
func (s *Server) receive(ctx context.Context, stream workStream, ws *cluster.Stream) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h := m.GetHeartbeat(); h != nil {
			ws.Heartbeat(h.GetSeq(), int(h.GetHeldCount()), h.GetHeldHash())
		}
		if len(m.GetProgress())+len(m.GetOutput()) > 0 {
			progress, output, err := said(m.GetProgress(), m.GetOutput())
			if err != nil {
				return err
			}
			ws.Hear(progress, output)
		}
		if err := s.report(ctx, m, ws); err != nil {
			return err
		}
		if m.GetDraining() {
			if err := ws.Drain(ctx); err != nil {
				return s.statusOf(err)
			}
		}
		if m.GetGoodbye() {
			if err := ws.Goodbye(ctx); err != nil {
				return s.statusOf(err)
			}
			return nil
		}
	}
}

// report offers one message's results.
func (s *Server) report(ctx context.Context, m *taskraftv1.WorkerMessage, ws *cluster.Stream) error {
	if len(m.GetCompletions())+len(m.GetFailures())+len(m.GetReleases()) == 0 {
		return nil
	}
	done := make([]*fsmpb.Completion, 0, len(m.GetCompletions()))
	failed := make([]*fsmpb.Failure, 0, len(m.GetFailures()))
	for _, c := range m.GetCompletions() {
		item, err := s.completion(c)
		if bad, ok := errors.AsType[followUpError](err); ok {
			var f *fsmpb.Failure
			if f, err = s.failureFor(c, bad); err == nil {
				failed = append(failed, f)
				continue
			}
		}
		if err != nil {
			return err
		}
		done = append(done, item)
	}
	for _, f := range m.GetFailures() {
		item, err := s.failure(f)
		if err != nil {
			return err
		}
		failed = append(failed, item)
	}
	back := make([]*fsmpb.Handback, len(m.GetReleases()))
	for i, r := range m.GetReleases() {
		back[i] = handback(r.GetTask(), r.GetFence())
	}
	if err := ws.Report(ctx, done, failed, back); err != nil {
		return s.statusOf(err)
	}
	return nil
}

// send writes whatever is ready until the stream ends or leadership moves.
func (s *Server) send(ctx context.Context, stream workStream, ws *cluster.Stream) error {
	at := ws.Attached()
	err := stream.Send(&taskraftv1.MasterMessage{Attached: &taskraftv1.Attached{
		Session: at.Session, Ttl: durationpb.New(at.TTL), HeartbeatEvery: durationpb.New(at.HeartbeatEvery),
		Position: s.position(s.node.Position()),
	}})
	if err != nil {
		return err
	}
	for {
		batch, err := ws.Next(ctx)
		if err != nil {
			return s.statusOf(err)
		}
		for n := spread(batch.Assignments); n < len(batch.Assignments); n = spread(batch.Assignments) {
			if err := stream.Send(&taskraftv1.MasterMessage{Assignments: s.assignments(batch.Assignments[:n], s.node.Now())}); err != nil {
				return err
			}
			batch.Assignments = batch.Assignments[n:]
		}
		if err := stream.Send(s.message(batch)); err != nil {
			return err
		}
		if batch.Moved != nil {
			return s.notLeader(*batch.Moved)
		}
	}
}

// spread returns how many of the tasks go into one message.
func spread(tasks []*fsm.Task) int {
	size := 0
	for i, t := range tasks {
		size += len(t.Payload)
		if i == maxSpread || (i > 0 && size > maxSpreadBytes) {
			return i
		}
	}
	return len(tasks)
}

func handback(task, fence uint64) *fsmpb.Handback { return &fsmpb.Handback{Task: task, Fence: fence} }

func outcomeReplies(in []cluster.TaskOutcome) []*taskraftv1.OutcomeReply {
	if len(in) == 0 {
		return nil
	}
	out := make([]*taskraftv1.OutcomeReply, len(in))
	all := make([]taskraftv1.OutcomeReply, len(in))
	for i, o := range in {
		r := &all[i]
		r.Task, r.Fence, r.Outcome = o.Task, o.Fence, outcome(o.Outcome)
		out[i] = r
	}
	return out
}

func (s *Server) message(b *cluster.Batch) *taskraftv1.MasterMessage {
	m := &taskraftv1.MasterMessage{NoMoreTasks: b.NoMoreTasks}
	if len(b.Assignments) > 0 {
		m.Assignments = s.assignments(b.Assignments, s.node.Now())
	}
	m.Outcomes = outcomeReplies(b.Outcomes)
	if len(b.Aborts) > 0 {
		m.Aborts = aborts(b.Aborts)
	}
	if b.HeartbeatSeq > 0 {
		m.Heartbeat = &taskraftv1.HeartbeatAck{Seq: b.HeartbeatSeq, Position: s.position(s.node.Position()), AttachAgain: b.AttachAgain}
	}
	if b.Moved != nil {
		m.Moved = s.leaderInfo(*b.Moved)
	}
	return m
}
