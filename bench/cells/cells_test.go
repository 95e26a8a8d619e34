package cells

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/taskraft/taskraft/bench/peer"
)

func TestRecordTellsRepeats(t *testing.T) {
	r := newRecord()
	r.acked.Store(3)
	if !r.complete(7) || r.complete(7) || !r.complete(8) {
		t.Error("a first completion was taken for a repeat, or a repeat for a first one")
	}
	if got := r.unfinished(); got != 1 {
		t.Errorf("%d unfinished, want 1", got)
	}
	if got := r.repeated.Load(); got != 1 {
		t.Errorf("%d repeated, want 1", got)
	}
}

// memory is a system of one channel.
type memory struct {
	tasks chan []byte
	fail  error
}

func (m *memory) Start(context.Context, string) error             { return m.fail }
func (m *memory) Stop() error                                     { return nil }
func (m *memory) PIDs() []int                                     { return nil }
func (m *memory) Producer(context.Context) (peer.Producer, error) { return m, nil }
func (m *memory) Close() error                                    { return nil }

func (m *memory) Submit(ctx context.Context, payloads [][]byte) error {
	for _, p := range payloads {
		select {
		case m.tasks <- slices.Clone(p):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (m *memory) Consume(ctx context.Context, w peer.Work) error {
	for {
		select {
		case p := <-m.tasks:
			w.Handle(p)
			_, n := peer.ReadStamp(p)
			w.Confirmed(n)
		case <-ctx.Done():
			return nil
		}
	}
}

func TestRun(t *testing.T) {
	plan := &Plan{Warmup: time.Millisecond, Measure: 50 * time.Millisecond, Backlog: 5000, Dir: t.TempDir(), Talk: t.Logf}
	spec := peer.Spec{Name: "memory", New: func(peer.Setup) peer.System {
		return &memory{tasks: make(chan []byte, 100_000)}
	}}
	for _, c := range All() {
		if c.Kind == Failover {
			continue
		}
		r := plan.Run(t.Context(), c, spec, "the only one")
		if r.Failed != "" || r.Lifecycles == 0 || r.Unfinished != 0 || r.Repeated != 0 || r.Completed == 0 {
			t.Errorf("%s: %+v", c.Name, r)
		}
	}
}

func TestRunSaysWhyNot(t *testing.T) {
	plan := &Plan{Warmup: time.Millisecond, Measure: time.Millisecond, Dir: t.TempDir(), Talk: t.Logf}
	for _, tt := range []struct {
		err             error
		skipped, failed string
	}{
		{peer.ErrUnavailable, "not installed", ""},
		{errors.New("broken"), "", "broken"},
	} {
		spec := peer.Spec{Name: "memory", New: func(peer.Setup) peer.System { return &memory{fail: tt.err} }}
		r := plan.Run(t.Context(), All()[0], spec, "")
		if r.Skipped != tt.skipped || r.Failed != tt.failed {
			t.Errorf("%v: skipped %q, failed %q", tt.err, r.Skipped, r.Failed)
		}
	}
}
