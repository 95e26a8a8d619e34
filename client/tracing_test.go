package client_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

// seen collects which trace each handler found in its context.
type seen struct {
	mu     sync.Mutex
	traces map[uint64]trace.SpanContext
}

func (s *seen) handle(ctx context.Context, t *worker.Task) (worker.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traces[t.ID] = trace.SpanContextFromContext(ctx)
	if t.Kind == "parent" {
		return worker.Result{FollowUp: []*taskraftv1.TaskSpec{{}}}, nil
	}
	return worker.Result{}, nil
}

// Whichever way a task is submitted, its handler belongs to the trace of its
// submitter, below a span of the submit and one of the run; nothing is traced when
// nobody asks for it.
func TestTraces(t *testing.T) {
	exported := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported))
	m := tasktest.Start(t)
	s := &seen{traces: map[uint64]trace.SpanContext{}}
	m.Work(worker.Config{Default: s.handle, TracerProvider: provider})
	c := m.Client()
	wait := func(t *testing.T, id uint64) {
		t.Helper()
		if _, err := c.Wait(patient(t), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		submit func(ctx context.Context) (uint64, error)
	}{
		{"alone", func(ctx context.Context) (uint64, error) {
			r, err := c.Submit(ctx, client.Task{})
			return r.ID, err
		}},
		{"many", func(ctx context.Context) (uint64, error) {
			r, err := c.SubmitMany(ctx, make([]client.Task, 3))
			return r[2].ID, err
		}},
		{"a batch", func(ctx context.Context) (uint64, error) {
			r, err := c.SubmitBatch(ctx, client.Batch{Tasks: make([]client.Task, 1500)})
			return r.First + 1499, err
		}},
		{"a handle", func(ctx context.Context) (uint64, error) {
			h := c.SubmitAsync(ctx, client.Task{})
			<-h.Accepted()
			r, _ := h.Receipt()
			return r.ID, nil
		}},
		{"a handler's follow-up", func(ctx context.Context) (uint64, error) {
			r, err := c.Submit(ctx, client.Task{Kind: "parent"})
			if err == nil {
				_, err = c.Wait(ctx, r.ID)
			}
			return r.ID + 1, err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, span := provider.Tracer("test").Start(patient(t), "caller")
			id, err := tt.submit(ctx)
			if err != nil {
				t.Fatal(err)
			}
			span.End()
			wait(t, id)
			if got := s.traces[id]; got.TraceID() != span.SpanContext().TraceID() || !got.IsSampled() {
				t.Errorf("the handler of task %d is in trace %s, want %s", id, got.TraceID(), span.SpanContext().TraceID())
			}
			if below := ancestry(exported.GetSpans(), s.traces[id].SpanID()); !slices.Contains(below, "caller") || below[0] != "taskraft.run" || !slices.Contains(below, "taskraft.submit") {
				t.Errorf("the handler ran below %v", below)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		r, err := c.Submit(patient(t), client.Task{})
		if err != nil {
			t.Fatal(err)
		}
		wait(t, r.ID)
		if got := ancestry(exported.GetSpans(), s.traces[r.ID].SpanID()); !slices.Equal(got, []string{"taskraft.run"}) {
			t.Errorf("the handler ran below %v, want its run alone", got)
		}
		if rec, err := c.Get(patient(t), r.ID); err != nil || rec.GetSpec().GetTraceparent() != "" {
			t.Errorf("the task has the trace %q, %v", rec.GetSpec().GetTraceparent(), err)
		}
	})
}

// ancestry lists the names from a span up to its root.
func ancestry(spans tracetest.SpanStubs, id trace.SpanID) (names []string) {
	for id.IsValid() {
		i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.SpanContext.SpanID() == id })
		if i < 0 {
			return append(names, "?")
		}
		names = append(names, spans[i].Name)
		id = spans[i].Parent.SpanID()
	}
	return names
}

// A client with a provider of its own begins traces; one without passes on a context
// that only names somebody else's.
func TestWhoBeginsATrace(t *testing.T) {
	m := tasktest.Start(t)
	exported := tracetest.NewInMemoryExporter()
	own, err := client.New(client.Config{Masters: m.Addrs(), TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported))})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	r, err := own.Submit(patient(t), client.Task{})
	if err != nil {
		t.Fatal(err)
	}
	_, refused := own.Submit(patient(t), client.Task{Queue: "BAD"})
	var told []string
	for _, s := range exported.GetSpans() {
		told = append(told, fmt.Sprintf("%s %s %v", s.Name, s.Status.Code, s.Parent.IsValid()))
	}
	if diff := cmp.Diff([]string{"taskraft.submit Unset false", "taskraft.submit Error false"}, told); diff != "" || refused == nil {
		t.Errorf("spans (-want +got):\n%s%v", diff, refused)
	}
	sent, err := own.Get(patient(t), r.ID)
	if err != nil || sent.GetSpec().GetTraceparent() == "" {
		t.Errorf("the task has no trace: %v", err)
	}

	const named = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	sc := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
		SpanID:  trace.SpanID{0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	r, err = m.Client().Submit(trace.ContextWithRemoteSpanContext(patient(t), sc), client.Task{})
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := m.Client().Get(patient(t), r.ID); err != nil || rec.GetSpec().GetTraceparent() != named {
		t.Errorf("got %q %v, want %q", rec.GetSpec().GetTraceparent(), err, named)
	}
}
