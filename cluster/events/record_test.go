package events

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/fsm"
)

func TestTypesHaveNames(t *testing.T) {
	if typeEnd > 64 {
		t.Error("a Filter's set has room for 64 types")
	}
	seen := make(map[string]bool)
	for x := Created; x < typeEnd; x++ {
		name := x.String()
		if name == "" || seen[name] || TypeOf(name) != x {
			t.Errorf("type %d is named %q", x, name)
		}
		seen[name] = true
	}
	if TypeOf("") != 0 || TypeOf("unknown") != 0 || typeEnd.String() != "unknown" || len(TypeNames()) != len(seen) {
		t.Error("a name without a type, or a type without a name")
	}
}

func TestCursor(t *testing.T) {
	for text, want := range map[string]Cursor{"0": {}, "7": {7, 0}, "1042.3": {1042, 3}, "18446744073709551615.4294967295": {1<<64 - 1, 1<<32 - 1}} {
		if got, err := ParseCursor(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ".", "1.", ".1", "-1", "+1", "1.-1", "1.2.3", "1_0", "x", "18446744073709551616", "1.4294967296", "１"} {
		if got, err := ParseCursor(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	if c := (Cursor{5, 2}); c.String() != "5.2" || !c.Before(Cursor{5, 3}) || !c.Before(Cursor{6, 0}) || c.Before(c) || c.Before(Cursor{4, 9}) {
		t.Error("the order of cursors")
	}
}

// anything fills an event with what often is like the one before.
func anything(rng *rand.Rand, v *Event) {
	text := func() string { return strings.Repeat("x", rng.IntN(3)) + fmt.Sprint(rng.IntN(2)) }
	v.Type = Type(1 + rng.IntN(int(typeEnd)-1))
	v.Principal, v.Queue, v.Kind, v.Worker = text(), text(), text(), text()
	v.Task, v.Fence, v.Session = rng.Uint64N(9), rng.Uint64(), rng.Uint64N(3)
	v.Generation, v.Attempt, v.State = rng.Uint32N(2), rng.Uint32N(3), fsm.State(rng.IntN(8))
	if rng.IntN(2) == 0 {
		return
	}
	v.Cause, v.Outcome = fsm.Cause(rng.IntN(9)), fsm.Outcome(rng.IntN(20))
	v.Error, v.Reason, v.Schedule, v.Member, v.Detail = text(), text(), text(), text(), text()
	v.Batch, v.Broadcast, v.Number, v.Count = rng.Uint64N(2), rng.Uint64N(2), rng.Uint64N(1<<40), rng.Uint64N(9)
}

// TestRecordsReadBack: what is encoded is decoded, and equal events have equal bytes.
func TestRecordsReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var enc, again Encoder
	var all []byte
	var want []Event
	for index := uint64(1); index < 300; index++ {
		term, now := index/50+1, int64(1e18)+int64(index)
		enc.Begin(index, term, now)
		again.Begin(index, term, now)
		for sub := range 1 + rng.IntN(20) {
			v := enc.Next()
			anything(rng, v)
			*again.Next() = *v
			again.Add()
			w := *v
			w.Index, w.Term, w.Now, w.Sub = index, term, now, uint32(sub+1)
			want = append(want, w)
			enc.Add()
		}
		b, _ := enc.Record()
		if b2, _ := again.Record(); string(b) != string(b2) {
			t.Fatal("the same events have other bytes")
		}
		all = append(binary.AppendUvarint(all, uint64(len(b))), b...)
	}
	var got []Event
	var d Decoder
	d.Reset(all)
	for {
		e, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			break
		}
		got = append(got, *e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestLikeEventsAreSmall: a thousand completions in one entry.
func TestLikeEventsAreSmall(t *testing.T) {
	var enc Encoder
	enc.Begin(1_000_000, 7, 1_750_000_000_000_000_000)
	for i := range uint64(1000) {
		*enc.Next() = Event{
			Type: Completed, Principal: "worker:host-17.example", Task: 5_000_000 + i, Generation: 1, State: fsm.Succeeded,
			Queue: "mail", Kind: "send", Attempt: 1, Fence: 9_000_000 + i, Session: 12, Worker: "host-17.example", Cause: fsm.CauseCompleted,
		}
		enc.Add()
	}
	if b, n := enc.Record(); n != 1000 || len(b) > 5200 {
		t.Errorf("%d events take %d bytes", n, len(b))
	}
}

// FuzzDecode: no bytes make the decoder panic, or go on for ever.
func FuzzDecode(f *testing.F) {
	var enc Encoder
	enc.Begin(3, 2, 1)
	*enc.Next() = Event{Type: Dead, Task: 3, Queue: "q", Error: "no", Cause: fsm.CauseFailed}
	enc.Add()
	*enc.Next() = Event{Type: QueueSet, Queue: "q", Detail: "paused"}
	enc.Add()
	b, _ := enc.Record()
	f.Add(append([]byte{byte(len(b))}, b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		d.Reset(b)
		for n := 0; ; n++ {
			if e, err := d.Next(); e == nil || err != nil {
				return
			}
			if n > len(b) {
				t.Fatal("more events than bytes")
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	var enc Encoder
	n := uint64(0)
	for b.Loop() {
		if n%128 == 0 {
			enc.Begin(n, 7, int64(n))
		}
		n++
		*enc.Next() = Event{
			Type: Completed, Principal: "worker:w1", Task: n, Generation: 1, State: fsm.Succeeded, Queue: "mail", Kind: "send",
			Attempt: 1, Fence: n, Session: 12, Worker: "w1", Cause: fsm.CauseCompleted,
		}
		enc.Add()
	}
}
