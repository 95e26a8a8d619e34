package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// AttemptSpan is the id of an attempt's span: the same on every master.
func AttemptSpan(t trace.TraceID, fence uint64) (id trace.SpanID) {
	sum := derived("attempt", t[:], fence)
	copy(id[:], sum[:])
	return id
}

// Fired is the trace of a task that a schedule submitted at that time, and the id
// of its first span: the same on every master.
func Fired(task uint64, schedule string, submittedAt int64) (t trace.TraceID, id trace.SpanID) {
	sum := derived("fired", []byte(schedule), task, uint64(submittedAt))
	copy(t[:], sum[:])
	copy(id[:], sum[len(t):])
	return t, id
}

func derived(what string, of []byte, numbers ...uint64) [sha256.Size]byte {
	b := append([]byte("taskraft "+what+"\x00"), of...)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return sha256.Sum256(b)
}

// IDs makes ids for OpenTelemetry's SDK, as its IDGenerator: those of WithIDs, or
// random ones.
type IDs struct{}

type idsKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// WithIDs has the next span that is started in ctx get these ids. The trace is
// used only when ctx has no span.
func WithIDs(ctx context.Context, t trace.TraceID, s trace.SpanID) context.Context {
	return context.WithValue(ctx, idsKey{}, ids{t, s})
}

// NewIDs returns the ids of a trace's first span.
func (IDs) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if given, ok := ctx.Value(idsKey{}).(ids); ok {
		return given.trace, given.span
	}
	for !t.IsValid() {
		binary.NativeEndian.PutUint64(t[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t[8:], rand.Uint64())
	}
	return t, RandomSpan()
}

// NewSpanID returns the id of a further span.
func (IDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if given, ok := ctx.Value(idsKey{}).(ids); ok {
		return given.span
	}
	return RandomSpan()
}

// RandomSpan returns a random id of a span.
func RandomSpan() (s trace.SpanID) {
	for !s.IsValid() {
		binary.NativeEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}
