package tracing

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

const (
	good  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	quiet = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func TestParseAsTheStandardSays(t *testing.T) {
	for _, tt := range []struct {
		name, parent, state string
		want, wantState     string
	}{
		{"sampled", good, "", good, ""},
		{"not sampled", quiet, "", quiet, ""},
		{"with state", good, "a=1,b=2", good, "a=1,b=2"},
		{"a later version with more", "cc" + good[2:] + "-what-the-future-will-be-like", "", good, ""},
		{"state that cannot be read", good, "no", good, ""},
		{"state that is too long", good, "a=" + strings.Repeat("x", maxState), good, ""},
		{"nothing", "", "a=1", "", ""},
		{"version ff", "ff" + good[2:], "", "", ""},
		{"version 00 with more", good + "-00", "", "", ""},
		{"capitals", strings.ToUpper(good), "", "", ""},
		{"no trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "", "", ""},
		{"no span", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "", "", ""},
		{"too short", good[:54], "", "", ""},
		{"not hexadecimal", "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01", "", "", ""},
		{"blanks", " " + good, "", "", ""},
		{"a text", "hello", "", "", ""},
		{"a null byte", good[:10] + "\x00" + good[11:], "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := Parse(tt.parent, tt.state)
			if parent, state := Format(sc); parent != tt.want || state != tt.wantState {
				t.Errorf("got %q %q, want %q %q", parent, state, tt.want, tt.wantState)
			}
			packed, packedState := Pack(sc)
			if parent, state := Format(Unpack(packed, packedState)); parent != tt.want || state != tt.wantState {
				t.Errorf("from the log: got %q %q, want %q %q", parent, state, tt.want, tt.wantState)
			}
		})
	}
	for _, n := range []int{0, 24, 26} {
		if Unpack(make([]byte, n), "").IsValid() {
			t.Errorf("%d bytes are a context", n)
		}
	}
}

func TestIDs(t *testing.T) {
	tid, sid := Fired(7, "nightly", 1700000000)
	if again, same := Fired(7, "nightly", 1700000000); again != tid || same != sid || !tid.IsValid() || !sid.IsValid() {
		t.Error("ids of a fired task are not the same everywhere")
	}
	if other, _ := Fired(8, "nightly", 1700000000); other == tid {
		t.Error("two tasks have one trace")
	}
	if first, again := AttemptSpan(tid, 1), AttemptSpan(tid, 1); first == AttemptSpan(tid, 2) || first != again {
		t.Error("an attempt's span is not told by trace and fence")
	}
	ctx := WithIDs(context.Background(), tid, sid)
	if gotT, gotS := (IDs{}).NewIDs(ctx); gotT != tid || gotS != sid || (IDs{}).NewSpanID(ctx, trace.TraceID{}) != sid {
		t.Error("given ids are not taken")
	}
	a, s := IDs{}.NewIDs(context.Background())
	b, _ := IDs{}.NewIDs(context.Background())
	if !a.IsValid() || !s.IsValid() || a == b {
		t.Error("ids are not random")
	}
}
