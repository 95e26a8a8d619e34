package rpc_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	callers    = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	others     = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
	notSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// observed is a master with tracing, and what it tells.
type observed struct {
	*master
	t        *testing.T
	exported *exporter
}

// exporter keeps spans and tells of news.
type exporter struct {
	*tracetest.InMemoryExporter
	news chan struct{}
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.InMemoryExporter.ExportSpans(ctx, spans)
	select {
	case e.news <- struct{}{}:
	default:
	}
	return err
}

func startObserved(t *testing.T) *observed {
	t.Helper()
	e := &exporter{tracetest.NewInMemoryExporter(), make(chan struct{}, 1)}
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(e), sdktrace.WithIDGenerator(tracing.IDs{}))
	return &observed{startMasterWith(t, rpc.NewTracing(p)), t, e}
}

// trace waits until a trace has so many spans, and returns each as
// "span(task): parent", in order, with the ends of attempts.
func (o *observed) trace(id string, n int) []string {
	o.t.Helper()
	var spans []tracetest.SpanStub
	over := time.After(10 * time.Second)
	for {
		spans = slices.DeleteFunc(o.exported.GetSpans(), func(s tracetest.SpanStub) bool { return s.SpanContext.TraceID().String() != id })
		if len(spans) >= n {
			break
		}
		select {
		case <-o.exported.news:
		case <-over:
			o.t.Fatalf("%d spans of trace %s after 10 s, want %d: %v", len(spans), id, n, spans)
		}
	}
	names := map[trace.SpanID]string{}
	for _, s := range spans {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var out []string
	for _, s := range spans {
		parent := names[s.Parent.SpanID()]
		switch {
		case !s.Parent.SpanID().IsValid():
			parent = "root"
		case parent == "":
			parent = s.Parent.SpanID().String()
		}
		text := []string{strings.TrimPrefix(s.Name, "taskraft.") + ": " + strings.TrimPrefix(parent, "taskraft.")}
		for _, a := range s.Attributes {
			switch a.Key {
			case tracing.CauseKey, tracing.StateKey, tracing.AttemptKey:
				text = append(text, a.Value.String())
			}
		}
		if s.Status.Code == codes.Error {
			text = append(text, "!"+s.Status.Description)
		}
		if s.EndTime.Before(s.StartTime) {
			text = append(text, "ends before it begins")
		}
		out = append(out, strings.Join(text, " "))
	}
	slices.Sort(out)
	return out
}

func (o *observed) done(as *taskraftv1.Assignment) {
	o.t.Helper()
	if out := complete(o.t, o.master, "w", as.GetTask(), as.GetFence(), ""); out != taskraftv1.Outcome_ACCEPTED {
		o.t.Fatalf("task %d: %v", as.GetTask(), out)
	}
}

// The whole life of tasks that a caller traces: one trace, an attempt's span for
// every attempt, the worker's context below it.
func TestSpansOfATask(t *testing.T) {
	o := startObserved(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", callers, "tracestate", "a=1", "tracestate", "b=2")
	resp, err := o.SubmitTask(ctx, &taskraftv1.SubmitTaskRequest{Task: &spec{
		Queue: "q", Backoff: &taskraftv1.Backoff{Base: durationpb.New(time.Millisecond)},
		OnSuccess: []*spec{{Queue: "after"}, {Queue: "after", Traceparent: others}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	first := pull(t, o.master, "w", 1, "q")
	if got, want := tracing.Parse(first.GetTraceparent(), first.GetTracestate()), tracing.Parse(callers, "a=1,b=2"); got.TraceID() != want.TraceID() || !got.IsSampled() || first.GetTracestate() != "a=1,b=2" {
		t.Errorf("the worker is told %q %q", first.GetTraceparent(), first.GetTracestate())
	}
	if _, err := o.FailTask(t.Context(), &taskraftv1.FailTaskRequest{WorkerId: "w", BootId: "w-boot", Failure: &taskraftv1.Failure{
		Task: first.GetTask(), Fence: first.GetFence(), Error: "no such host",
	}}); err != nil {
		t.Fatal(err)
	}
	second := pull(t, o.master, "w", 2, "q")
	o.done(second)

	want := []string{
		"accept: 00f067aa0ba902b7",
		"attempt: accept 1 failed SCHEDULED !no such host",
		"attempt: accept 2 completed SUCCEEDED",
		"wait: accept 1",
		"wait: accept 2",
	}
	if diff := cmp.Diff(want, o.trace("4bf92f3577b34da6a3ce929d0e0e4736", len(want))); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	for _, as := range []*taskraftv1.Assignment{first, second} {
		told := tracing.Parse(as.GetTraceparent(), "").SpanID()
		if !slices.ContainsFunc(o.exported.GetSpans(), func(s tracetest.SpanStub) bool {
			return s.SpanContext.SpanID() == told && s.Name == tracing.AttemptSpanName
		}) {
			t.Errorf("no attempt has the span %s that its worker was told", told)
		}
	}
	got, err := o.GetTask(t.Context(), &taskraftv1.GetTaskRequest{Id: resp.GetId()})
	if err != nil || tracing.Parse(got.GetTask().GetSpec().GetTraceparent(), "").TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("the task says %q, %v", got.GetTask().GetSpec().GetTraceparent(), err)
	}
	a := pull(t, o.master, "v", 1, "after")
	if b := pull(t, o.master, "v", 2, "after", a.GetFence()); !strings.Contains(a.GetTraceparent(), "4bf92f") || !strings.Contains(b.GetTraceparent(), "aaaaaa") {
		t.Errorf("follow-ups go on with %q and %q", a.GetTraceparent(), b.GetTraceparent())
	}
}

// A context that cannot be read is none; a caller that does not sample has its
// context passed on and no spans made.
func TestOtherCallers(t *testing.T) {
	o := startObserved(t)
	send := func(parent ...string) *taskraftv1.Assignment {
		t.Helper()
		ctx := t.Context()
		for _, p := range parent {
			ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", p)
		}
		if _, err := o.SubmitTask(ctx, &taskraftv1.SubmitTaskRequest{Task: &spec{Queue: "q"}}); err != nil {
			t.Fatal(err)
		}
		as := pull(t, o.master, "w", uint64(time.Now().UnixNano()), "q")
		o.done(as)
		return as
	}
	for _, bad := range [][]string{nil, {"nonsense"}, {callers, others}} {
		as := send(bad...)
		id := tracing.Parse(as.GetTraceparent(), "").TraceID().String()
		want := []string{"accept: root", "attempt: accept 1 completed SUCCEEDED", "wait: accept 1"}
		if diff := cmp.Diff(want, o.trace(id, len(want))); diff != "" {
			t.Errorf("traceparent %q (-want +got):\n%s", bad, diff)
		}
	}
	before := len(o.exported.GetSpans())
	if as := send(notSampled); as.GetTraceparent() != notSampled {
		t.Errorf("the worker is told %q, want %q", as.GetTraceparent(), notSampled)
	}
	send() // what comes after it was told after it
	if n := len(o.trace(tracing.Parse(notSampled, "").TraceID().String(), 0)); n != 0 {
		t.Errorf("%d spans of a trace that is not sampled", n)
	}
	if len(o.exported.GetSpans()) == before {
		t.Error("nothing was told")
	}
}

// Many tasks of one call: those with a context of their own have a span each, the
// others share one. What request ids stand for does not depend on any of it.
func TestSpansOfACall(t *testing.T) {
	o := startObserved(t)
	req := &taskraftv1.SubmitTasksRequest{Tasks: []*spec{{Queue: "q"}, {Queue: "q", Traceparent: others, RequestId: "r"}, {Queue: "q"}}}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", callers)
	if _, err := o.SubmitTasks(ctx, req); err != nil {
		t.Fatal(err)
	}
	o.trace("4bf92f3577b34da6a3ce929d0e0e4736", 1)
	o.trace("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1)
	again, err := o.SubmitTask(t.Context(), &taskraftv1.SubmitTaskRequest{Task: &spec{Queue: "q", RequestId: "r"}})
	if err != nil || !again.GetExisting() {
		t.Errorf("the same request id from another trace: %v, %v", again, err)
	}
	batch := func(ctx string) *taskraftv1.SubmitBatchResponse {
		t.Helper()
		stream, err := o.SubmitBatch(metadata.AppendToOutgoingContext(t.Context(), "traceparent", ctx))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			m := &taskraftv1.SubmitBatchRequest{Tasks: []*spec{{Queue: "b"}}}
			if i == 0 {
				m.Batch = &taskraftv1.BatchSpec{RequestId: "batch", FollowUp: []*spec{{Queue: "f"}}}
			}
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := stream.CloseAndRecv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if batch(callers); !batch(others).GetExisting() {
		t.Error("the same batch from another trace is another one")
	}
	for i := range 2 {
		o.done(pull(t, o.master, "w", uint64(i+1), "b"))
	}
	if as := pull(t, o.master, "f", 1, "f"); !strings.Contains(as.GetTraceparent(), "4bf92f") {
		t.Errorf("the batch's follow-up goes on with %q", as.GetTraceparent())
	}
}

// A task of a schedule begins a trace of its own.
func TestSpansOfASchedule(t *testing.T) {
	o := startObserved(t)
	c := taskraftv1.NewScheduleServiceClient(o.conn)
	if _, err := c.CreateSchedule(t.Context(), createRequest("s", "@yearly")); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range 2 {
		if _, err := c.TriggerSchedule(t.Context(), &taskraftv1.TriggerScheduleRequest{Name: "s"}); err != nil {
			t.Fatal(err)
		}
		as := pull(t, o.master, "w", uint64(i+1), "q")
		o.done(as)
		id := tracing.Parse(as.GetTraceparent(), "").TraceID().String()
		want := []string{"attempt: fire 1 completed SUCCEEDED", "fire: root", "wait: fire 1"}
		if diff := cmp.Diff(want, o.trace(id, len(want))); diff != "" || seen[id] {
			t.Errorf("trace %s (-want +got):\n%s", id, diff)
		}
		seen[id] = true
	}
}

// Without tracing a master passes on what callers say.
func TestTracesWithoutTracing(t *testing.T) {
	m := startMaster(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", callers)
	if _, err := m.SubmitTask(ctx, &taskraftv1.SubmitTaskRequest{Task: &spec{Queue: "q"}}); err != nil {
		t.Fatal(err)
	}
	first := pull(t, m, "w", 1, "q")
	if first.GetTraceparent() != callers {
		t.Errorf("the worker is told %q, want %q", first.GetTraceparent(), callers)
	}
	submit(t, m, &spec{Queue: "q"})
	if as := pull(t, m, "w", 2, "q", first.GetFence()); as.GetTraceparent() != "" {
		t.Errorf("the worker of an untraced task is told %q", as.GetTraceparent())
	}
}
