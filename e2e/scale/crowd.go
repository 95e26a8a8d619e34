package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	fewWorkers = 100
	// attaching workers at a time: each attach is a commit.
	attaching = 64
	// expiredBy is when a worker without a stream has lost its session: the default TTL,
	// from the next leader's first moment, and a little more.
	expiredBy = 12 * time.Second
	// spareFiles are not used for workers' connections.
	spareFiles = 500
)

// crowd compares a few idle workers with many. They speak the protocol over
// streams of their own, all in this process, each on its own connection to the
// leader while the limit of open files allows it.
func (b *bench) crowd(ctx context.Context) error {
	connections, err := connectionsFor(b.workers)
	if err != nil {
		return err
	}
	b.note(fmt.Sprintf("connections of %s workers", count(b.workers)), float64(connections), "")
	return b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
		leader, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		crowd := &crowd{}
		ctx, cancel := context.WithCancel(ctx)
		defer crowd.over.Wait()
		defer cancel()
		var few idleCost
		for _, n := range []int{fewWorkers, b.workers} {
			if err := crowd.grow(ctx, leader.GRPC, n, min(n, connections), attaching); err != nil {
				return err
			}
			cost, err := b.idleCost(ctx, c)
			if err != nil {
				return err
			}
			if err := crowd.fault(); err != nil {
				return err
			}
			b.note(fmt.Sprintf("leader's CPU with %s idle workers", count(n)), cost.cpu[leader.Name], "% of a core")
			b.note(fmt.Sprintf("leader's RSS with %s idle workers", count(n)), mib(cost.rss[leader.Name]), "MiB")
			b.judge(fmt.Sprintf("log entries/s with %s idle workers", count(n)), cost.entries, "/s", atMost(0.5))
			if n > fewWorkers {
				more := float64(cost.rss[leader.Name]-few.rss[leader.Name]) / float64(n-fewWorkers)
				b.note("leader's memory per idle worker", more/1024, "KiB")
			}
			few = cost
		}
		return b.herd(ctx, c, leader, b.workers, connections)
	})
}

// herd kills the leader and measures how long its workers take to be attached to the
// next one, all at once and each over a new connection. None may lose its session.
func (b *bench) herd(ctx context.Context, c *proc.Cluster, leader *proc.Master, n, connections int) error {
	ctx, cancel := context.WithCancel(ctx)
	crowd := &crowd{}
	defer crowd.over.Wait()
	defer cancel()
	began := time.Now()
	if err := leader.Kill(); err != nil {
		return err
	}
	next, err := c.NextLeader(ctx, leader)
	if err != nil {
		return err
	}
	b.note("kill -9 of the leader until another serves", millis(time.Since(began)), "ms")
	if err := crowd.grow(ctx, next.GRPC, n, connections, n); err != nil {
		return err
	}
	b.judge(fmt.Sprintf("kill -9 until %s workers are attached again", count(n)), time.Since(began).Seconds(), "s", atMost(10))
	if err := sleep(ctx, expiredBy); err != nil {
		return err
	}
	s, err := next.Status(ctx)
	if err != nil {
		return err
	}
	b.judge("sessions that expired", float64(s.GetCounters()["sessions_expired"]), "", atMost(0))
	b.note("sessions", float64(s.GetSessions()), "")
	b.note("next leader's RSS", mib(next.Process().Usage().RSS), "MiB")
	return crowd.fault()
}

// connectionsFor is how many connections this process, and a master with the same
// limit, may have for n workers.
func connectionsFor(n int) (int, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return max(1, min(n, int(min(files.Cur, 1<<30))-spareFiles)), nil
}

// crowd is idle workers.
type crowd struct {
	conns []*grpc.ClientConn
	n     int
	over  sync.WaitGroup
	err   atomic.Pointer[error]
}

func (w *crowd) fault() error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	return nil
}

// grow attaches workers until there are n, on that many connections, atOnce at a time.
func (w *crowd) grow(ctx context.Context, leader string, n, connections, atOnce int) error {
	for len(w.conns) < connections {
		conn, err := grpc.NewClient(leader, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0))
		if err != nil {
			return err
		}
		w.conns = append(w.conns, conn)
		w.over.Go(func() {
			<-ctx.Done()
			conn.Close()
		})
	}
	slots := make(chan struct{}, atOnce)
	var attached sync.WaitGroup
	errs := make([]error, n)
	for ; w.n < n; w.n++ {
		i, conn := w.n, w.conns[w.n%len(w.conns)]
		slots <- struct{}{}
		attached.Go(func() {
			errs[i] = w.attach(ctx, conn, i)
			<-slots
		})
	}
	attached.Wait()
	return errors.Join(errs...)
}

// attach opens a session and keeps it with heartbeats until ctx ends.
func (w *crowd) attach(ctx context.Context, conn *grpc.ClientConn, i int) error {
	s, err := taskraftv1.NewWorkerServiceClient(conn).Work(ctx)
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
	every := m.GetAttached().GetHeartbeatEvery().AsDuration()
	w.over.Go(func() { w.beat(ctx, s, every) })
	w.over.Go(func() {
		for {
			if _, err := s.Recv(); err != nil {
				if ctx.Err() == nil {
					w.err.Store(&err)
				}
				return
			}
		}
	})
	return nil
}

// beat sends heartbeats, at a phase of its own as workers anywhere would.
func (w *crowd) beat(ctx context.Context, s grpc.BidiStreamingClient[taskraftv1.WorkerMessage, taskraftv1.MasterMessage], every time.Duration) {
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
