package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	riverConns = 64 // of producers and, as many again, of workers
	riverDrain = 10 * time.Second
)

// riverSystem is River on one PostgreSQL server.
type riverSystem struct {
	postgres
	setup   Setup
	pools   []*pgxpool.Pool
	inserts *river.Client[pgx.Tx]
}

func newRiver(s Setup) System { return &riverSystem{setup: s} }

// riverTask is a job's arguments, which River stores as JSON.
type riverTask struct {
	Payload []byte `json:"p"`
}

// Kind names the job to River.
func (riverTask) Kind() string { return "bench" }

type riverWorker struct {
	river.WorkerDefaults[riverTask]
	handle func([]byte)
}

// Work is what River calls to execute a job.
func (w *riverWorker) Work(_ context.Context, job *river.Job[riverTask]) error {
	w.handle(job.Args.Payload)
	return nil
}

func (r *riverSystem) Start(ctx context.Context, dir string) error {
	if err := r.open(ctx, dir); err != nil {
		return err
	}
	pool, err := r.pool(ctx, r.setup.Producers)
	if err != nil {
		return err
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("make River's tables: %w", err)
	}
	r.inserts, err = river.NewClient(driver, &river.Config{Logger: slog.New(slog.DiscardHandler)})
	return err
}

func (r *riverSystem) pool(ctx context.Context, users int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(fmt.Sprintf("postgres://bench@%s/postgres?sslmode=disable", r.addr))
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(min(users+8, riverConns))
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.pools = append(r.pools, pool)
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return pool, untilNil(ctx, "PostgreSQL answers", func() error { return pool.Ping(ctx) })
}

func (r *riverSystem) Stop() error {
	for _, pool := range r.pools {
		pool.Close()
	}
	return r.close()
}

func (r *riverSystem) Producer(context.Context) (Producer, error) {
	return riverProducer{r.inserts}, nil
}

type riverProducer struct{ client *river.Client[pgx.Tx] }

func (p riverProducer) Submit(ctx context.Context, payloads [][]byte) error {
	if len(payloads) == 1 {
		_, err := p.client.Insert(ctx, riverTask{payloads[0]}, nil)
		return err
	}
	params := make([]river.InsertManyParams, len(payloads))
	for i, payload := range payloads {
		params[i].Args = riverTask{payload}
	}
	_, err := p.client.InsertManyFast(ctx, params)
	return err
}

func (p riverProducer) Close() error { return nil }

func (r *riverSystem) Consume(ctx context.Context, w Work) error {
	pool, err := r.pool(ctx, r.setup.Slots)
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{handle: w.Handle})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: r.setup.Slots}},
		Workers: workers, FetchCooldown: time.Millisecond, FetchPollInterval: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	// An event comes after the completion is committed.
	events, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 1 << 17, Kinds: []river.EventKind{river.EventKindJobCompleted},
	})
	var confirming sync.WaitGroup
	confirming.Go(func() {
		for e := range events {
			w.Confirmed(uint64(e.Job.ID))
		}
	})
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		unsubscribe()
		return err
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.Background(), riverDrain)
	defer cancel()
	err = client.Stop(stop)
	unsubscribe()
	confirming.Wait()
	return errors.Join(err)
}
