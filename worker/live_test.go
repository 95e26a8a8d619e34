package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// hearing puts together what a worker says of one attempt.
type hearing struct {
	t        *testing.T
	fence    uint64
	output   []byte // without what is missing
	missing  uint64
	next     uint64 // offset
	ended    bool
	progress []string
	bytes    int // received, said again or not
}

func (h *hearing) hear(m *taskraftv1.WorkerMessage) {
	h.t.Helper()
	for _, p := range m.GetProgress() {
		if p.GetFence() == h.fence {
			h.progress = append(h.progress, fmt.Sprintf("%.2f %d/%d %s", p.GetFraction(), p.GetDone(), p.GetTotal(), p.GetMessage()))
		}
	}
	for _, c := range m.GetOutput() {
		if c.GetFence() != h.fence {
			continue
		}
		h.bytes += len(c.GetData())
		if c.GetOffset() > h.next {
			h.missing += c.GetOffset() - h.next
			h.next = c.GetOffset()
		}
		if again := h.next - c.GetOffset(); again < uint64(len(c.GetData())) {
			h.output = append(h.output, c.GetData()[again:]...)
			h.next = c.GetOffset() + uint64(len(c.GetData()))
		}
		if c.GetEnd() {
			h.ended = true
		}
	}
}

// until receives until ok, answering heartbeats.
func (h *hearing) until(sv *served, what string, ok func(*taskraftv1.WorkerMessage) bool) {
	h.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case m, open := <-sv.in:
			if !open {
				h.t.Fatalf("the stream ended before %s", what)
			}
			if b := m.GetHeartbeat(); b != nil {
				sv.send(&taskraftv1.MasterMessage{Heartbeat: &taskraftv1.HeartbeatAck{Seq: b.GetSeq()}})
			}
			h.hear(m)
			if ok(m) {
				return
			}
		case <-limit:
			h.t.Fatalf("not in time: %s", what)
		}
	}
}

func completed(m *taskraftv1.WorkerMessage) bool { return len(m.GetCompletions()) > 0 }

// What a handler says is heard before its result, in order, and at the end that it
// is the end.
func TestOutputAndProgress(t *testing.T) {
	ms := newMasters(t, 1)
	step := make(chan struct{})
	r := startWorker(t, ms, Config{Default: func(ctx context.Context, _ *Task) (Result, error) {
		fmt.Fprint(Output(ctx, Stdout), "one ")
		if err := Progress(ctx, 0.25, "a\nline"); err != nil {
			t.Error(err)
		}
		<-step
		fmt.Fprint(Output(ctx, Stderr), "two ")
		fmt.Fprint(Output(ctx, Stdout), "three")
		if err := ProgressOf(ctx, 3, 4, strings.Repeat("é", 200)); err != nil {
			t.Error(err)
		}
		return Result{}, nil
	}})
	sv := ms.accept()
	sv.assign("k", 1)
	h := &hearing{t: t, fence: 101}
	h.until(sv, "the first output", func(*taskraftv1.WorkerMessage) bool { return string(h.output) == "one " && len(h.progress) == 1 })
	close(step)
	h.until(sv, "the completion", completed)
	if string(h.output) != "one two three" || h.missing != 0 || !h.ended {
		t.Errorf("output %q, %d missing, ended %v", h.output, h.missing, h.ended)
	}
	if h.progress[0] != "0.25 0/0 a line" {
		t.Errorf("progress %q", h.progress)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	r.finish(sv)
}

func TestProgressIsChecked(t *testing.T) {
	for _, bad := range []float64{-0.01, 1.01, math.NaN(), math.Inf(1)} {
		if Progress(t.Context(), bad, "") == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if ProgressOf(t.Context(), 2, 1, "") == nil || ProgressOf(t.Context(), 0, 0, "") == nil {
		t.Error("2 of 1, or 0 of 0, was taken")
	}
	// Outside a handler both do nothing.
	if err := Progress(t.Context(), 1, ""); err != nil || Output(t.Context(), Stdout) != io.Discard {
		t.Error("something happens outside a handler")
	}
}

// E18: a handler that writes a million lines as fast as it can is not held up, costs
// little memory and little of the stream, and the end of its output is heard.
func TestE18(t *testing.T) {
	const lines = 1_000_000
	ms := newMasters(t, 1)
	took := make(chan time.Duration, 1)
	kept := make(chan int, 1)
	r := startWorker(t, ms, Config{Default: func(ctx context.Context, _ *Task) (Result, error) {
		began, out := time.Now(), Output(ctx, Stdout)
		line := []byte("line 0000000\n")
		for i := range lines {
			copy(line[5:], fmt.Sprintf("%07d", i))
			if n, err := out.Write(line); n != len(line) || err != nil {
				t.Errorf("line %d: %d, %v", i, n, err)
			}
		}
		took <- time.Since(began)
		v := attemptOf(ctx).voice()
		kept <- v.bytes
		return Result{}, nil
	}})
	sv := ms.accept()
	sv.assign("k", 1)
	h := &hearing{t: t, fence: 101}
	h.until(sv, "the completion", completed)
	d := <-took
	most := int(d/sayEvery+2)*sayBytes + maxKeep
	if h.bytes > most {
		t.Errorf("%d bytes went up in %s, want at most %d", h.bytes, d, most)
	}
	if n := <-kept; n > maxKeep {
		t.Errorf("%d bytes are kept, want at most %d", n, maxKeep)
	}
	if !bytes.HasSuffix(h.output, fmt.Appendf(nil, "line %07d\n", lines-1)) || !h.ended {
		t.Errorf("the end is %.40q", h.output[max(len(h.output)-40, 0):])
	}
	if h.missing+uint64(len(h.output)) != 13*lines {
		t.Errorf("%d bytes heard and %d missing, want %d", len(h.output), h.missing, 13*lines)
	}
	t.Logf("%d lines in %s: %d bytes heard, %d missing", lines, d, len(h.output), h.missing)
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
	r.finish(sv)
}

// On a new stream everything is said again: by the attempt that runs, by the one
// whose outcome was not seen, and by the one whose outcome was seen a moment ago.
func TestSaidAgain(t *testing.T) {
	ms := newMasters(t, 1)
	hold := make(chan struct{})
	r := startWorker(t, ms, Config{Default: func(ctx context.Context, task *Task) (Result, error) {
		fmt.Fprintf(Output(ctx, Stdout), "output of %d", task.ID)
		_ = Progress(ctx, 0.5, "half")
		if task.ID == 3 {
			<-hold
		}
		return Result{}, nil
	}})
	sv := ms.accept()
	hs := []*hearing{{t: t, fence: 101}, {t: t, fence: 102}, {t: t, fence: 103}}
	for i, h := range hs {
		sv.assign("k", uint64(i+1))
		h.until(sv, "its output", func(*taskraftv1.WorkerMessage) bool { return len(h.output) > 0 && (i == 2 || h.ended) })
		if i == 0 {
			sv.outcome(taskraftv1.Outcome_ACCEPTED, 1)
			<-r.settled
		}
	}
	sv.breakOff(nil)
	sv = ms.accept()
	hs = []*hearing{{t: t, fence: 101}, {t: t, fence: 102}, {t: t, fence: 103}}
	said := &hearing{t: t}
	said.until(sv, "all of it", func(m *taskraftv1.WorkerMessage) bool {
		for _, h := range hs {
			h.hear(m)
		}
		return hs[0].ended && hs[1].ended && len(hs[2].output) > 0 && len(hs[2].progress) > 0
	})
	for i, h := range hs {
		if want := fmt.Sprintf("output of %d", i+1); string(h.output) != want || h.missing != 0 || h.ended != (i < 2) {
			t.Errorf("%d: %q, %d missing, ended %v", i+1, h.output, h.missing, h.ended)
		}
	}
	close(hold)
	hs[2].until(sv, "the end of the last", func(*taskraftv1.WorkerMessage) bool { return hs[2].ended })
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 2, 3)
	r.finish(sv)
}

// Many attempts, each with much output, share what the worker keeps and sends.
func TestLiveIsBounded(t *testing.T) {
	const attempts = 600
	l := newLive(4096)
	if l.keep != minKeep {
		t.Fatalf("keep %d", l.keep)
	}
	newVoice := func(fence uint64) *voice {
		a := &attempt{live: l, task: Task{ID: fence, Fence: fence, Attempt: 1}}
		return a.voice()
	}
	out := taskraftv1.OutputStream_STDOUT
	for fence := range uint64(attempts) {
		v := newVoice(fence)
		for range 3 * minKeep / 10 { // the smallest pieces, in turn, cost most
			v.write(out, []byte("12345"))
			v.write(taskraftv1.OutputStream_STDERR, []byte("67890"))
		}
		if n := len(v.chunks) * chunkCost; v.bytes > minKeep || n > minKeep {
			t.Fatalf("%d bytes kept in %d chunks", v.bytes, len(v.chunks))
		}
		v.write(out, make([]byte, 10*minKeep))
		if v.bytes > minKeep+chunkCost+l.chunk || v.next != uint64(3*minKeep/10*10+10*minKeep) {
			t.Fatalf("%d bytes kept, the next at %d", v.bytes, v.next)
		}
	}
	var m taskraftv1.WorkerMessage
	l.collect(&m)
	if n := proto.Size(&m); n > sayBytes+sayBytes/4 {
		t.Errorf("a message of %d bytes", n)
	}
	for _, v := range l.voices {
		l.end(v)
		l.settled(v)
	}
	if l.left > allLast || len(l.voices) != len(l.leaving) || len(l.voices) == attempts {
		t.Errorf("%d bytes of %d attempts are kept for the last words", l.left, len(l.voices))
	}
	for range 100 { // what was forgotten says nothing more
		m.Reset()
		l.collect(&m)
	}
	if len(m.GetOutput()) != 0 || len(l.turns) != 0 {
		t.Errorf("%d chunks and %d turns are left", len(m.GetOutput()), len(l.turns))
	}
}

// Without credit an attempt's last output is dropped, its end is not.
func TestLastOutputIsBounded(t *testing.T) {
	began := time.Now()
	l := newLive(1)
	sent := 0
	for fence := range uint64(1000) {
		a := &attempt{live: l, task: Task{ID: fence, Fence: fence}}
		v := a.voice()
		v.write(taskraftv1.OutputStream_STDOUT, make([]byte, maxKeep))
		l.end(v)
		out, n := l.last(v, nil)
		sent += n
		if end := out[len(out)-1]; !end.GetEnd() || end.GetOffset() != maxKeep {
			t.Fatalf("the end is %v", end)
		}
	}
	if most := maxCredit + int(time.Since(began).Seconds()*creditRate); sent < maxCredit-2*maxKeep || sent > most {
		t.Errorf("%d bytes, want %d to %d", sent, maxCredit-2*maxKeep, most)
	}
}

// A goroutine that a handler has left behind says nothing and is not remembered.
func TestNothingIsSaidAfterTheEnd(t *testing.T) {
	l := newLive(1)
	a := &attempt{live: l, task: Task{ID: 1, Fence: 1}}
	a.gone.Store(true)
	a.voice().write(taskraftv1.OutputStream_STDOUT, []byte("late"))
	if v := a.voice(); v.bytes != 0 || len(l.voices) != 0 || len(l.turns) != 0 {
		t.Errorf("%d bytes, %d voices, %d turns", v.bytes, len(l.voices), len(l.turns))
	}
}
