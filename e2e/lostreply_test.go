package e2e

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// lossy is a way to a master that can swallow what comes back.
type lossy struct {
	addr      string
	swallow   atomic.Bool
	swallowed atomic.Int64 // bytes
	end       func()       // breaks all connections
}

// newLossy listens for one test and passes on to a master.
func newLossy(t *testing.T, to string) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &lossy{addr: listener.Addr().String()}
	var mu sync.Mutex
	var open []net.Conn
	var running sync.WaitGroup
	p.end = sync.OnceFunc(func() {
		listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	running.Go(func() {
		for {
			down, err := listener.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				down.Close()
				continue
			}
			mu.Lock()
			open = append(open, down, up)
			mu.Unlock()
			running.Go(func() { _, _ = io.Copy(up, down) })
			running.Go(func() { p.back(down, up) })
		}
	})
	t.Cleanup(func() {
		p.end()
		running.Wait()
	})
	return p
}

func (p *lossy) back(down, up net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := up.Read(buf)
		if err != nil {
			return
		}
		if p.swallow.Load() {
			p.swallowed.Add(int64(n))
			continue
		}
		if _, err := down.Write(buf[:n]); err != nil {
			return
		}
	}
}

// lose makes one poll whose answer is swallowed: it returns when the task was
// assigned by a committed entry and the answer was on its way. The poll's number is
// used.
func (p *puller) lose(leader *proc.Master, cl *client.Client, id uint64) *taskraftv1.Task {
	p.t.Helper()
	way := newLossy(p.t, leader.GRPC)
	conn, err := grpc.NewClient(way.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(p.t, err)
	defer conn.Close()
	c := taskraftv1.NewWorkerServiceClient(conn)
	ctx := within(p.t, time.Minute)
	_, err = c.GetWorker(ctx, &taskraftv1.GetWorkerRequest{WorkerId: p.id}) // the connection stands
	if err != nil && status.Code(err) != codes.NotFound {
		p.t.Fatal(err)
	}
	way.swallow.Store(true)
	p.polls++
	lost := make(chan error, 1)
	go func() {
		_, err := c.RequestTask(ctx, &taskraftv1.RequestTaskRequest{
			WorkerId: p.id, BootId: p.boot, Slots: 1, Max: 1, PollSeq: p.polls,
			Queues: []*taskraftv1.QueueWeight{{Queue: p.queue}}, Wait: durationpb.New(10 * time.Second),
		})
		lost <- err
	}()
	task := running(p.t, cl, id, 0)
	must(p.t, proc.Poll(ctx, time.Millisecond, "the answer is under way", func() bool { return way.swallowed.Load() > 0 }))
	way.end()
	if err := <-lost; err == nil {
		p.t.Fatal("the answer arrived")
	}
	p.polls-- // request will use the same number
	return task
}

// Case 1 (a poll's reply is lost): every second answer to a poll is dropped on its
// way. The same poll again gets the same task with the same fence, at once, and no
// attempt is burnt.
func TestLostPollReply(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	p := newPuller(t, c, "w1", "lost")
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	for n := range 20 {
		r, err := cl.Submit(within(t, time.Minute), client.Task{Queue: "lost", Kind: "k", Payload: fmt.Append(nil, n)})
		must(t, err)
		var want uint64
		if n%2 == 0 {
			want = p.lose(leader, cl, r.ID).GetAttempt().GetFence()
		}
		began := time.Now()
		a := p.take()
		if a.GetTask() != r.ID || want != 0 && a.GetFence() != want || a.GetAttempt() != 1 {
			t.Fatalf("the poll again got %v, want task %d, fence %d, attempt 1", a, r.ID, want)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
		expect(t, "the completion", p.complete(a, "done"), taskraftv1.Outcome_ACCEPTED)
	}
}

// Case 2 (the leader dies after the commit, before the send): the assignment is
// committed and its answer has not arrived when the leader is killed. The same poll
// on the next leader gets the same task with the same fence.
func TestLeaderDiesBetweenCommitAndSend(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	p := newPuller(t, c, "w1", "lost")
	for range 3 {
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		r, err := cl.Submit(within(t, time.Minute), client.Task{Queue: "lost", Kind: "k"})
		must(t, err)
		task := p.lose(leader, cl, r.ID)
		killAndRestart(t, c, leader)
		began := time.Now()
		a := p.take()
		if a.GetTask() != r.ID || a.GetFence() != task.GetAttempt().GetFence() || a.GetAttempt() != 1 {
			t.Fatalf("the next leader gave %v, want task %d, fence %d, attempt 1", a, r.ID, task.GetAttempt().GetFence())
		}
		t.Logf("%v after the next leader served", time.Since(began).Round(time.Millisecond))
		expect(t, "the completion", p.complete(a, "done"), taskraftv1.Outcome_ACCEPTED)
		must(t, c.Rejoined(within(t, time.Minute), leader))
	}
}

// A worker that gives a poll up, whose answer is lost, and goes on with the next
// number says in it what it runs: it gets the task that it does not know of, with the
// same fence, also from the next leader, and no attempt is burnt.
func TestTheNextPollGetsWhatTheLastOneLost(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	p := newPuller(t, c, "w1", "lost")
	for round := range 4 {
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		r, err := cl.Submit(within(t, time.Minute), client.Task{Queue: "lost", Kind: "k"})
		must(t, err)
		task := p.lose(leader, cl, r.ID)
		p.polls++ // it will not ask under that number again
		if round%2 == 1 {
			killAndRestart(t, c, leader)
		}
		a := p.take()
		if a.GetTask() != r.ID || a.GetFence() != task.GetAttempt().GetFence() || a.GetAttempt() != 1 {
			t.Fatalf("the next poll got %v, want task %d, fence %d, attempt 1", a, r.ID, task.GetAttempt().GetFence())
		}
		expect(t, "the completion", p.complete(a, "done"), taskraftv1.Outcome_ACCEPTED)
		if round%2 == 1 {
			must(t, c.Rejoined(within(t, time.Minute), leader))
		}
	}
}
