package peer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

const asynqKind = "bench"

// The ways to run asynq: each of its servers takes one task at a time from Redis.
const (
	wayServer  = "Enqueue, 1 server"
	wayServers = "Enqueue, 4 servers"
)

// asynqSystem is asynq on one redis-server.
type asynqSystem struct {
	daemon
	setup       Setup
	appendfsync string
	client      *asynq.Client
	inspector   *asynq.Inspector
}

func newAsynq(appendfsync string) func(Setup) System {
	return func(s Setup) System { return &asynqSystem{setup: s, appendfsync: appendfsync} }
}

func (a *asynqSystem) Start(ctx context.Context, dir string) error {
	path, err := program("redis-server", "/usr/local/bin")
	if err != nil {
		return err
	}
	err = a.start(ctx, dir, path, func(port int) []string {
		text := strconv.Itoa(port)
		return []string{
			"--bind", "127.0.0.1", "--port", text, "--dir", dir, "--daemonize", "no",
			"--appendonly", "yes", "--appendfsync", a.appendfsync, "--save", "",
		}
	})
	if err != nil {
		return err
	}
	a.client = asynq.NewClient(a.redis())
	a.inspector = asynq.NewInspector(a.redis())
	return a.client.Ping()
}

// redis allows a connection for each producer and slot.
func (a *asynqSystem) redis() asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Addr: a.addr, PoolSize: max(a.setup.Producers, a.setup.Slots) + 8}
}

func (a *asynqSystem) Stop() error {
	var errs []error
	if a.client != nil {
		errs = append(errs, a.client.Close(), a.inspector.Close())
	}
	return errors.Join(append(errs, a.stop())...)
}

func (a *asynqSystem) Producer(context.Context) (Producer, error) {
	return asynqProducer{a.client}, nil
}

type asynqProducer struct{ client *asynq.Client }

func (p asynqProducer) Submit(ctx context.Context, payloads [][]byte) error {
	payload, err := single(payloads)
	if err != nil {
		return err
	}
	_, err = p.client.EnqueueContext(ctx, asynq.NewTask(asynqKind, payload))
	return err
}

func (p asynqProducer) Close() error { return nil }

func (a *asynqSystem) Consume(ctx context.Context, w Work) error {
	mux := asynq.NewServeMux()
	mux.HandleFunc(asynqKind, func(_ context.Context, task *asynq.Task) error {
		w.Handle(task.Payload())
		w.Confirmed(number(task.Payload())) // as far as the client tells: see Completed
		return nil
	})
	n := 1
	if a.setup.Way == wayServers {
		n = min(processes, a.setup.Slots)
	}
	var servers []*asynq.Server
	defer func() {
		for _, s := range servers {
			s.Shutdown()
		}
	}()
	for i := range n {
		s := asynq.NewServer(a.redis(), asynq.Config{
			Concurrency: share(a.setup.Slots, n, i), LogLevel: asynq.FatalLevel,
			// The default of 1 s is how long an empty queue stays unseen.
			TaskCheckInterval: time.Millisecond,
		})
		if err := s.Start(mux); err != nil {
			return err
		}
		servers = append(servers, s)
	}
	<-ctx.Done()
	return nil
}

// Completed returns asynq's own count.
func (a *asynqSystem) Completed(context.Context) (uint64, error) {
	info, err := a.inspector.GetQueueInfo("default")
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return uint64(info.ProcessedTotal), nil
}
