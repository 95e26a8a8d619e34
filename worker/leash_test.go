package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// The leash ends 0.99 TTL − 500 ms after the newest heartbeat that was answered was
// sent, whenever the answer came.
func TestLeash(t *testing.T) {
	const ttl, length = 10 * time.Second, 9400 * time.Millisecond
	for _, tt := range []struct {
		name string
		play func(l *leash)
		want time.Duration // from the start; 0: never
	}{
		{"no stream", func(*leash) {}, 0},
		{"no answer but the attach", func(l *leash) { l.attached(time.Now(), ttl); l.beat() }, length},
		{"a late attach", func(l *leash) {
			sent := time.Now()
			time.Sleep(3 * time.Second)
			l.attached(sent, ttl)
		}, length},
		{"answers", func(l *leash) {
			l.attached(time.Now(), ttl)
			for seq := range uint64(3) {
				time.Sleep(2 * time.Second)
				l.beat()
				time.Sleep(time.Second)
				l.answered(seq + 1)
			}
		}, 8*time.Second + length},
		{"one answer for three", func(l *leash) {
			l.attached(time.Now(), ttl)
			for range 3 {
				time.Sleep(time.Second)
				l.beat()
			}
			l.answered(2)
			l.answered(1)
			l.answered(9)
		}, 2*time.Second + length},
		{"another stream", func(l *leash) {
			l.attached(time.Now(), ttl)
			l.beat()
			time.Sleep(5 * time.Second)
			l.attached(time.Now(), ttl)
			l.answered(1) // of the former stream
		}, 5*time.Second + length},
		{"a shorter TTL", func(l *leash) { l.attached(time.Now(), time.Second) }, 490 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, ended := time.Now(), time.Duration(0)
				l := &leash{cut: func() { ended = time.Since(began) }}
				tt.play(l)
				time.Sleep(time.Minute)
				synctest.Wait()
				if ended != tt.want || l.over() != (tt.want != 0) {
					t.Errorf("ended after %v, over %v, want %v", ended, l.over(), tt.want)
				}
				l.stop()
			})
		})
	}
}

// H10, where the queue wants attempts to fence themselves: they end, and are handed
// back, before their session does. Others go on.
func TestH10SelfFence(t *testing.T) {
	ms := newMasters(t, 1)
	const ttl = time.Second
	begun := make(chan struct{}, 2)
	causes, release := make(chan error, 1), make(chan struct{})
	r := startWorker(t, ms, Config{Slots: 2, Handlers: map[string]Handler{
		"fenced": func(ctx context.Context, _ *Task) (Result, error) {
			begun <- struct{}{}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return Result{}, ctx.Err()
		},
		"free": func(ctx context.Context, task *Task) (Result, error) {
			begun <- struct{}{}
			select {
			case <-release:
				return echoHandler(ctx, task)
			case <-ctx.Done():
				return Result{}, context.Cause(ctx)
			}
		},
	}})
	sv := ms.next()
	sv.send(&taskraftv1.MasterMessage{Attached: &taskraftv1.Attached{Session: 1, Ttl: durationpb.New(ttl), HeartbeatEvery: durationpb.New(time.Minute)}})
	sv.send(&taskraftv1.MasterMessage{Assignments: []*taskraftv1.Assignment{
		{Task: 1, Fence: 101, Queue: "q", Kind: "fenced", Attempt: 1, SelfFence: true},
		{Task: 2, Fence: 102, Queue: "q", Kind: "free", Attempt: 1, Payload: []byte("work")},
		{Task: 3, Fence: 103, Queue: "q", Kind: "fenced", Attempt: 1, SelfFence: true}, // finds no slot
	}})
	<-begun
	<-begun
	if cause := <-causes; !errors.Is(cause, ErrSelfFenced) || !errors.Is(cause, ErrLost) {
		t.Fatalf("the context ended with %v", cause)
	}
	close(release)
	want := []said{{Task: 1, Verb: VerbRelease}, {Task: 2, Verb: VerbComplete, Text: "work"}, {Task: 3, Verb: VerbRelease}}
	if diff := cmp.Diff(want, sv.reports(3)); diff != "" {
		t.Fatal(diff)
	}
	// What comes after the end is not begun.
	sv.send(&taskraftv1.MasterMessage{Assignments: []*taskraftv1.Assignment{{Task: 4, Fence: 104, Queue: "q", Kind: "fenced", Attempt: 1, SelfFence: true}}})
	if diff := cmp.Diff([]said{{Task: 4, Verb: VerbRelease}}, sv.reports(1)); diff != "" {
		t.Fatal(diff)
	}
	sv.outcome(taskraftv1.Outcome_ACCEPTED, 1, 2, 3, 4)
	r.finish(sv)
}
