package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a fake task table that all masters of a test share: it remembers calls
// as the real one does.
type table struct {
	c *followtest.Cluster

	mu    sync.Mutex
	ids   map[string]uint64 // by client id and seq
	calls []*taskraftv1.Call
	next  uint64
	lose  func(n int) bool // whether to apply the n-th call and lose its answer
}

func newTable(t *testing.T, masters int) *table {
	t.Helper()
	tb := &table{c: followtest.New(t, masters), ids: map[string]uint64{}}
	tb.c.Call = tb.call
	tb.c.Lead(tb.c.Masters[0])
	return tb
}

func (tb *table) call(_ context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	submit := req.(interface{ GetCall() *taskraftv1.Call })
	call := submit.GetCall()
	tb.calls = append(tb.calls, proto.CloneOf(call))
	many, gathered := req.(*taskraftv1.SubmitTasksRequest)
	ids := make([]uint64, max(1, len(many.GetTasks())))
	for i := range ids {
		ids[i] = tb.id(fmt.Sprintf("%x/%d/%d", call.GetClientId(), call.GetSeq(), i))
	}
	if tb.lose != nil && tb.lose(len(tb.calls)) {
		next := tb.c.Masters[(slices.Index(tb.c.Masters, m)+1)%len(tb.c.Masters)]
		go m.Kill()
		tb.c.Lead(next)
		return nil, status.Error(codes.Unavailable, "connection reset")
	}
	if gathered {
		return &taskraftv1.SubmitTasksResponse{Ids: ids, Position: tb.c.Position(ids[0])}, nil
	}
	return &taskraftv1.SubmitTaskResponse{Id: ids[0], Position: tb.c.Position(ids[0])}, nil
}

// id is what the table remembers under a key.
func (tb *table) id(key string) uint64 {
	id, known := tb.ids[key]
	if !known {
		tb.next++
		id = tb.next
		tb.ids[key] = id
	}
	return id
}

func (tb *table) applied() uint64 {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return tb.next
}

func newClient(t *testing.T, addrs ...string) *Client {
	t.Helper()
	c, err := New(Config{Masters: addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// followed waits until the leader is known: a try on another master would count.
func followed(t *testing.T, c *Client) *Client {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.follow.Leader().GetGrpc() == "" {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("no leader")
		}
	}
	return c
}

func TestSubmit(t *testing.T) {
	tb := newTable(t, 3)
	c := followed(t, newClient(t, tb.c.Addrs()[2]))
	for want := uint64(1); want <= 3; want++ {
		r, err := c.Submit(t.Context(), Task{Queue: "q"})
		if err != nil || r.ID != want || r.Index != want {
			t.Fatalf("got %+v, %v; want id %d", r, err, want)
		}
	}
	for i, call := range tb.calls {
		want := &taskraftv1.Call{ClientId: tb.calls[0].GetClientId(), Seq: uint64(i + 1), AckedBelow: uint64(i + 1)}
		if !proto.Equal(call, want) || len(call.GetClientId()) != 16 {
			t.Errorf("call %d: %v, want %v", i, call, want)
		}
	}
}

// The leader applies a submit and dies before it answers: the repeat carries the
// same number, and the next master returns the first outcome (S3).
func TestALostAnswerIsNoSecondTask(t *testing.T) {
	tb := newTable(t, 3)
	tb.lose = func(n int) bool { return n == 2 }
	c := followed(t, newClient(t, tb.c.Addrs()...))
	for want := uint64(1); want <= 3; want++ {
		if r, err := c.Submit(t.Context(), Task{}); err != nil || r.ID != want {
			t.Fatalf("got %+v, %v; want id %d", r, err, want)
		}
	}
	if n := tb.applied(); n != 3 {
		t.Fatalf("%d tasks, want 3", n)
	}
	first := slices.IndexFunc(tb.calls, func(c *taskraftv1.Call) bool { return c.GetRepeat() })
	if first < 0 || tb.calls[first].GetSeq() != 2 || tb.calls[first].GetAckedBelow() != 2 {
		t.Fatalf("calls %v: want number 2 repeated", tb.calls)
	}
}

// Many callers, and leaders that die in turn with their answers.
func TestManyCallersThroughLeaderKills(t *testing.T) {
	tb := newTable(t, 5)
	tb.lose = func(n int) bool { return n%700 == 0 && n <= 2800 }
	c := newClient(t, tb.c.Addrs()...)
	const callers, each = 64, 60
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				r, err := c.Submit(t.Context(), Task{})
				mu.Lock()
				if err != nil || seen[r.ID] {
					t.Errorf("got %+v, %v; seen before: %v", r, err, seen[r.ID])
				}
				seen[r.ID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := tb.applied(); n != callers*each {
		t.Fatalf("%d tasks for %d submits", n, callers*each)
	}
}

func TestUncertain(t *testing.T) {
	tb := newTable(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tb.c.Call = func(ctx context.Context, _ *followtest.Master, _ proto.Message) (proto.Message, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := newClient(t, tb.c.Addrs()...)
	_, err := c.Submit(ctx, Task{})
	if !errors.Is(err, ErrUncertain) || !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoLeader) {
		t.Fatalf("got %v", err)
	}
	if c.calls.ackedBelow() != 2 {
		t.Fatal("a call that was given up still holds the window")
	}
	// The same as a read leaves nothing open.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	if _, err := c.Get(ctx, 1); errors.Is(err, ErrUncertain) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// A submit that Close cut short may have taken effect.
func TestCloseLeavesASentCallUncertain(t *testing.T) {
	c := followtest.New(t, 1)
	c.Lead(c.Masters[0])
	cl := newClient(t, c.Addrs()...)
	c.Call = func(ctx context.Context, _ *followtest.Master, _ proto.Message) (proto.Message, error) {
		go cl.Close()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := cl.Submit(t.Context(), Task{Queue: "q", Kind: "k"}); !errors.Is(err, ErrUncertain) {
		t.Fatalf("got %v, want ErrUncertain", err)
	}
}

func TestNoLeader(t *testing.T) {
	tb := newTable(t, 2)
	tb.c.Lead(nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := 0
	c, err := New(Config{Masters: tb.c.Addrs(), DialOptions: []grpc.DialOption{
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			err := invoke(ctx, method, req, reply, cc, opts...)
			if answers++; answers == 3 {
				cancel() // between two tries
			}
			return err
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Submit(ctx, Task{}); !errors.Is(err, ErrNoLeader) || !errors.Is(err, context.Canceled) || errors.Is(err, ErrUncertain) {
		t.Fatalf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	tb := newTable(t, 2)
	for _, m := range tb.c.Masters {
		m.Kill()
	}
	c := newClient(t, tb.c.Addrs()...)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Submit(ctx, Task{}); !errors.Is(err, ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUncertain) {
		t.Fatalf("got %v", err)
	}
}

func TestErrors(t *testing.T) {
	violation := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "queue", Description: "want [a-z]"}}}
	tests := []struct {
		name      string
		answer    error
		want      Error
		uncertain bool
	}{
		{
			"field", followtest.Status(codes.InvalidArgument, reason.InvalidField, nil, violation),
			Error{Code: codes.InvalidArgument, Reason: reason.InvalidField, Fields: []Field{{"queue", "want [a-z]"}}},
			false,
		},
		{
			"conflict", followtest.Status(codes.AlreadyExists, reason.RequestIDConflict, map[string]string{"id": "7"}),
			Error{Code: codes.AlreadyExists, Reason: reason.RequestIDConflict, Metadata: map[string]string{"id": "7"}},
			false,
		},
		{"forgotten call", followtest.Status(codes.FailedPrecondition, reason.CallForgotten, nil), Error{Code: codes.FailedPrecondition, Reason: reason.CallForgotten}, true},
		{"panic there", followtest.Status(codes.Internal, reason.Internal, nil), Error{Code: codes.Internal, Reason: reason.Internal}, true},
		{"bare internal", status.Error(codes.Internal, "x"), Error{Code: codes.Internal}, true},
		{"unknown method", status.Error(codes.Unimplemented, "x"), Error{Code: codes.Unimplemented}, false},
	}
	tb := newTable(t, 1)
	c := newClient(t, tb.c.Addrs()...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb.c.Call = func(context.Context, *followtest.Master, proto.Message) (proto.Message, error) { return nil, tt.answer }
			_, err := c.Submit(t.Context(), Task{})
			got, ok := errors.AsType[*Error](err)
			if !ok || got.Op != "submit" || got.Code != tt.want.Code || got.Reason != tt.want.Reason ||
				!cmp.Equal(got.Fields, tt.want.Fields) || !cmp.Equal(got.Metadata, tt.want.Metadata) {
				t.Fatalf("got %#v, want %#v", err, tt.want)
			}
			if errors.Is(err, ErrUncertain) != tt.uncertain {
				t.Fatalf("uncertain: %v, want %v", !tt.uncertain, tt.uncertain)
			}
		})
	}
}

func TestE03(t *testing.T) {
	tb := newTable(t, 1)
	tb.c.Call = nil // nothing may reach a master
	c := newClient(t, tb.c.Addrs()...)
	const bad = "a\xffb"
	good := Task{Queue: "q"}
	tests := map[string]func(ctx context.Context) error{
		"queue":           func(ctx context.Context) error { _, err := c.Submit(ctx, Task{Queue: bad}); return err },
		"kind":            func(ctx context.Context) error { _, err := c.Submit(ctx, Task{Kind: bad}); return err },
		"content_type":    func(ctx context.Context) error { _, err := c.Submit(ctx, Task{ContentType: bad}); return err },
		"unique_key":      func(ctx context.Context) error { _, err := c.Submit(ctx, Task{UniqueKey: bad}); return err },
		"concurrency_key": func(ctx context.Context) error { _, err := c.Submit(ctx, Task{ConcurrencyKey: bad}); return err },
		"require": func(ctx context.Context) error {
			_, err := c.Submit(ctx, Task{Require: map[string]string{"zone": bad}})
			return err
		},
		"request_id":       func(ctx context.Context) error { _, err := c.Submit(ctx, Task{RequestID: bad}); return err },
		"tasks[1].kind":    func(ctx context.Context) error { _, err := c.SubmitMany(ctx, []Task{good, {Kind: bad}}); return err },
		"tasks":            func(ctx context.Context) error { _, err := c.SubmitMany(ctx, nil); return err },
		"tasks (too many)": func(ctx context.Context) error { _, err := c.SubmitMany(ctx, make([]Task, 1001)); return err },
		"run_at": func(ctx context.Context) error {
			_, err := c.Submit(ctx, Task{Delay: 1, RunAt: time.Now()})
			return err
		},
		"reason":        func(ctx context.Context) error { _, _, err := c.Cancel(ctx, 1, bad); return err },
		"filter":        func(ctx context.Context) error { _, _, err := c.ListPage(ctx, bad, 0, ""); return err },
		"page_token":    func(ctx context.Context) error { _, _, err := c.ListPage(ctx, "", 0, bad); return err },
		"name":          func(ctx context.Context) error { _, err := c.PauseQueue(ctx, bad); return err },
		"name (resume)": func(ctx context.Context) error { _, err := c.ResumeQueue(ctx, bad); return err },
		"name (update)": func(ctx context.Context) error { _, err := c.UpdateQueue(ctx, bad, QueueSettings{}); return err },
		"unset": func(ctx context.Context) error {
			_, err := c.UpdateQueue(ctx, "q", QueueSettings{Unset: []string{bad}})
			return err
		},
		"name (get)": func(ctx context.Context) error { _, err := c.Queue(ctx, bad); return err },
		"to":         func(ctx context.Context) error { _, err := c.Transfer(ctx, bad); return err },
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			err := call(t.Context())
			e, ok := errors.AsType[*Error](err)
			field, _, _ := strings.Cut(name, " ")
			if !ok || e.Code != codes.InvalidArgument || e.Reason != reason.InvalidField || len(e.Fields) != 1 || e.Fields[0].Name != field {
				t.Fatalf("got %#v, want %s refused", err, field)
			}
		})
	}
}
