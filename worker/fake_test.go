package worker

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is a deadline that only a broken build meets.
const patience = 20 * time.Second

// masters are fake masters whose side of the streams the test plays.
type masters struct {
	*followtest.Cluster
	t       *testing.T
	streams chan *served
}

// served is the masters' end of one stream.
type served struct {
	t      *testing.T
	master *followtest.Master
	s      followtest.WorkStream
	attach *taskraftv1.Attach
	alive  chan struct{}                  // closed at the first message after the attach
	in     chan *taskraftv1.WorkerMessage // closed at the end
	gone   chan struct{}                  // closed after in
	end    chan error
}

func newMasters(t *testing.T, n int) *masters {
	t.Helper()
	ms := &masters{Cluster: followtest.New(t, n), t: t, streams: make(chan *served, 16)}
	ms.Work = func(m *followtest.Master, s followtest.WorkStream) error {
		first, err := s.Recv()
		if err != nil {
			return err
		}
		sv := &served{t: t, master: m, s: s, attach: first.GetAttach(), alive: make(chan struct{}), in: make(chan *taskraftv1.WorkerMessage, 1024), gone: make(chan struct{}), end: make(chan error, 1)}
		ms.streams <- sv
		go func() {
			defer close(sv.gone)
			defer close(sv.in)
			for n := 0; ; n++ {
				m, err := s.Recv()
				if err != nil {
					return
				}
				sv.in <- m
				if n == 0 {
					close(sv.alive)
				}
			}
		}()
		select {
		case err = <-sv.end:
		case <-sv.gone:
		}
		return err
	}
	ms.Lead(ms.Masters[0])
	return ms
}

// next returns the next stream that a worker opened.
func (ms *masters) next() *served {
	ms.t.Helper()
	select {
	case sv := <-ms.streams:
		return sv
	case <-time.After(patience):
		ms.t.Fatal("no worker attached")
		return nil
	}
}

// accept returns the next stream, attached and in use: a worker that tried a
// master before it knew who leads has left that stream, and it may come late, when
// that master leads.
func (ms *masters) accept() *served {
	ms.t.Helper()
	for {
		sv := ms.next()
		if sv.s.Send(attachedMessage(50*time.Millisecond)) != nil {
			continue
		}
		select {
		case <-sv.alive:
			return sv
		case <-sv.gone:
		case <-time.After(patience):
			ms.t.Fatal("the worker is silent")
		}
	}
}

func (sv *served) attached(beat time.Duration) {
	sv.t.Helper()
	sv.send(attachedMessage(beat))
}

func attachedMessage(beat time.Duration) *taskraftv1.MasterMessage {
	return &taskraftv1.MasterMessage{Attached: &taskraftv1.Attached{
		Session: 1, Ttl: durationpb.New(10 * time.Second), HeartbeatEvery: durationpb.New(beat),
	}}
}

func (sv *served) send(m *taskraftv1.MasterMessage) {
	sv.t.Helper()
	if err := sv.s.Send(m); err != nil {
		sv.t.Errorf("send: %v", err)
	}
}

// assign gives the worker tasks whose fences are 100 higher than their ids.
func (sv *served) assign(kind string, ids ...uint64) {
	sv.t.Helper()
	m := &taskraftv1.MasterMessage{}
	for _, id := range ids {
		m.Assignments = append(m.Assignments, &taskraftv1.Assignment{
			Task: id, Fence: id + 100, Queue: "q", Kind: kind, Attempt: 1,
			Payload: []byte("work"), Timeout: durationpb.New(time.Minute),
		})
	}
	sv.send(m)
}

// recv returns the next message that is about more than a heartbeat, and answers
// heartbeats.
func (sv *served) recv() *taskraftv1.WorkerMessage {
	sv.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case m, ok := <-sv.in:
			if !ok {
				sv.t.Fatal("the stream ended")
			}
			if h := m.GetHeartbeat(); h != nil {
				// Without effect when the worker has left since.
				_ = sv.s.Send(&taskraftv1.MasterMessage{Heartbeat: &taskraftv1.HeartbeatAck{Seq: h.GetSeq()}})
			}
			if len(m.GetCompletions())+len(m.GetFailures())+len(m.GetReleases()) > 0 || m.GetDraining() || m.GetGoodbye() {
				return m
			}
		case <-limit:
			sv.t.Fatal("the worker is silent")
		}
	}
}

// said is what a worker said of one task.
type said struct {
	Task  uint64
	Verb  Verb
	Text  string // result or error
	Hints string // of a failure
}

func saidIn(m *taskraftv1.WorkerMessage) (all []said) {
	for _, c := range m.GetCompletions() {
		all = append(all, said{Task: c.GetTask(), Verb: VerbComplete, Text: string(c.GetResult())})
	}
	for _, f := range m.GetFailures() {
		s := said{Task: f.GetTask(), Verb: VerbFail, Text: f.GetError()}
		switch {
		case f.GetPermanent():
			s.Hints = "permanent"
		case f.GetSnooze():
			s.Hints = "snooze " + f.GetRetryAfter().AsDuration().String()
		case f.GetRetryAfter() != nil:
			s.Hints = "after " + f.GetRetryAfter().AsDuration().String()
		}
		all = append(all, s)
	}
	for _, r := range m.GetReleases() {
		all = append(all, said{Task: r.GetTask(), Verb: VerbRelease})
	}
	return all
}

// reports collects what the worker says of n tasks, in order of their ids. It
// answers nothing.
func (sv *served) reports(n int) (all []said) {
	sv.t.Helper()
	for len(all) < n {
		all = append(all, saidIn(sv.recv())...)
	}
	slices.SortFunc(all, func(a, b said) int { return cmp.Compare(a.Task, b.Task) })
	return all
}

func (sv *served) outcome(o taskraftv1.Outcome, ids ...uint64) {
	sv.t.Helper()
	m := &taskraftv1.MasterMessage{}
	for _, id := range ids {
		m.Outcomes = append(m.Outcomes, &taskraftv1.OutcomeReply{Task: id, Fence: id + 100, Outcome: o})
	}
	sv.send(m)
}

// goodbye waits for the worker's last message and ends the stream.
func (sv *served) goodbye() {
	sv.t.Helper()
	for {
		if m := sv.recv(); m.GetGoodbye() {
			sv.end <- nil
			return
		}
	}
}

// break ends the stream as a broken connection does.
func (sv *served) breakOff(err error) { sv.end <- err }

// run is one worker.Run under test.
type run struct {
	t       *testing.T
	stop    context.CancelFunc
	ended   chan error
	settled chan Settled
}

func startWorker(t *testing.T, ms *masters, cfg Config) *run {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &run{t: t, stop: stop, ended: make(chan error, 1), settled: make(chan Settled, 1024)}
	cfg.Masters = ms.Addrs()
	cfg.ID = "w1"
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Slots == 0 {
		cfg.Slots = 4
	}
	cfg.OnOutcome = func(s Settled) { r.settled <- s }
	go func() { r.ended <- Run(ctx, cfg) }()
	t.Cleanup(stop)
	return r
}

// wantEnd waits for Run to return.
func (r *run) wantEnd() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		r.t.Fatal("Run does not end")
		return nil
	}
}

// finish drains an idle worker over sv and expects a clean end.
func (r *run) finish(sv *served) {
	r.t.Helper()
	r.stop()
	sv.goodbye()
	if err := r.wantEnd(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) wantSettled(want Settled) {
	r.t.Helper()
	select {
	case got := <-r.settled:
		if got != want {
			r.t.Fatalf("settled %+v, want %+v", got, want)
		}
	case <-time.After(patience):
		r.t.Fatal("nothing settled")
	}
}

func echoHandler(_ context.Context, t *Task) (Result, error) {
	return Result{Data: t.Payload, ContentType: "text/plain"}, nil
}
