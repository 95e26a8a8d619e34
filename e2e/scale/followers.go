package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// again is how long a worker that lost its stream waits at most before the next one.
const again = 50 * time.Millisecond

// crowd is idle workers that follow the leader. They speak the protocol over streams
// of their own, all in this process, each on its own connection while the limit of open
// files allows it.
type crowd struct {
	cluster     *proc.Cluster
	connections int
	n           int
	over        sync.WaitGroup

	looking sync.Mutex // held by the one worker that looks for the leader
	home    atomic.Pointer[home]
	last    atomic.Pointer[error] // why the last stream ended
}

// home is the connections to one leader.
type home struct {
	leader   *proc.Master
	number   int // one more than of the home before
	conns    []*grpc.ClientConn
	attached atomic.Int64
}

func (h *home) close() {
	for _, conn := range h.conns {
		conn.Close()
	}
}

// wait returns when all workers have ended, which they do with their context.
func (w *crowd) wait() {
	w.over.Wait()
	if h := w.home.Load(); h != nil {
		h.close()
	}
}

func (w *crowd) leader() *proc.Master { return w.home.Load().leader }
func (w *crowd) attached() int        { return int(w.home.Load().attached.Load()) }
func (w *crowd) changes() int         { return w.home.Load().number }

// grow starts workers until there are n, and returns the leader when all are attached.
func (w *crowd) grow(ctx context.Context, n int) (*proc.Master, error) {
	if err := w.look(ctx, w.home.Load()); err != nil {
		return nil, err
	}
	slots := make(chan struct{}, attaching)
	for ; w.n < n; w.n++ {
		slots <- struct{}{}
		i := w.n
		w.over.Go(func() { w.work(ctx, i, sync.OnceFunc(func() { <-slots })) })
	}
	return w.moved(ctx, nil)
}

// moved waits until every worker is attached to one leader, which is not old.
func (w *crowd) moved(ctx context.Context, old *proc.Master) (*proc.Master, error) {
	ctx, cancel := context.WithTimeout(ctx, attachPatience)
	defer cancel()
	for {
		h := w.home.Load()
		if h.leader != old && int(h.attached.Load()) == w.n {
			return h.leader, nil
		}
		if sleep(ctx, 5*time.Millisecond) != nil {
			err := fmt.Errorf("%d of %d workers are attached", h.attached.Load(), w.n)
			if last := w.last.Load(); last != nil {
				err = fmt.Errorf("%w; the last one without a stream: %w", err, *last)
			}
			return nil, err
		}
	}
}

// work is a worker: it has a stream to whoever leads, until ctx ends. It calls first
// when it is attached for the first time, or is not.
func (w *crowd) work(ctx context.Context, i int, first func()) {
	for ctx.Err() == nil {
		h := w.home.Load()
		err := w.stream(ctx, h, i, first)
		first()
		if ctx.Err() != nil {
			return
		}
		w.last.Store(&err)
		if sleep(ctx, rand.N(again)) == nil {
			_ = w.look(ctx, h) // it fails when ctx ends
		}
	}
}

// look finds who leads instead of the leader of old, if nobody else has.
func (w *crowd) look(ctx context.Context, old *home) error {
	w.looking.Lock()
	defer w.looking.Unlock()
	if w.home.Load() != old {
		return nil
	}
	leader, err := w.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	if old != nil && old.leader == leader {
		return nil // the stream broke for another reason
	}
	h := &home{leader: leader}
	for range w.connections {
		conn, err := grpc.NewClient(leader.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0))
		if err != nil {
			return err
		}
		h.conns = append(h.conns, conn)
	}
	if old != nil {
		h.number = old.number + 1
		defer old.close()
	}
	w.home.Store(h)
	return nil
}

// stream opens a session, or goes on with it, and keeps it with heartbeats until the
// stream breaks.
func (w *crowd) stream(ctx context.Context, h *home, i int, attached func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := taskraftv1.NewWorkerServiceClient(h.conns[i%len(h.conns)]).Work(ctx)
	if err != nil {
		return err
	}
	err = s.Send(&taskraftv1.WorkerMessage{Attach: &taskraftv1.Attach{
		WorkerId: fmt.Sprintf("idle-%d", i), BootId: "1", Slots: 4, Queues: []*taskraftv1.QueueWeight{{Queue: "idle"}},
	}})
	if err != nil {
		return err
	}
	m, err := s.Recv()
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	h.attached.Add(1)
	defer h.attached.Add(-1)
	attached()
	every := m.GetAttached().GetHeartbeatEvery().AsDuration()
	var beats sync.WaitGroup
	defer beats.Wait()
	defer cancel()
	beats.Go(func() { beat(ctx, s, every) })
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// beat sends heartbeats, at a phase of its own as workers anywhere would.
func beat(ctx context.Context, s grpc.BidiStreamingClient[taskraftv1.WorkerMessage, taskraftv1.MasterMessage], every time.Duration) {
	if sleep(ctx, rand.N(every)) != nil {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for seq := uint64(1); ; seq++ {
		if s.Send(&taskraftv1.WorkerMessage{Heartbeat: &taskraftv1.StreamHeartbeat{Seq: seq}}) != nil {
			return // the receiver knows why
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
