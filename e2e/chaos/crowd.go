package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// callTimeout is short, so that faults leave unknown outcomes behind.
const callTimeout = time.Second

// crowd is the clients: each makes one call after the other and notes it.
type crowd struct {
	stage   *stage
	pause   time.Duration // of a client between two calls, at most
	working sync.WaitGroup
	end     context.CancelFunc
	ballast atomic.Int64 // bytes that a submit carries beside its work

	mu     sync.Mutex
	ops    map[string][]checker.Op
	acked  []uint64
	finals []checker.Final
}

func newCrowd(s *stage, pause time.Duration) *crowd {
	return &crowd{stage: s, pause: pause, ops: make(map[string][]checker.Op)}
}

func (c *crowd) start(ctx context.Context, n int) {
	ctx, c.end = context.WithCancel(ctx)
	for i := range n {
		c.working.Go(func() { c.work(ctx, fmt.Sprintf("c%d", i+1)) })
	}
}

func (c *crowd) stop() {
	c.end()
	c.working.Wait()
}

// work is one client's life.
func (c *crowd) work(ctx context.Context, name string) {
	party := here
	if name == "c3" || name == "c4" {
		party = side
	}
	cl, err := client.New(client.Config{
		Masters: c.stage.cluster.Addrs(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return c.stage.net.dial(ctx, party, addr)
		})},
	})
	if err != nil {
		panic(err) // the configuration is ours
	}
	defer cl.Close()
	var mine []uint64
	stream := 0
	for n := 0; ctx.Err() == nil; n++ {
		op := checker.Op{Client: fmt.Sprintf("%s.%d", name, stream)}
		switch p := rand.IntN(10); {
		case p < 6 || len(mine) == 0:
			c.submit(cl, &op, fmt.Sprintf("%s-%d", name, n))
			if op.Outcome == checker.OK {
				mine = append(mine, op.Task)
			}
		case p < 9:
			c.get(cl, &op, mine[max(0, len(mine)-1-rand.IntN(20))])
		default:
			c.cancel(cl, &op, mine[max(0, len(mine)-1-rand.IntN(5))])
		}
		if op.Outcome == checker.Maybe {
			stream++ // nobody knows when it takes effect: what follows is another's
		}
		c.note(name, op)
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(max(c.pause, 1))):
		}
	}
}

func (c *crowd) note(name string, op checker.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops[name] = append(c.ops[name], op)
	if op.Kind == "submit" && op.Outcome == checker.OK {
		c.acked = append(c.acked, op.Task)
	}
}

// told counts the calls that clients of a party, or of all if it is "", made and had
// answered between two times, and those of them that changed something.
func (c *crowd) told(party string, from, to time.Time) (calls, changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ops := range c.ops {
		if party == side && name != "c3" && name != "c4" {
			continue
		}
		for _, op := range ops {
			if op.Call < from.UnixNano() || op.Return > to.UnixNano() {
				continue
			}
			calls++
			if op.Kind != "get" && op.Outcome == checker.OK {
				changes++
			}
		}
	}
	return calls, changes
}

// call makes a call of limited length and notes when, and how it ended.
func call(op *checker.Op, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	op.Call = time.Now().UnixNano()
	err := do(ctx)
	op.Return = time.Now().UnixNano()
	op.Outcome = checker.OK
	if err != nil {
		op.Outcome = checker.Maybe
		if certain(err) {
			op.Outcome = checker.Fail
		}
	}
}

// certain reports whether an error says that nothing happened.
func certain(err error) bool {
	if errors.Is(err, client.ErrUncertain) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.ResourceExhausted:
		return true
	}
	return errors.Is(err, client.ErrNoLeader)
}

func (c *crowd) submit(cl *client.Client, op *checker.Op, request string) {
	op.Kind, op.Request = "submit", request
	sleep, failures := "0.02", 0
	switch rand.IntN(40) {
	case 0:
		sleep = "3"
	case 1, 2, 3:
		failures = 1
	}
	body, err := json.Marshal(map[string]any{"argv": []string{"sh", "-c", c.stage.script(sleep, failures), strings.Repeat("-", int(c.ballast.Load()))}})
	if err != nil {
		panic(err) // of strings alone
	}
	call(op, func(ctx context.Context) error {
		r, err := cl.Submit(ctx, client.Task{
			Queue: queue, Kind: "command", Payload: body, ContentType: "application/json", RequestID: request,
			BackoffBase: 100 * time.Millisecond, MaxAttempts: 5, Timeout: time.Minute,
		})
		op.Task, op.Index = r.ID, r.Index
		return err
	})
}

func (c *crowd) get(cl *client.Client, op *checker.Op, id uint64) {
	op.Kind, op.Task = "get", id
	call(op, func(ctx context.Context) error {
		t, err := cl.Get(ctx, id)
		op.State, op.Result = word(t.GetState()), string(t.GetResult())
		return err
	})
}

func (c *crowd) cancel(cl *client.Client, op *checker.Op, id uint64) {
	op.Kind, op.Task = "cancel", id
	call(op, func(ctx context.Context) error {
		_, t, err := cl.Cancel(ctx, id, "chaos")
		op.State = word(t.GetState())
		return err
	})
}

// word is a state as the table names it.
func word(s taskraftv1.TaskState) string { return strings.TrimPrefix(s.String(), "TASK_STATE_") }

// drain waits for every acknowledged task's end and notes it.
func (c *crowd) drain(ctx context.Context) error {
	cl, err := client.New(client.Config{Masters: c.stage.cluster.Addrs()})
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, id := range c.acked {
		t, err := cl.Wait(ctx, id)
		f := checker.Final{Task: id, State: word(t.GetState()), Result: string(t.GetResult())}
		switch {
		case status.Code(err) == codes.NotFound:
			f.Gone = true
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("wait for task %d: %w", id, err)
		case err != nil:
			f.State = "UNKNOWN" // not in time: the checker says so (L1)
		}
		c.finals = append(c.finals, f)
	}
	return nil
}

func (c *crowd) save() error {
	var errs []error
	for name, ops := range c.ops {
		errs = append(errs, save(filepath.Join(c.stage.dir, "ops-"+name+".jsonl"), ops))
	}
	return errors.Join(append(errs, save(filepath.Join(c.stage.dir, "final.jsonl"), c.finals))...)
}
