package cells

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"time"

	"github.com/taskraft/taskraft/bench/peer"
)

// Plan is what all runs have in common.
type Plan struct {
	Warmup   time.Duration
	Measure  time.Duration // of a run that measures throughput or latency
	Kills    int           // of a run that measures gaps
	Backlog  int           // queued tasks of a run over a long queue
	Dir      string        // an existing directory on a disk
	Taskraft string        // path of the taskraft binary
	Talk     func(format string, args ...any)
}

// Run measures one cell on one system, used in one way. What went wrong is in
// the result. The system is started for it and nothing of it is left.
func (p *Plan) Run(ctx context.Context, c Cell, s peer.Spec, way string) Result {
	r := Result{Cell: c.Name, System: s.Name, Way: way}
	err := p.run(ctx, c, s, &r)
	switch {
	case errors.Is(err, peer.ErrUnavailable):
		r.Skipped = err.Error()
	case err != nil:
		r.Failed = err.Error()
	}
	return r
}

func (p *Plan) run(ctx context.Context, c Cell, s peer.Spec, r *Result) (err error) {
	dir, err := os.MkdirTemp(p.Dir, s.Name+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Servers that run as another user must reach their data.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	debug.FreeOSMemory() // what the run before left costs this one nothing
	if c.Kind == Backlog {
		c.Room = p.Backlog + c.Producers*c.Batch
	}
	system := s.New(peer.Setup{
		Way: r.Way, Producers: c.Producers, Batch: c.Batch, Slots: c.Slots,
		Failover: c.Kind == Failover, Taskraft: p.Taskraft,
	})
	defer func() { err = errors.Join(err, system.Stop()) }()
	if err := system.Start(ctx, dir); err != nil {
		return err
	}
	l, loadCtx := newLoad(ctx, c, system)
	err = p.load(loadCtx, l, r)
	// The rest of a long queue is of no interest.
	err = l.stop(loadCtx, c.Kind != Backlog, err)
	l.record.fill(r)
	if c.Kind == Backlog {
		r.Unfinished = 0
	}
	return err
}

// load warms up and measures.
func (p *Plan) load(ctx context.Context, l *load, r *Result) error {
	if l.cell.Kind == Backlog {
		if err := p.fill(ctx, l, r); err != nil {
			return err
		}
	}
	l.consume(ctx)
	if l.cell.Kind != Backlog {
		if err := l.produce(ctx); err != nil {
			return err
		}
	}
	if err := wait(ctx, p.Warmup); err != nil {
		return err
	}
	if l.cell.Kind == Failover {
		return p.kills(ctx, l, r)
	}
	return p.measure(ctx, l, r)
}

// measure takes accounts before and after the measured time.
func (p *Plan) measure(ctx context.Context, l *load, r *Result) error {
	before, err := l.account(ctx)
	if err != nil {
		return err
	}
	l.record.measuring.Store(true)
	err = wait(ctx, p.Measure)
	l.record.measuring.Store(false)
	if err != nil {
		return err
	}
	after, err := l.account(ctx)
	if err != nil {
		return err
	}
	done := float64(after.completed - before.completed)
	took := after.at.Sub(before.at).Seconds()
	r.Seconds, r.Lifecycles = round(took, 3), round(done/took, 1)
	if done > 0 {
		used := after.servers.Since(before.servers)
		r.ServerCPU = round(used.CPU.Seconds()/done*1e3, 4)
		r.ClientCPU = round((after.client-before.client).Seconds()/done*1e3, 4)
		r.Written = round(float64(used.Written)/1024/done*1e3, 1)
	}
	return nil
}

// account is the state of a run at one moment.
type account struct {
	at        time.Time
	completed uint64
	servers   peer.Usage
	client    time.Duration
}

func (l *load) account(ctx context.Context) (a account, err error) {
	if a.servers, err = peer.UsageOf(l.system.PIDs()); err != nil {
		return a, err
	}
	a.client = peer.OwnCPU()
	a.completed = l.record.completed.Load()
	if counter, ok := l.system.(peer.Counter); ok {
		if a.completed, err = counter.Completed(ctx); err != nil {
			return a, err
		}
	}
	a.at = time.Now()
	return a, nil
}

// fill copies the record into the result.
func (r *record) fill(out *Result) {
	out.SubmitP50, out.SubmitP99 = millis(r.submits.Quantile(0.5)), millis(r.submits.Quantile(0.99))
	out.StartP50, out.StartP99 = millis(r.starts.Quantile(0.5)), millis(r.starts.Quantile(0.99))
	out.Acknowledged, out.Completed, out.Unfinished = r.acked.Load(), r.completed.Load(), r.unfinished()
	out.Repeated, out.SubmitErrors = r.repeated.Load(), r.failed.Load()
	if err := r.lastError.Load(); err != nil {
		out.LastError = (*err).Error()
	}
}

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
