package worker

import (
	"context"
	"log/slog"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// BenchmarkRun takes one worker's tasks through a real stream and back: a fake
// master keeps its slots full and answers every report.
func BenchmarkRun(b *testing.B) {
	const slots = 2000
	c := followtest.New(b, 1)
	assign := func(first uint64, n int) *taskraftv1.MasterMessage {
		m := &taskraftv1.MasterMessage{Assignments: make([]*taskraftv1.Assignment, n)}
		for i := range m.Assignments {
			id := first + uint64(i)
			m.Assignments[i] = &taskraftv1.Assignment{Task: id, Fence: id, Queue: "default", Kind: "noop", Payload: make([]byte, 256), Attempt: 1, Timeout: durationpb.New(300e9)}
		}
		return m
	}
	done := make(chan struct{})
	messages := 0
	c.Work = func(_ *followtest.Master, s followtest.WorkStream) error {
		if _, err := s.Recv(); err != nil {
			return err
		}
		m := assign(1, min(slots, b.N))
		m.Attached = &taskraftv1.Attached{Session: 1}
		if err := s.Send(m); err != nil {
			return err
		}
		given, settled := len(m.GetAssignments()), 0
		for settled < b.N {
			in, err := s.Recv()
			if err != nil {
				return err
			}
			messages++
			n := len(in.GetCompletions())
			out := assign(uint64(given)+1, min(n, b.N-given))
			given += len(out.GetAssignments())
			for _, c := range in.GetCompletions() {
				out.Outcomes = append(out.Outcomes, &taskraftv1.OutcomeReply{Task: c.GetTask(), Fence: c.GetFence(), Outcome: taskraftv1.Outcome_ACCEPTED})
			}
			settled += n
			if err := s.Send(out); err != nil {
				return err
			}
		}
		close(done)
		for {
			if _, err := s.Recv(); err != nil {
				return nil
			}
		}
	}
	c.Lead(c.Masters[0])
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		ended <- Run(ctx, Config{
			Masters: c.Addrs(), ID: "w1", Slots: slots, Logger: slog.New(slog.DiscardHandler),
			Default: func(context.Context, *Task) (Result, error) { return Result{}, nil },
		})
	}()
	<-done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(messages), "reports/message")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
