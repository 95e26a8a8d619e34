package cluster

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// rig is an engine over a fake of Raft: one table that the engine sees and one
// that follows, so that every entry is applied twice from its bytes.
type rig struct {
	t        testing.TB
	e        *engine
	table    *table
	follower *fsm.Machine
	raft     *fakeRaft
}

// newRig starts an engine that leads in term 1. cfg may be nil.
func newRig(t testing.TB, cfg *Config) *rig {
	t.Helper()
	r := newIdleRig(t, cfg, systemSource())
	r.begin(1)
	return r
}

// newIdleRig starts an engine that does not lead.
func newIdleRig(t testing.TB, cfg *Config, src source) *rig {
	t.Helper()
	if cfg == nil {
		cfg = &Config{}
	}
	cfg.Name = "n1"
	r := &rig{t: t, table: &table{m: fsm.New()}, follower: fsm.New()}
	r.raft = &fakeRaft{rig: r, term: 1, queue: make(chan *fakeFuture, 1024), resumed: make(chan struct{})}
	close(r.raft.resumed)
	r.e = newEngineAt(*cfg, r.table, r.raft, src)
	r.raft.wg.Go(r.raft.run)
	return r
}

// begin makes the engine lead in a term.
func (r *rig) begin(term uint64) {
	r.t.Helper()
	r.raft.mu.Lock()
	r.raft.term = term
	r.raft.mu.Unlock()
	if err := r.e.begin(term); err != nil {
		r.t.Fatal(err)
	}
}

// close ends everything; call it before a bubble ends.
func (r *rig) close() {
	r.raft.resume()
	r.e.stop()
	close(r.raft.queue)
	r.raft.wg.Wait()
}

// fakeRaft applies what is appended, in order, after a delay.
type fakeRaft struct {
	rig     *rig
	queue   chan *fakeFuture
	latency time.Duration
	lean    bool   // for benchmarks: no follower, no record of entries
	replay  func() // applies what the log holds of earlier terms, before the next entry
	wg      sync.WaitGroup

	mu       sync.Mutex
	term     uint64
	index    uint64
	verdict  error // not nil: entries are answered so
	applies  bool  // with a verdict: they are applied all the same
	resumed  chan struct{}
	entries  []*fsm.Entry // appended, in order
	sizes    []int
	clocks   []time.Duration
	confirm  func(ctx context.Context, term uint64) error
	confirms int
	most     int // entries in flight at a time
	now      int
}

type fakeFuture struct {
	entry []byte
	done  chan struct{}
	a     *fsm.Applied
	err   error
}

func (f *fakeFuture) Wait() (*fsm.Applied, error) {
	<-f.done
	return f.a, f.err
}

func (f *fakeRaft) Append(b []byte) future {
	x := &fakeFuture{entry: b, done: make(chan struct{})}
	f.mu.Lock()
	if !f.lean {
		e, err := fsm.DecodeEntry(b)
		if err != nil {
			panic(err)
		}
		f.entries = append(f.entries, e)
		f.sizes = append(f.sizes, len(b))
	}
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	f.queue <- x
	return x
}

func (f *fakeRaft) run() {
	for x := range f.queue {
		if f.latency > 0 {
			<-time.After(f.latency)
		}
		f.mu.Lock()
		resumed := f.resumed
		f.mu.Unlock()
		<-resumed
		f.mu.Lock()
		f.now--
		term, verdict, applies := f.term, f.verdict, f.applies
		f.mu.Unlock()
		if f.replay != nil {
			f.replay()
			f.replay = nil
		}
		if verdict == nil || applies {
			x.a = f.apply(term, x.entry)
		}
		if verdict != nil {
			x.a, x.err = nil, verdict
		}
		close(x.done)
	}
}

func (f *fakeRaft) apply(term uint64, b []byte) *fsm.Applied {
	f.index++
	e, _ := fsm.DecodeEntry(b)
	t := f.rig.table
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.m.Apply(f.index, term, e)
	f.rig.e.applied(a)
	if f.lean {
		return a
	}
	e, _ = fsm.DecodeEntry(b)
	f.rig.follower.Apply(f.index, term, e)
	return a
}

func (f *fakeRaft) ConfirmTerm(ctx context.Context, term uint64) error {
	f.mu.Lock()
	f.confirms++
	confirm, now := f.confirm, f.term
	f.mu.Unlock()
	if confirm != nil {
		return confirm(ctx, term)
	}
	if now != term {
		return errors.New("another term")
	}
	return nil
}

func (f *fakeRaft) PeerClocks() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clocks
}

// pause holds entries back before they are applied.
func (f *fakeRaft) pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resumed = make(chan struct{})
}

func (f *fakeRaft) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.resumed:
	default:
		close(f.resumed)
	}
}

// fail answers entries with err; applied or not.
func (f *fakeRaft) fail(err error, applies bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verdict, f.applies = err, applies
}

// since returns the entries appended after the first n, and how many there are.
func (f *fakeRaft) since(n int) ([]*fsm.Entry, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.entries[n:], len(f.entries)
}

func (f *fakeRaft) count() int {
	_, n := f.since(0)
	return n
}

func submitTo(queue string, n int) *fsmpb.Command {
	specs := make([]*fsmpb.TaskSpec, n)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{Queue: queue}
	}
	return &fsmpb.Command{Principal: "client:t", Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs}}}
}

// submit orders n tasks and returns their ids.
func (r *rig) submit(queue string, n int) []uint64 {
	r.t.Helper()
	res, _, err := r.e.propose(r.t.Context(), submitTo(queue, n))
	if err != nil || len(res.IDs) != n {
		r.t.Fatalf("submit: %v, %d ids", err, len(res.IDs))
	}
	return res.IDs
}

func hello(worker, boot string, slots int, queues ...string) Hello {
	h := Hello{Worker: worker, Boot: boot, Slots: slots}
	for _, q := range queues {
		h.Queues = append(h.Queues, fsm.QueueWeight{Queue: q, Weight: 1})
	}
	return h
}

// attach opens a stream.
func (r *rig) attach(h Hello) *Stream {
	r.t.Helper()
	s, err := r.e.attach(r.t.Context(), h)
	if err != nil {
		r.t.Fatalf("attach %s: %v", h.Worker, err)
	}
	return s
}

// next returns the next batch, its slices copied.
func (r *rig) next(s *Stream) Batch {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		r.t.Fatalf("next: %v", err)
	}
	c := *b
	c.Assignments = append([]*fsm.Task(nil), b.Assignments...)
	c.Outcomes = append([]TaskOutcome(nil), b.Outcomes...)
	c.Aborts = append([]Abort(nil), b.Aborts...)
	return c
}

// complete reports success for tasks.
func (r *rig) complete(s *Stream, tasks ...*fsm.Task) {
	r.t.Helper()
	items := make([]*fsmpb.Completion, len(tasks))
	for i, t := range tasks {
		items[i] = &fsmpb.Completion{Task: t.ID, Fence: t.Fence, Digest: 1}
	}
	if err := s.Report(r.t.Context(), items, nil, nil); err != nil {
		r.t.Fatalf("report: %v", err)
	}
}

// task returns a task's record.
func (r *rig) task(id uint64) *fsm.Task {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	t, _ := r.table.m.Task(id)
	return t
}

// sameTables fails the test when the follower's table differs.
func (r *rig) sameTables() {
	r.t.Helper()
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	if a, b := dump(r.t, r.table.m), dump(r.t, r.follower); string(a) != string(b) {
		r.t.Error("the two tables differ")
	}
}

func dump(t testing.TB, m *fsm.Machine) []byte {
	var b writer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

type writer []byte

var _ io.Writer = (*writer)(nil)

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// kinds names an entry's commands.
func kinds(e *fsm.Entry) []string {
	var out []string
	for _, c := range e.Commands {
		switch c.Kind.(type) {
		case *fsmpb.Command_Submit:
			out = append(out, "submit")
		case *fsmpb.Command_Assign:
			out = append(out, "assign")
		case *fsmpb.Command_Complete:
			out = append(out, "complete")
		case *fsmpb.Command_Fail:
			out = append(out, "fail")
		case *fsmpb.Command_Release:
			out = append(out, "release")
		case *fsmpb.Command_Cancel:
			out = append(out, "cancel")
		case *fsmpb.Command_Retry:
			out = append(out, "retry")
		case *fsmpb.Command_OpenSession:
			out = append(out, "open")
		case *fsmpb.Command_UpdateSession:
			out = append(out, "update")
		case *fsmpb.Command_CloseSession:
			out = append(out, "close")
		case *fsmpb.Command_ExpireSession:
			out = append(out, "expire")
		case *fsmpb.Command_Tick:
			out = append(out, "tick")
		case *fsmpb.Command_SetQueue:
			out = append(out, "set-queue")
		default:
			out = append(out, "other")
		}
	}
	return out
}
