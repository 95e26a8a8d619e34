package cells

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/taskraft/taskraft/bench/peer"
	"github.com/taskraft/taskraft/internal/measure"
)

const (
	payloadBytes = 256
	// drainPatience is how long the drain waits without any completion: longer
	// than redelivery takes by default anywhere here that is measured with kills.
	drainPatience = 35 * time.Second
	// errorPause keeps a failing producer from spinning.
	errorPause = 10 * time.Millisecond
)

var errOver = errors.New("the run is over")

// load is the producers and the consumers of a run.
type load struct {
	cell   Cell
	system peer.System
	record *record
	room   *measure.Room

	producing, consuming sync.WaitGroup
	stopProducers        context.CancelFunc
	stopConsumers        context.CancelFunc
	broken               context.CancelCauseFunc // ends the run
}

// newLoad returns a load whose context ends when a consumer fails.
func newLoad(ctx context.Context, c Cell, s peer.System) (*load, context.Context) {
	ctx, broken := context.WithCancelCause(ctx)
	return &load{
		cell: c, system: s, record: newRecord(), room: measure.NewRoom(c.Room), broken: broken,
		stopProducers: func() {}, stopConsumers: func() {},
	}, ctx
}

// consume starts the consumers, which go on until stopConsumers.
func (l *load) consume(ctx context.Context) {
	ctx, l.stopConsumers = context.WithCancel(ctx)
	l.consuming.Go(func() {
		err := l.system.Consume(ctx, peer.Work{Handle: l.handle, Confirmed: l.confirmed})
		if err != nil && ctx.Err() == nil {
			l.broken(fmt.Errorf("consume: %w", err))
		}
	})
}

// handle is the no-op of every task.
func (l *load) handle(payload []byte) {
	if l.record.measuring.Load() {
		at, _ := peer.ReadStamp(payload)
		l.record.starts.Add(l.record.now() - at)
	}
}

func (l *load) confirmed(key uint64) {
	if l.record.complete(key) {
		l.room.Give(1)
	}
}

// produce starts the producers, which go on until stopProducers.
func (l *load) produce(ctx context.Context) error {
	more, stop := context.WithCancel(ctx)
	l.stopProducers = stop
	for range l.cell.Producers {
		p, err := l.system.Producer(ctx)
		if err != nil {
			return fmt.Errorf("make a producer: %w", err)
		}
		l.producing.Go(func() {
			defer p.Close()
			l.submit(ctx, more, p)
		})
	}
	return nil
}

// submit makes calls until more ends; only the end of ctx cuts a call short.
func (l *load) submit(ctx, more context.Context, p peer.Producer) {
	r := l.record
	payloads := make([][]byte, l.cell.Batch)
	for i := range payloads {
		payloads[i] = make([]byte, payloadBytes)
		for j := range payloads[i] {
			payloads[i][j] = byte(rand.Uint32()) // incompressible
		}
	}
	n := len(payloads)
	for l.room.Take(more, n) {
		start := r.now()
		last := r.number.Add(uint64(n))
		for i := range payloads {
			peer.Stamp(payloads[i], start, last-uint64(n-1-i))
		}
		if err := p.Submit(ctx, payloads); err != nil {
			if more.Err() != nil {
				return
			}
			// Should it have been accepted all the same, the room grows a little.
			r.fail(err)
			l.room.Give(n)
			if wait(more, errorPause) != nil {
				return
			}
			continue
		}
		r.acked.Add(uint64(n))
		if r.measuring.Load() {
			r.submits.Add(r.now() - start)
		}
	}
}

// stop ends the producers and consumers. If drain is set, the consumers first
// finish what is queued; if failed is not nil, calls under way are cut short.
func (l *load) stop(ctx context.Context, drain bool, failed error) error {
	if failed != nil {
		l.broken(failed)
	}
	l.stopProducers()
	l.producing.Wait()
	if drain && failed == nil {
		failed = l.drain(ctx)
	}
	l.stopConsumers()
	l.consuming.Wait()
	l.broken(errOver)
	return failed
}

func (l *load) drain(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for l.record.unfinished() > 0 && min(l.record.silence(), time.Since(began)) < drainPatience {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
