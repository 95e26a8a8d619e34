package worker_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

// cable is a network that can be cut: nothing passes then, and nothing ends.
type cable struct {
	mu    sync.Mutex
	whole chan struct{} // closed while it is whole
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = make(chan struct{})
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.whole)
}

func (c *cable) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	return &cableConn{Conn: conn, cable: c, closed: make(chan struct{})}, err
}

type cableConn struct {
	net.Conn
	cable  *cable
	once   sync.Once
	closed chan struct{}
}

func (c *cableConn) pass() {
	c.cable.mu.Lock()
	whole := c.cable.whole
	c.cable.mu.Unlock()
	select {
	case <-whole:
	case <-c.closed:
	}
}

func (c *cableConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pass()
	return n, err
}

func (c *cableConn) Write(p []byte) (int, error) {
	c.pass()
	return c.Conn.Write(p)
}

func (c *cableConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A worker that is cut off ends its execution before another worker begins the
// next one, when the queue wants that (S7); otherwise it goes on, and its late
// result is refused.
func TestSelfFencedExecutionsDoNotOverlap(t *testing.T) {
	for _, fenced := range []bool{true, false} {
		name := "goes on"
		if fenced {
			name = "self fence"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := tasktest.Start(t)
			if _, err := m.Client().UpdateQueue(t.Context(), "q", client.QueueSettings{MaxRunning: 8, SelfFence: fenced}); err != nil {
				t.Fatal(err)
			}
			line := &cable{whole: make(chan struct{})}
			line.mend()
			began, ended, next := make(chan struct{}), make(chan time.Time, 1), make(chan time.Time, 1)
			settled := make(chan worker.Settled, 1)
			m.Work(worker.Config{
				ID: "cut", Slots: 1, TTL: time.Second, Queues: []worker.Queue{{Name: "q"}},
				DialOptions: []grpc.DialOption{grpc.WithContextDialer(line.dial)},
				OnOutcome:   func(s worker.Settled) { settled <- s },
				Default: func(ctx context.Context, _ *worker.Task) (worker.Result, error) {
					close(began)
					<-ctx.Done()
					ended <- time.Now()
					if fenced != errors.Is(context.Cause(ctx), worker.ErrSelfFenced) {
						t.Errorf("the execution ended with %v", context.Cause(ctx))
					}
					return worker.Result{Data: []byte("late")}, nil
				},
			})
			r, err := m.Client().Submit(t.Context(), client.Task{Queue: "q"})
			if err != nil {
				t.Fatal(err)
			}
			<-began
			line.cut()
			m.Work(worker.Config{ID: "whole", Slots: 1, Queues: []worker.Queue{{Name: "q"}}, Default: func(context.Context, *worker.Task) (worker.Result, error) {
				next <- time.Now()
				return worker.Result{Data: []byte("in time")}, nil
			}})
			got, err := m.Client().Wait(t.Context(), r.ID)
			if err != nil || string(got.GetResult()) != "in time" {
				t.Fatalf("the task ended as %v (%v)", got, err)
			}
			line.mend()
			second, first := <-next, <-ended
			if first.Before(second) != fenced {
				t.Errorf("the first execution ended %v after the second began", first.Sub(second))
			}
			if s := <-settled; s.Outcome.String() != "ALREADY_TERMINAL" {
				t.Errorf("the late result is answered %v", s.Outcome)
			}
		})
	}
}
