package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/measure"
)

// Config says what load to put on which cluster.
type Config struct {
	Masters   []string
	Producers int // goroutines that submit, each one call at a time
	Batch     int // tasks per call; 1 uses the unary submit
	Workers   int
	Slots     int // of all workers together, at least one each
	Payload   int // bytes
	Queues    int // over which the tasks are spread; 0: one
	Backlog   int // submitted tasks that are not completed; 0: see backlog
	// Fill submits the whole backlog before any worker starts, and then keeps it at
	// that: each completion makes room for the next task.
	Fill bool
	// Filled, if not nil, is called in between.
	Filled   func(context.Context) error
	Warmup   time.Duration
	Duration time.Duration
	// During, if not nil, runs while the load is measured, which ends when it
	// returns rather than after Duration.
	During func(context.Context, *Gaps) error
	// Submitted, if not nil, hears of every submit call that was measured, from
	// several goroutines.
	Submitted func(took time.Duration)
	// Follow is how many tasks to keep a history of; of more, every other is left out.
	Follow int
	// Progress is called about once a second.
	Progress func(Progress)
	Logger   *slog.Logger
}

// Progress is where a run stands.
type Progress struct {
	Phase      string // fill, warm-up, measure, drain
	Elapsed    time.Duration
	PerSecond  float64 // completions since the last call
	Unfinished int64   // acknowledged, not completed
	SubmitP99  time.Duration
}

// Report is what a run measured.
type Report struct {
	Elapsed              time.Duration      // of the measurement
	Completed, Submitted uint64             // in it
	Submits, Starts      *measure.Histogram // submit call; begin of the submit call to start of the handler
	Acknowledged         uint64             // in the whole run
	Lost                 int                // acknowledged, never completed
	LostIDs              []uint64           // some of them
	Duplicates           uint64             // completions of tasks that were completed before
	Uncertain            uint64             // tasks whose submit had no definite answer
	Refusals             uint64             // completions that came too late
	Errors               uint64             // failed submit calls
	LastError            error
	History              *checker.History // nil unless Follow says so
}

const (
	// lastCalls is how long submits under way may take after the measurement.
	lastCalls = 30 * time.Second
	// drainPatience is how long the drain waits without any completion.
	drainPatience = 15 * time.Second
	shownLost     = 10
)

type run struct {
	cfg    Config
	client *client.Client
	queues []string
	epoch  time.Time
	ledger ledger
	trails *trails
	room   *measure.Room
	gaps   *Gaps

	phase                       atomic.Pointer[string] // for Progress
	measuring                   atomic.Bool
	submits, starts             *measure.Histogram
	submitted, completed        atomic.Uint64
	uncertain, refusals, errors atomic.Uint64
	lastError                   atomic.Pointer[error]
}

func (r *run) now() time.Duration { return time.Since(r.epoch) }

func (r *run) fail(err error) {
	r.errors.Add(1)
	r.lastError.Store(&err)
}

// backlog is enough that no slot waits for a producer, and little enough that
// tasks hardly wait for a slot.
func (c *Config) backlog() int {
	if c.Backlog > 0 {
		return max(c.Backlog, c.Batch)
	}
	return max(2*c.Slots, c.Slots+c.Producers*c.Batch)
}

// Run puts the load on the cluster. It returns an error when it could not be
// carried out; lost tasks are in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	c, err := client.New(client.Config{Masters: cfg.Masters, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var suffix [4]byte
	rand.Read(suffix[:])
	now := time.Now()
	r := &run{
		cfg: cfg, client: c, epoch: now,
		ledger: ledger{chunks: make(map[uint64]*chunk)}, trails: newTrails(cfg.Follow, now), gaps: &Gaps{epoch: now},
		submits: new(measure.Histogram), starts: new(measure.Histogram), room: measure.NewRoom(cfg.backlog()),
	}
	for i := range max(cfg.Queues, 1) {
		r.queues = append(r.queues, fmt.Sprintf("bench-%s-%d", hex.EncodeToString(suffix[:]), i))
	}
	return r.run(ctx)
}

func (r *run) run(ctx context.Context) (*Report, error) {
	workCtx, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()
	failed := make(chan error, r.cfg.Workers)
	var workers sync.WaitGroup
	loadCtx, stopLoad := context.WithCancelCause(ctx)
	defer stopLoad(nil)
	calls, cutCalls := context.WithCancel(ctx)
	defer cutCalls()
	var producers sync.WaitGroup
	for i := range r.cfg.Producers {
		producers.Go(func() { r.produce(loadCtx, calls, i) })
	}
	go func() {
		select {
		case err := <-failed:
			stopLoad(err)
		case <-loadCtx.Done():
		}
	}()
	r.enter("start")
	stopProgress := r.progress(ctx)
	err := r.fill(loadCtx)
	var elapsed time.Duration
	if err == nil {
		r.work(workCtx, &workers, failed)
		elapsed, err = r.measure(loadCtx)
	}
	stopLoad(errors.New("measured"))
	late := time.AfterFunc(lastCalls, cutCalls)
	producers.Wait()
	late.Stop()
	if err == nil {
		r.enter("drain")
		err = r.drain(ctx)
	}
	var history *checker.History
	if err == nil {
		history, err = r.trails.history(ctx, r.client, r.queues)
	}
	stopProgress()
	stopWorkers()
	workers.Wait()
	if err != nil {
		return nil, err
	}
	rep := r.report(elapsed)
	rep.History = history
	return rep, nil
}

// work starts the workers.
func (r *run) work(ctx context.Context, workers *sync.WaitGroup, failed chan<- error) {
	for i := range r.cfg.Workers {
		slots := r.cfg.Slots / r.cfg.Workers
		if i < r.cfg.Slots%r.cfg.Workers {
			slots++
		}
		workers.Go(func() {
			if err := r.consume(ctx, i, slots); err != nil {
				failed <- fmt.Errorf("worker %d: %w", i, err)
			}
		})
	}
}

// fill waits until the producers have submitted the backlog.
func (r *run) fill(ctx context.Context) error {
	if !r.cfg.Fill {
		return nil
	}
	r.enter("fill")
	full := int64(r.cfg.backlog() / r.cfg.Batch * r.cfg.Batch)
	for r.ledger.unfinished() < full {
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	if r.cfg.Filled == nil {
		return nil
	}
	return r.cfg.Filled(ctx)
}

// measure warms up and measures, and returns how long the measurement took.
func (r *run) measure(ctx context.Context) (time.Duration, error) {
	r.enter("warm-up")
	if err := wait(ctx, r.cfg.Warmup); err != nil {
		return 0, err
	}
	r.enter("measure")
	start := time.Now()
	r.measuring.Store(true)
	defer r.measuring.Store(false)
	if r.cfg.During == nil {
		err := wait(ctx, r.cfg.Duration)
		return time.Since(start), err
	}
	err := r.cfg.During(ctx, r.gaps)
	return time.Since(start), err
}

func (r *run) enter(phase string) { r.phase.Store(&phase) }

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain waits until every acknowledged task is completed, or nothing happens any more.
func (r *run) drain(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for r.ledger.unfinished() > 0 && (r.gaps.Silence() < drainPatience || time.Since(began) < drainPatience) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// progress reports once a second until it is stopped.
func (r *run) progress(ctx context.Context) (stop func()) {
	if r.cfg.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		_, before, _ := r.ledger.totals()
		then := time.Now()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			_, done, _ := r.ledger.totals()
			p := Progress{
				Phase: *r.phase.Load(), Elapsed: r.now(), Unfinished: r.ledger.unfinished(),
				PerSecond: float64(done-before) / time.Since(then).Seconds(), SubmitP99: r.submits.Quantile(0.99),
			}
			before, then = done, time.Now()
			r.cfg.Progress(p)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func (r *run) report(elapsed time.Duration) *Report {
	acked, _, duplicates := r.ledger.totals()
	rep := &Report{
		Elapsed: elapsed, Completed: r.completed.Load(), Submitted: r.submitted.Load(), Submits: r.submits, Starts: r.starts,
		Acknowledged: acked, Duplicates: duplicates,
		Uncertain: r.uncertain.Load(), Refusals: r.refusals.Load(), Errors: r.errors.Load(),
	}
	rep.LostIDs, rep.Lost = r.ledger.lost(shownLost)
	if err := r.lastError.Load(); err != nil {
		rep.LastError = *err
	}
	return rep
}
