package follow

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/internal/follow/followtest"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers GetTask with the name of the master that was asked.
func echo(_ context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
	return &taskraftv1.GetTaskResponse{Task: &taskraftv1.Task{Id: req.(*taskraftv1.GetTaskRequest).GetId(), Reason: m.Name}}, nil
}

func start(t *testing.T, masters ...string) *Follower {
	t.Helper()
	f, err := New(Config{Masters: masters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// ask returns the name of the master that answered.
func ask(ctx context.Context, do func(context.Context, Call) error) (name string, err error) {
	err = do(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		resp, err := taskraftv1.NewTaskServiceClient(conn).GetTask(ctx, &taskraftv1.GetTaskRequest{Id: 1})
		name = resp.GetTask().GetReason()
		return err
	})
	return name, err
}

func wantAnswerOf(t *testing.T, f *Follower, want string) {
	t.Helper()
	if got, err := ask(t.Context(), f.Do); err != nil || got != want {
		t.Fatalf("answered by %q, %v; want %q", got, err, want)
	}
}

// eventually waits for cond with a deadline that only a broken build meets.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestOneFollowersAddressIsEnough(t *testing.T) {
	c := followtest.New(t, 3)
	c.Call = echo
	c.Lead(c.Masters[2])
	f := start(t, c.Addrs()[0])
	wantAnswerOf(t, f, "n3")
	eventually(t, "all masters are known", func() bool { return len(f.Masters()) == 3 })

	// The only address it was given dies, and then the leader.
	c.Masters[0].Kill()
	wantAnswerOf(t, f, "n3")
	c.Masters[2].Kill()
	c.Lead(c.Masters[1])
	wantAnswerOf(t, f, "n2")
}

func TestDNSName(t *testing.T) {
	c := followtest.New(t, 1)
	c.Call = echo
	c.Lead(c.Masters[0])
	addr := c.Addrs()[0]
	f := start(t, "localhost"+addr[len("127.0.0.1"):])
	wantAnswerOf(t, f, "n1")
}

func TestRedirectsAloneLeadToTheLeader(t *testing.T) {
	c := followtest.New(t, 3)
	c.Call = echo
	c.Silent.Store(true)
	f := start(t, c.Addrs()[0])
	for _, i := range []int{2, 0, 1, 2} {
		c.Lead(c.Masters[i])
		wantAnswerOf(t, f, c.Masters[i].Name)
	}
}

// A leader is elected while calls wait for one.
func TestWaitsForALeader(t *testing.T) {
	c := followtest.New(t, 3)
	c.Call = echo
	f := start(t, c.Addrs()...)
	got := make(chan string, 1)
	go func() {
		name, _ := ask(t.Context(), f.Do)
		got <- name
	}()
	eventually(t, "somebody was heard", func() bool { return f.Leader().GetTerm() == 1 })
	c.Lead(c.Masters[1])
	if name := <-got; name != "n2" {
		t.Fatalf("answered by %q, want n2", name)
	}
}

// The calls that hang on a frozen leader are abandoned when another master names
// a leader of a higher term.
func TestHangingCallsAreAbandoned(t *testing.T) {
	c := followtest.New(t, 3)
	hanging := make(chan struct{}, 8)
	c.Call = func(ctx context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
		if m.Name == "n1" {
			hanging <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return echo(ctx, m, req)
	}
	c.Lead(c.Masters[0])
	f := start(t, c.Addrs()...)
	eventually(t, "every master is watched", func() bool { return len(f.Masters()) == 3 && f.Leader().GetGrpc() == c.Addrs()[0] })
	const calls = 4
	got := make(chan string, calls)
	for range calls {
		go func() {
			name, _ := ask(t.Context(), f.Do)
			got <- name
		}()
	}
	for range calls {
		<-hanging
	}
	c.Masters[0].Freeze()
	c.Lead(c.Masters[1])
	for range calls {
		if name := <-got; name != "n2" {
			t.Fatalf("answered by %q, want n2", name)
		}
	}
}

// Nobody announces anything, but the others know: the probe finds the frozen
// leader out.
func TestAHungMasterIsLeft(t *testing.T) {
	c := followtest.New(t, 3)
	c.Call = echo
	c.Silent.Store(true)
	c.Lead(c.Masters[0])
	f := start(t, c.Addrs()...)
	wantAnswerOf(t, f, "n1")
	c.Masters[0].Freeze()
	c.Lead(c.Masters[1])
	wantAnswerOf(t, f, "n2")
	c.Masters[0].Thaw()
	wantAnswerOf(t, f, "n2")
}

// A call that only takes long is left alone.
func TestASlowAnswerIsWaitedFor(t *testing.T) {
	c := followtest.New(t, 1)
	var calls atomic.Int32
	c.Call = func(ctx context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
		calls.Add(1)
		slow := time.NewTimer(probeAfter + 2*probeLimit)
		defer slow.Stop()
		select {
		case <-slow.C:
			return echo(ctx, m, req)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.Lead(c.Masters[0])
	f := start(t, c.Addrs()...)
	wantAnswerOf(t, f, "n1")
	if n := calls.Load(); n != 1 {
		t.Fatalf("called %d times, want once", n)
	}
}

func TestARestoredClusterStartsOver(t *testing.T) {
	c := followtest.New(t, 2)
	c.Call = echo
	for range 5 {
		c.Lead(c.Masters[0])
	}
	f := start(t, c.Addrs()...)
	wantAnswerOf(t, f, "n1")
	f.Observe(Position{Cluster: "c1", Term: 6, Index: 100})
	c.Restore("c2", c.Masters[1])
	eventually(t, "the other cluster is followed", func() bool { l := f.Leader(); return l.GetClusterId() == "c2" && l.GetTerm() == 1 })
	wantAnswerOf(t, f, "n2")
	f.Observe(Position{Cluster: "c2", Term: 1, Index: 3})
	if got := f.Position(); got.Cluster != "c2" || got.Index != 3 {
		t.Fatalf("position %+v, want the new cluster's", got)
	}
}

func TestRedirectLoopPauses(t *testing.T) {
	c := followtest.New(t, 2)
	c.Silent.Store(true)
	var calls, term atomic.Uint64
	c.EveryMaster = func(proto.Message) bool { return true }
	c.Call = func(_ context.Context, m *followtest.Master, _ proto.Message) (proto.Message, error) {
		calls.Add(1)
		other := c.Masters[0]
		if m == other {
			other = c.Masters[1]
		}
		return nil, followtest.Status(codes.FailedPrecondition, reason.NotLeader, map[string]string{
			reason.MetaLeaderGRPC: other.Addr, reason.MetaTerm: "1" + string(rune('0'+term.Add(1)%10)),
		})
	}
	f := start(t, c.Addrs()...)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := ask(ctx, f.Do)
	gave, ok := errors.AsType[*GaveUpError](err)
	if !ok || !gave.NoLeader || gave.Maybe {
		t.Fatalf("got %v (%+v), want to have given up without a leader", err, gave)
	}
	// Back-off doubles: in 300 ms there are some twenty pauses at the very most.
	if n := calls.Load(); n < 2 || n > 40*(maxHops+1) {
		t.Fatalf("called %d times", n)
	}
}

func TestGivingUp(t *testing.T) {
	tests := []struct {
		name            string
		answer          error
		maybe, noLeader bool
	}{
		{"no leader", followtest.Status(codes.Unavailable, reason.NoLeader, nil), false, true},
		{"stopping", followtest.Status(codes.Unavailable, reason.Stopping, nil), false, true},
		{"overloaded", followtest.Status(codes.ResourceExhausted, reason.Overloaded, nil), false, false},
		{"unknown outcome", followtest.Status(codes.Aborted, reason.OutcomeUnknown, nil), true, false},
		{"broken off", status.Error(codes.Unavailable, "transport is closing"), true, true},
		{"cancelled there", status.Error(codes.Canceled, "context canceled"), true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := followtest.New(t, 1)
			c.Lead(c.Masters[0])
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Call = func(context.Context, *followtest.Master, proto.Message) (proto.Message, error) { return nil, tt.answer }
			f := start(t, c.Addrs()...)
			answers := 0
			err := f.Do(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
				_, err := taskraftv1.NewTaskServiceClient(conn).GetTask(ctx, &taskraftv1.GetTaskRequest{Id: 1})
				if answers++; answers == 3 {
					cancel()
				}
				return err
			})
			gave, ok := errors.AsType[*GaveUpError](err)
			if !ok || !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want to have given up", err)
			}
			if gave.Maybe != tt.maybe || gave.NoLeader != tt.noLeader {
				t.Fatalf("got %+v, want maybe %v, no leader %v", gave, tt.maybe, tt.noLeader)
			}
		})
	}
}

// A call that waits on the leader until its time is up has found a leader, also
// when tries before met masters that do not lead.
func TestTheLeaderTakesItsTime(t *testing.T) {
	const leader, other = "127.0.0.1:1", "127.0.0.1:2"
	refuse := func(context.Context, grpc.ClientConnInterface) error {
		return followtest.Status(codes.Unavailable, reason.NoLeader, nil)
	}
	for _, tt := range []struct {
		name     string
		leads    string
		last     error
		noLeader bool
	}{
		{"on the leader", leader, status.Error(codes.DeadlineExceeded, "late"), false},
		{"before the leader was reached", leader, &unsentError{status.Error(codes.DeadlineExceeded, "late")}, true},
		{"on whoever", "", status.Error(codes.DeadlineExceeded, "late"), true},
	} {
		f := start(t, leader, other)
		ctx, cancel := context.WithCancel(t.Context())
		tr := tries{f: f, ctx: ctx}
		if done, err := tr.one(f.leader(), refuse); done {
			t.Fatalf("%s: a refused try ended the tries: %v", tt.name, err)
		}
		f.Learn(&taskraftv1.LeaderInfo{Grpc: tt.leads, Term: 1, ClusterId: "x"}, other)
		_, err := tr.one(f.leader(), func(context.Context, grpc.ClientConnInterface) error {
			cancel()
			return tt.last
		})
		gave, ok := errors.AsType[*GaveUpError](err)
		if !ok || gave.NoLeader != tt.noLeader {
			t.Errorf("%s: got %v (%+v), want to have given up, no leader %v", tt.name, err, gave, tt.noLeader)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	c := followtest.New(t, 1)
	c.Masters[0].Kill()
	f := start(t, c.Addrs()...)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := ask(ctx, f.Do)
	gave, ok := errors.AsType[*GaveUpError](err)
	if !ok || gave.Maybe || !gave.NoLeader {
		t.Fatalf("got %v (%+v), want: nothing was sent, no leader", err, gave)
	}
}

func TestFinalAnswersAreNotRepeated(t *testing.T) {
	c := followtest.New(t, 1)
	c.Lead(c.Masters[0])
	var calls atomic.Int32
	var answer error
	c.Call = func(context.Context, *followtest.Master, proto.Message) (proto.Message, error) {
		calls.Add(1)
		return nil, answer
	}
	f := start(t, c.Addrs()...)
	for _, answer = range []error{
		followtest.Status(codes.NotFound, reason.TaskNotFound, nil),
		followtest.Status(codes.Internal, reason.Internal, nil),
		followtest.Status(codes.ResourceExhausted, reason.DiskLow, nil),
		status.Error(codes.Internal, "grpc: error unmarshalling request"),
		status.Error(codes.Unimplemented, "no such method"),
	} {
		calls.Store(0)
		_, err := ask(t.Context(), f.Do)
		if status.Code(err) != status.Code(answer) || Reason(err) != Reason(answer) || calls.Load() != 1 {
			t.Errorf("got %v after %d calls, want %v after one", err, calls.Load(), answer)
		}
	}
}

func TestDoOnce(t *testing.T) {
	c := followtest.New(t, 2)
	c.Silent.Store(true)
	c.Lead(c.Masters[1])
	var calls atomic.Int32
	c.Call = func(context.Context, *followtest.Master, proto.Message) (proto.Message, error) {
		calls.Add(1)
		return nil, status.Error(codes.Unavailable, "transport is closing")
	}
	f := start(t, c.Addrs()...)
	if _, err := ask(t.Context(), f.DoOnce); status.Code(err) != codes.Unavailable || calls.Load() != 1 {
		t.Fatalf("got %v after %d calls, want one call", err, calls.Load())
	}
}

func TestDoAnyGoesAround(t *testing.T) {
	c := followtest.New(t, 3)
	c.EveryMaster = func(proto.Message) bool { return true }
	asked := make(chan string, 100)
	c.Call = func(ctx context.Context, m *followtest.Master, req proto.Message) (proto.Message, error) {
		asked <- m.Name
		if m.Name != "n2" {
			return nil, followtest.Status(codes.Unavailable, reason.Stopping, nil)
		}
		return echo(ctx, m, req)
	}
	f := start(t, c.Addrs()...)
	for range 6 {
		if name, err := ask(t.Context(), f.DoAny); name != "n2" {
			t.Fatalf("answered by %q, %v", name, err)
		}
	}
	if len(asked) > 18 {
		t.Fatalf("%d tries for six calls", len(asked))
	}
}

func TestClosedFollower(t *testing.T) {
	c := followtest.New(t, 1)
	f := start(t, c.Addrs()...)
	f.Close()
	if _, err := ask(t.Context(), f.Do); !errors.Is(err, errClosed) {
		t.Fatalf("got %v", err)
	}
	if _, err := f.Conn("127.0.0.1:1"); !errors.Is(err, errClosed) {
		t.Fatalf("got %v", err)
	}
}

// A call that was sent may have taken effect, whatever ends it.
func TestCloseDuringACall(t *testing.T) {
	for _, tt := range []struct {
		name  string
		last  error
		maybe bool
	}{
		{"sent", status.Error(codes.Unavailable, "transport is closing"), true},
		{"refused", followtest.Status(codes.Unavailable, reason.NoLeader, nil), false},
	} {
		f := start(t, followtest.New(t, 1).Addrs()...)
		err := f.Do(t.Context(), func(context.Context, grpc.ClientConnInterface) error {
			f.Close()
			return tt.last
		})
		gave, ok := errors.AsType[*GaveUpError](err)
		if !ok || !errors.Is(err, errClosed) || gave.Maybe != tt.maybe || gave.NoLeader {
			t.Errorf("%s: got %v (%+v), want: closed, and maybe %v", tt.name, err, gave, tt.maybe)
		}
	}
}

// Asking a master of another cluster changes nothing for the calls of this one.
func TestAForeignMasterIsNotFollowed(t *testing.T) {
	home, abroad := followtest.New(t, 1), followtest.New(t, 1)
	for _, c := range []*followtest.Cluster{home, abroad} {
		c.Call = echo
		c.Masters[0].Name += c.Masters[0].Addr
	}
	home.Lead(home.Masters[0])
	abroad.Restore("abroad", abroad.Masters[0])
	f := start(t, home.Addrs()...)
	wantAnswerOf(t, f, home.Masters[0].Name)
	foreign := abroad.Addrs()[0]
	for range 2 {
		name, err := ask(t.Context(), func(ctx context.Context, call Call) error {
			conn, err := f.Conn(foreign)
			if err != nil {
				return err
			}
			return call(ctx, conn)
		})
		if err != nil || name != abroad.Masters[0].Name {
			t.Fatalf("answered by %q, %v; want %q", name, err, abroad.Masters[0].Name)
		}
	}
	if slices.Contains(f.Masters(), foreign) {
		t.Fatalf("masters %q, want none of the other cluster's", f.Masters())
	}
	home.Lead(home.Masters[0])
	eventually(t, "the next term is known", func() bool { return f.Leader().GetTerm() == home.Info().GetTerm() })
	wantAnswerOf(t, f, home.Masters[0].Name)
}

func TestAddresses(t *testing.T) {
	for _, addr := range []string{"", "foo", ":7400", "foo:", "foo:0", "foo:99999", "foo:-1", "[::1", "1.2.3.4"} {
		if f, err := New(Config{Masters: []string{addr}}); err == nil {
			f.Close()
			t.Errorf("%q was accepted", addr)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no address was accepted")
	}
}

// Who found no leader waits for the news of one, and is off the moment it comes.
func TestWaitsForNews(t *testing.T) {
	redirect := &taskraftv1.LeaderInfo{}
	for _, tt := range []struct {
		name        string
		verdict     verdict
		hops        int
		news        time.Duration // 0: none
		least, most time.Duration
	}{
		{"news", verdict{noLeader: true}, 0, newsPause / 2, newsPause / 2, newsPause / 2},
		{"no news", verdict{noLeader: true}, 0, 0, newsPause, newsPause + minPause},
		{"nowhere to be redirected to", verdict{noLeader: true, redirect: redirect}, 0, 0, 0, minPause},
		{"too many hops", verdict{noLeader: true}, maxHops, time.Nanosecond, 0, minPause},
		{"a leader that failed", verdict{}, 0, 0, 0, minPause},
		{"an overloaded leader", verdict{after: time.Second}, 0, time.Nanosecond, time.Second, time.Second + minPause},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				if tt.news > 0 {
					time.AfterFunc(tt.news, func() { close(over) })
				}
				tr := tries{ctx: t.Context(), verdict: tt.verdict, hops: tt.hops}
				began := time.Now()
				if err := tr.pause(target{over: over}); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d < tt.least || d > tt.most {
					t.Errorf("paused for %v, want %v to %v", d, tt.least, tt.most)
				}
				synctest.Wait()
			})
		})
	}
}

// A worker's streams that end one soon after another, each with its leader, are no
// redirects in a row: however many, the news of the next leader is followed at once.
func TestFailoversAreNoHops(t *testing.T) {
	broken := status.Error(codes.Unavailable, "connection lost")
	for _, tt := range []struct {
		name         string
		served, news time.Duration
		blind        bool
	}{
		{"streams", maxPause / 2, minPause / 2, false},
		{"elections", 0, newsPause / 2, false},
		{"redirects", 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := tries{f: &Follower{ctx: t.Context()}, ctx: t.Context()}
				for range 3 * maxHops {
					done, err := tr.one(target{master: &master{}, bound: t.Context()}, func(context.Context, grpc.ClientConnInterface) error {
						<-time.After(tt.served)
						return broken
					})
					if done {
						t.Fatal(err)
					}
					over := make(chan struct{})
					time.AfterFunc(tt.news, func() { close(over) })
					synctest.Wait()
					began := time.Now()
					if err := tr.pause(target{over: over}); err != nil {
						t.Fatal(err)
					}
					if blind := time.Since(began) > tt.news; blind {
						if !tt.blind {
							t.Errorf("paused for %v, with news after %v", time.Since(began), tt.news)
						}
						return
					}
				}
				if tt.blind {
					t.Error("no pause in a row of redirects")
				}
			})
		})
	}
}

// TestAServedCallStartsOver shows that a worker's stream that lived through
// failovers before is not slower at the next one.
func TestAServedCallStartsOver(t *testing.T) {
	f := start(t, followtest.New(t, 1).Addrs()...)
	broken := status.Error(codes.Unavailable, "connection lost")
	for _, tt := range []struct {
		served time.Duration
		want   time.Duration
	}{{0, maxPause}, {maxPause + time.Millisecond, 0}} {
		tr := tries{f: f, ctx: t.Context(), p: Pause{limit: maxPause}}
		done, err := tr.one(f.leader(), func(context.Context, grpc.ClientConnInterface) error {
			timer := time.NewTimer(tt.served)
			defer timer.Stop()
			<-timer.C
			return broken
		})
		if done || err != nil {
			t.Fatalf("a broken stream ended the tries: %v", err)
		}
		if tr.p.limit != tt.want {
			t.Errorf("after %v of service the longest pause is %v, want %v", tt.served, tr.p.limit, tt.want)
		}
	}
}

// A master that comes back and leads is not kept waiting by the back-off of the
// time when it was down.
func TestANewLeaderIsDialledAtOnce(t *testing.T) {
	c := followtest.New(t, 2)
	c.Call = echo
	c.Lead(c.Masters[0])
	f := start(t, c.Addrs()...)
	wantAnswerOf(t, f, "n1")
	conn := func() *grpc.ClientConn {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.masters[c.Masters[1].Addr].conn.Load()
	}
	c.Masters[1].Kill()
	eventually(t, "the connection is given up for a while", func() bool { return conn().GetState() == connectivity.TransientFailure })
	old := conn()
	c.Lead(c.Masters[1])
	eventually(t, "there is a new connection", func() bool { return conn() != old })
	c.Masters[1].Start()
	wantAnswerOf(t, f, "n2")
	if old.GetState() != connectivity.Shutdown {
		t.Fatal("the old connection is still open")
	}
}
