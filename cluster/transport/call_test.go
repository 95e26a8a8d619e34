package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskraft/taskraft/cluster/transport/transporttest"
)

func TestCallsShareAConnection(t *testing.T) {
	ctx := within(t)
	var faults transporttest.Net
	cfg := config()
	cfg.Dial = faults.Dial
	n1, n2 := listen(t, "n1/a", cfg), listen(t, "n2/b", config())
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			want := fmt.Sprint(i)
			var got text
			if err := n1.Call(ctx, n2.self(), "echo", text{want}, &got); err != nil || got.S != want {
				t.Errorf("echo %s: %q, %v", want, got.S, err)
			}
		})
	}
	wg.Wait()
	if n := faults.Dials(n2.Addr()); n != 1 {
		t.Errorf("%d dials, want 1", n)
	}
}

func TestCallErrors(t *testing.T) {
	ctx := within(t)
	n2, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n2.Close() })
	started := make(chan time.Duration, 1)
	Handle(n2, Members, "fail", func(context.Context, Caller, text) (text, error) { return text{}, errors.New("not today") })
	Handle(n2, Members, "huge", func(context.Context, Caller, text) (text, error) {
		return text{strings.Repeat("x", MaxCall)}, nil
	})
	Handle(n2, Members, "hang", func(ctx context.Context, _ Caller, _ text) (text, error) {
		d, _ := ctx.Deadline()
		started <- time.Until(d)
		<-ctx.Done()
		return text{}, ctx.Err()
	})
	if err := errors.Join(n2.Listen(), n2.Adopt(cluster1, "n2/b")); err != nil {
		t.Fatal(err)
	}
	n1 := listen(t, "n1/a", config())

	for method, want := range map[string]string{
		"fail": "not today", "huge": "at most", "absent": "no such method",
	} {
		err := n1.Call(ctx, n2.self(), method, text{}, nil)
		remote, ok := errors.AsType[*RemoteError](err)
		if !ok || !strings.Contains(remote.Message, want) || remote.Unknown != (method == "absent") {
			t.Errorf("%s: %v", method, err)
		}
	}
	err = n1.Call(ctx, n2.self(), "fail", []int{1}, nil)
	if _, ok := errors.AsType[*RemoteError](err); !ok {
		t.Errorf("arguments of another shape: %v", err)
	}
	if err := n1.Call(ctx, n2.self(), "fail", text{strings.Repeat("x", MaxCall)}, nil); err == nil {
		t.Error("sent more than MaxCall")
	}

	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := n1.Call(short, n2.self(), "hang", text{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call past its deadline: %v", err)
	}
	if left := <-started; left > 100*time.Millisecond {
		t.Errorf("the callee had %s left, want at most 100ms", left)
	}
	lost := make(chan error, 1)
	hang := func() {
		go func() { lost <- n1.Call(ctx, n2.self(), "hang", text{}, nil) }()
		<-started
	}
	hang()
	n1.Isolate()
	if err := <-lost; !errors.Is(err, ErrIsolated) || !errors.Is(err, ErrConnLost) {
		t.Errorf("call over a connection that the caller itself ended: %v", err)
	}
	if err := n1.Resume(); err != nil {
		t.Fatal(err)
	}
	hang()
	n2.Close()
	if err := <-lost; !errors.Is(err, ErrConnLost) || errors.Is(err, ErrClosed) {
		t.Errorf("call over a connection that the peer ended: %v", err)
	}
}

// TestCallReconnects: a peer that came back is reached by the next calls.
func TestCallReconnects(t *testing.T) {
	ctx := within(t)
	n1, n2 := listen(t, "n1/a", config()), listen(t, "n2/b", config())
	to := n2.self()
	if err := ping(ctx, n1, to); err != nil {
		t.Fatal(err)
	}
	n2.Close()
	eventually(t, "the end is noticed", func() bool { return ping(ctx, n1, to) != nil })
	listen(t, "n2/b", Config{Bind: to.Addr})
	eventually(t, "the new process answers", func() bool { return ping(ctx, n1, to) == nil })
}

// TestSilentConnectionIsReplaced: after a cut, calls do not wait for TCP.
func TestSilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	var faults transporttest.Net
	cfg := config()
	cfg.Dial = faults.Dial
	n1, n2 := listen(t, "n1/a", cfg), listen(t, "n2/b", config())
	if err := ping(ctx, n1, n2.self()); err != nil {
		t.Fatal(err)
	}
	faults.Drop(n2.Addr())
	eventually(t, "the silent connection is given up", func() bool {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if err := ping(short, n1, n2.self()); err == nil {
			t.Fatal("a call got through")
		}
		return faults.Dials(n2.Addr()) > 1
	})
	faults.Allow(n2.Addr())
	eventually(t, "calls work again", func() bool { return ping(ctx, n1, n2.self()) == nil })
}

func BenchmarkCall(b *testing.B) {
	n1, n2 := listen(b, "n1/a", config()), listen(b, "n2/b", config())
	to := n2.self()
	b.ReportAllocs()
	for b.Loop() {
		if err := ping(b.Context(), n1, to); err != nil {
			b.Fatal(err)
		}
	}
}
