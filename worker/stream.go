package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	attachLimit = 10 * time.Second // an attach costs a commit
	answerLimit = 2 * time.Second  // a heartbeat does not
	defaultBeat = 2 * time.Second
	briefStream = time.Second // a stream that breaks sooner was no success
)

var errSilent = errors.New("the master is silent")

// stream is one attached stream. The goroutine that made it receives; one more
// sends, and one listens for silence.
type stream struct {
	w      *worker
	grpc   grpc.BidiStreamingClient[taskraftv1.WorkerMessage, taskraftv1.MasterMessage]
	end    context.CancelCauseFunc
	began  time.Time
	beat   time.Duration
	heard  atomic.Int64 // when the master last said something: ns since began
	ending bool         // the master asked to attach again, or moved
}

// stream is a follow.Call: it holds one stream on conn until it ends. Nil means
// that it was of use, and that the next one may follow without a pause.
func (w *worker) stream(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	gs, err := taskraftv1.NewWorkerServiceClient(conn).Work(ctx)
	if err != nil {
		return err
	}
	w.open.Store(true)
	defer w.open.Store(false)
	s := &stream{w: w, grpc: gs, end: cancel, began: time.Now(), beat: defaultBeat}
	first, err := s.attach()
	if err != nil {
		return s.why(ctx, err)
	}

	var helpers sync.WaitGroup
	helpers.Go(func() { s.send(ctx) })
	helpers.Go(func() { s.listen(ctx) })
	err = s.receive(ctx, first)
	err = s.why(ctx, err)
	cancel(nil)
	helpers.Wait()

	switch {
	case err == nil:
		return nil
	case follow.Reason(err) == reason.InvalidField:
		// A report that the master refuses would end every stream.
		w.table.dropLargest(err)
		return status.Error(codes.Unavailable, "a report was refused: "+err.Error())
	case status.Code(err) == codes.Unavailable && time.Since(s.began) >= briefStream:
		w.log.Debug("stream ended", "worker", w.cfg.ID, "err", err)
		return nil
	}
	return err
}

// why replaces the echo of our own cancellation with its reason.
func (s *stream) why(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return status.Error(codes.Unavailable, errSilent.Error())
	}
	return err
}

// attach opens the session or takes it up again, with every fence whose outcome
// was not seen.
func (s *stream) attach() (*taskraftv1.MasterMessage, error) {
	limit := time.AfterFunc(attachLimit, func() { s.end(errSilent) })
	defer limit.Stop()
	w := s.w
	// An error of Send is only that the stream ended; Recv tells why.
	sent := time.Now()
	_ = s.grpc.Send(&taskraftv1.WorkerMessage{Attach: w.hello()})
	m, err := s.grpc.Recv()
	if err != nil {
		return nil, err
	}
	at := m.GetAttached()
	if at == nil {
		return nil, status.Error(codes.Internal, "the master's first message is not about the attach")
	}
	pos := follow.PositionOf(at.GetPosition())
	if pos.Before(w.follow.Position()) {
		return nil, follow.ErrBehind // a deposed leader that does not know yet
	}
	w.follow.Observe(pos)
	if d := at.GetHeartbeatEvery().AsDuration(); d > 0 {
		s.beat = d
	}
	w.table.leash.attached(sent, at.GetTtl().AsDuration())
	w.log.Info("attached", "worker", w.cfg.ID, "session", at.GetSession(), "term", pos.Term, "master", w.follow.Leader().GetGrpc())
	return m, nil
}

func (w *worker) hello() *taskraftv1.Attach {
	a := &taskraftv1.Attach{
		WorkerId: w.cfg.ID, BootId: w.boot, Labels: w.cfg.Labels, Slots: uint32(w.cfg.Slots),
		Held: w.table.fences(), ExitWhenDone: w.cfg.ExitWhenDone,
		Host: w.host, Pid: uint32(os.Getpid()), Version: w.cfg.Version,
	}
	for _, q := range w.cfg.Queues {
		a.Queues = append(a.Queues, &taskraftv1.QueueWeight{Queue: q.Name, Weight: uint32(q.Weight)})
	}
	if w.cfg.TTL > 0 {
		a.Ttl = durationpb.New(w.cfg.TTL)
	}
	return a
}

// receive takes in what the master says until the stream ends. Nil: it ended in
// good order.
func (s *stream) receive(ctx context.Context, m *taskraftv1.MasterMessage) error {
	var settled []Settled
	for {
		s.heard.Store(int64(time.Since(s.began)))
		if settled = s.take(m, settled[:0]); s.ending {
			return nil
		}
		var err error
		if m, err = s.grpc.Recv(); err != nil {
			if s.w.left.Load() {
				return nil
			}
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err() // a message of a stream that is over already
		}
	}
}

// take acts on one message.
func (s *stream) take(m *taskraftv1.MasterMessage, settled []Settled) []Settled {
	w := s.w
	settled = w.table.take(m, settled)
	w.settled(settled)
	for _, a := range m.GetAborts() {
		w.aborted(a)
	}
	if h := m.GetHeartbeat(); h != nil {
		pos := follow.PositionOf(h.GetPosition())
		if !pos.Before(w.follow.Position()) { // else it is a deposed leader's, that does not know yet
			w.table.leash.answered(h.GetSeq())
		}
		w.follow.Observe(pos)
		s.ending = h.GetAttachAgain()
	}
	if m.GetNoMoreTasks() && w.cfg.ExitWhenDone {
		w.noMore()
	}
	if moved := m.GetMoved(); moved != nil {
		w.follow.Learn(moved, "")
		s.ending = true
	}
	return settled
}

// settled tells the user which reports were answered.
func (w *worker) settled(reports []Settled) {
	if w.cfg.OnOutcome == nil {
		return
	}
	for _, o := range reports {
		w.cfg.OnOutcome(o)
	}
}

// aborted ends an execution whose fence is void.
func (w *worker) aborted(a *taskraftv1.Abort) {
	cause := causeOf(a.GetReason())
	w.log.Debug("execution is void", "worker", w.cfg.ID, "task", a.GetTask(), "err", cause)
	w.table.abort(a.GetFence(), cause)
}

func causeOf(reason string) error {
	switch reason {
	case "timed_out":
		return ErrTimedOut
	case "cancelled":
		return ErrCancelled
	}
	return fmt.Errorf("%w (%s)", ErrLost, reason)
}

// listen ends the stream when the master owes a sign of life for too long.
func (s *stream) listen(ctx context.Context) {
	limit := s.beat + answerLimit
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			silent := time.Since(s.began) - time.Duration(s.heard.Load())
			if silent >= limit {
				s.end(errSilent)
				return
			}
			timer.Reset(limit - silent)
		}
	}
}
