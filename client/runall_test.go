package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

const patience = time.Minute

// patient is a context that only a broken build exhausts.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// upper answers a task with its payload in upper case; "die" makes it DEAD.
func upper(_ context.Context, t *worker.Task) (worker.Result, error) {
	if string(t.Payload) == "die" {
		return worker.Result{}, worker.Permanent(errors.New("it had to"))
	}
	return worker.Result{Data: []byte(strings.ToUpper(string(t.Payload)))}, nil
}

func numbered(n int) iter.Seq[client.Task] {
	return func(yield func(client.Task) bool) {
		for i := range n {
			if !yield(client.Task{Payload: fmt.Appendf(nil, "n%d", i)}) {
				return
			}
		}
	}
}

// Every task of the input is yielded once, also over a restart of the master.
func TestRunAll(t *testing.T) {
	const n = 4000
	m := tasktest.Start(t)
	m.Work(worker.Config{Slots: 100, Default: upper})
	seen := make(map[int]uint64, n)
	restarted := make(chan error, 1)
	for e, err := range m.Client().RunAll(patient(t), numbered(n), client.WithInFlight(300)) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := seen[e.Place]; twice || e.ID == 0 || string(e.Task.GetResult()) != fmt.Sprintf("N%d", e.Place) {
			t.Fatalf("got %+v", e)
		}
		if seen[e.Place] = e.ID; len(seen) == n/2 {
			go func() { restarted <- m.Restart() }()
		}
	}
	if err := <-restarted; err != nil || len(seen) != n {
		t.Fatalf("%d of %d tasks, restart: %v", len(seen), n, err)
	}
	ids := slices.Sorted(maps.Values(seen))
	if len(slices.Compact(ids)) != n || ids[n-1] != n {
		t.Errorf("%d ids up to %d, want %d tasks and no more", len(ids), ids[len(ids)-1], n)
	}
}

// An error concerns its own task and no other, whatever it is and wherever it is
// found out.
func TestRunAllErrors(t *testing.T) {
	m := tasktest.Start(t)
	m.Work(worker.Config{Default: upper})
	c := m.Client()
	if _, err := c.Submit(t.Context(), client.Task{Payload: []byte("first"), RequestID: "r"}); err != nil {
		t.Fatal(err)
	}
	noInput := errors.New("no such line")
	input := []struct {
		task client.Task
		err  error
		want func(error) bool
	}{
		{task: client.Task{Payload: []byte("a")}},
		{err: noInput, want: func(err error) bool { return errors.Is(err, noInput) }},
		{task: client.Task{Queue: "No such name"}, want: invalidField("queue")},
		{task: client.Task{Payload: []byte("die")}, want: func(err error) bool {
			e, ok := errors.AsType[*client.EndedError](err)
			return ok && errors.Is(err, client.ErrDead) && e.Task.GetError() == "it had to"
		}},
		{task: client.Task{Payload: []byte("b")}},
		{task: client.Task{Kind: "\xff"}, want: invalidField("kind")},
		{task: client.Task{Payload: make([]byte, 65537)}, want: invalidField("payload")},
		{task: client.Task{Payload: []byte("other"), RequestID: "r"}, want: func(err error) bool {
			e, ok := errors.AsType[*client.Error](err)
			return ok && e.Reason == reason.RequestIDConflict
		}},
		{task: client.Task{Payload: []byte("first"), RequestID: "r"}},
		{task: client.Task{ExpiresIn: time.Millisecond, Delay: time.Hour}, want: func(err error) bool { return errors.Is(err, client.ErrCancelled) }},
		{task: client.Task{Payload: []byte("c")}},
	}
	seen := 0
	for e, err := range c.TryAll(patient(t), func(yield func(client.Task, error) bool) {
		for _, in := range input {
			if !yield(in.task, in.err) {
				return
			}
		}
	}) {
		seen++
		in := input[e.Place]
		switch {
		case in.want == nil && (err != nil || string(e.Task.GetResult()) != strings.ToUpper(string(in.task.Payload))):
			t.Errorf("%d: %v, %v", e.Place, e.Task, err)
		case in.want != nil && !in.want(err):
			t.Errorf("%d: unexpected error %v", e.Place, err)
		}
	}
	if seen != len(input) {
		t.Errorf("%d of %d tasks were told of", seen, len(input))
	}
}

func invalidField(name string) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*client.Error](err)
		return ok && e.Reason == reason.InvalidField && len(e.Fields) == 1 && e.Fields[0].Name == name
	}
}

// Who leaves the loop leaves nothing behind (TestMain looks for goroutines), reads
// at most as far ahead as is allowed, and what was submitted goes on.
func TestRunAllIsLeft(t *testing.T) {
	m := tasktest.Start(t)
	hold := make(chan struct{})
	m.Work(worker.Config{Slots: 50, Default: func(ctx context.Context, task *worker.Task) (worker.Result, error) {
		if string(task.Payload) != "n0" {
			<-hold
		}
		return upper(ctx, task)
	}})
	read := 0
	var first uint64
	for e, err := range m.Client().RunAll(patient(t), func(yield func(client.Task) bool) {
		for task := range numbered(1 << 30) {
			read++
			if !yield(task) {
				return
			}
		}
	}, client.WithInFlight(20)) {
		if err != nil {
			t.Fatal(err)
		}
		first = e.ID
		break
	}
	close(hold)
	if read < 1 || read > 22 {
		t.Errorf("%d tasks were read, want at most one more than 20 in flight and the first", read)
	}
	if task, err := m.Client().Wait(patient(t), first+1); err != nil || task.GetState() != taskraftv1.TaskState_SUCCEEDED {
		t.Errorf("the next task: %v, %v, want it done", task, err)
	}
}

// When the context ends, every task that is under way is told of.
func TestRunAllContextEnds(t *testing.T) {
	m := tasktest.Start(t) // without a worker: nothing ends
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	places := map[int]uint64{}
	for e, err := range m.Client().RunAll(ctx, func(yield func(client.Task) bool) {
		for task := range numbered(1 << 30) {
			if len(task.Payload) == len("n1234") { // in flight are n0 to n999
				break
			}
			if !yield(task) {
				return
			}
		}
		cancel(enough)
	}, client.WithInFlight(1000)) {
		if !errors.Is(err, enough) {
			t.Fatalf("got %+v, %v", e, err)
		}
		places[e.Place] = e.ID
	}
	if len(places) != 1000 {
		t.Errorf("%d places, want 1000", len(places))
	}
}

// calls counts what goes over the wire.
type calls struct{ submits, watches atomic.Int64 }

func (n *calls) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			n.submits.Add(1)
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if method == taskraftv1.TaskService_WatchTasks_FullMethodName {
				n.watches.Add(1)
			}
			return streamer(ctx, desc, cc, method, opts...)
		}),
	}
}

// Ten thousand handles cost some tens of calls and one stream.
func TestHandlesAreCheap(t *testing.T) {
	const n = 10_000
	m := tasktest.Start(t)
	m.Work(worker.Config{Slots: 500, Default: upper})
	var count calls
	c, err := client.New(client.Config{Masters: m.Addrs(), DialOptions: count.options()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := patient(t)
	handles := make([]*client.Handle, n)
	for i := range handles {
		handles[i] = c.SubmitAsync(ctx, client.Task{Payload: fmt.Appendf(nil, "n%d", i)})
	}
	for i, h := range handles {
		<-h.Accepted()
		if r, ok := h.Receipt(); !ok || r.ID == 0 {
			t.Fatalf("%d: %+v", i, r)
		}
		<-h.Done()
		if task, err := h.Result(); err != nil || string(task.GetResult()) != fmt.Sprintf("N%d", i) || len(task.GetSpec().GetPayload()) != 0 {
			t.Fatalf("%d: %v, %v", i, task, err)
		}
	}
	t.Logf("%d submits, %d watches", count.submits.Load(), count.watches.Load())
	if count.submits.Load() > n/20 || count.watches.Load() != 1 {
		t.Errorf("%d submits and %d watches for %d handles", count.submits.Load(), count.watches.Load(), n)
	}
}

func TestHandleEndsWithItsContext(t *testing.T) {
	m := tasktest.Start(t)
	c := m.Client()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	h := c.SubmitAsync(gone, client.Task{})
	<-h.Accepted()
	if _, err := h.Result(); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUncertain) {
		t.Errorf("with a context that has ended: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h = c.SubmitAsync(ctx, client.Task{})
	other := c.SubmitAsync(t.Context(), client.Task{RequestID: "r"})
	same := c.SubmitAsync(ctx, client.Task{RequestID: "r"})
	for _, h := range []*client.Handle{h, other, same} {
		<-h.Accepted()
	}
	cancel()
	for _, h := range []*client.Handle{h, same} {
		r, ok := h.Receipt()
		if _, err := h.Result(); !errors.Is(err, context.Canceled) || !ok {
			t.Errorf("task %d: %v", r.ID, err)
		}
	}
	m.Work(worker.Config{Default: upper})
	if task, err := other.Result(); err != nil || task.GetState() != taskraftv1.TaskState_SUCCEEDED {
		t.Errorf("the handle that was left: %v, %v", task, err)
	}
}

// Close fails what is under way, and what comes after it.
func TestHandlesOfAClosedClient(t *testing.T) {
	m := tasktest.Start(t)
	c, err := client.New(client.Config{Masters: m.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	before := c.SubmitAsync(t.Context(), client.Task{})
	<-before.Accepted()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	after := c.SubmitAsync(t.Context(), client.Task{})
	for name, h := range map[string]*client.Handle{"before": before, "after": after} {
		if task, err := h.Result(); err == nil {
			t.Errorf("%s: got %v", name, task)
		}
	}
}

// A task that was never there, or is trimmed, is told of as such: the wait of
// another handle goes on.
func TestHandleOfATrimmedTask(t *testing.T) {
	m := tasktest.Start(t)
	c := m.Client()
	first := c.SubmitAsync(t.Context(), client.Task{RequestID: "r", Retain: time.Second})
	<-first.Accepted()
	m.Work(worker.Config{Default: upper})
	if _, err := first.Result(); err != nil {
		t.Fatal(err)
	}
	ctx := patient(t)
	for r, _ := first.Receipt(); ; {
		if _, err := c.Get(ctx, r.ID); err != nil {
			break // trimmed
		}
	}
	again := c.SubmitAsync(ctx, client.Task{RequestID: "r", Retain: time.Second})
	_, err := again.Result()
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Reason != reason.Forgotten {
		t.Errorf("got %v, want FORGOTTEN", err)
	}
	if diff := cmp.Diff(client.Receipt{ID: 1, Existing: true}, receipt(again)); diff != "" {
		t.Error(diff)
	}
}

func receipt(h *client.Handle) client.Receipt {
	r, _ := h.Receipt()
	r.Index = 0
	return r
}

// BenchmarkRunAll measures tasks from submit to result: client, a master that
// writes to its disk, and worker in one process.
func BenchmarkRunAll(b *testing.B) {
	m, err := tasktest.Open(tasktest.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	m.Work(worker.Config{Slots: 1000, Default: func(context.Context, *worker.Task) (worker.Result, error) { return worker.Result{}, nil }})
	payload := make([]byte, 256)
	b.ReportAllocs()
	b.ResetTimer()
	for _, err := range m.Client().RunAll(b.Context(), func(yield func(client.Task) bool) {
		for i := 0; i < b.N && yield(client.Task{Payload: payload}); i++ {
		}
	}, client.WithInFlight(4000)) {
		if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
