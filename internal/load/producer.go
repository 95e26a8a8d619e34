package load

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/taskraft/taskraft/client"
)

// stampBytes at the start of a payload hold when its submit began.
const stampBytes = 8

// produce submits until ctx ends; a call under way may then still end, until
// calls ends. Its tasks are reused: a call has sent them for good when it returns.
func (r *run) produce(ctx, calls context.Context, number int) {
	tasks := make([]client.Task, r.cfg.Batch)
	for i := range tasks {
		tasks[i] = client.Task{Payload: make([]byte, max(r.cfg.Payload, stampBytes))}
		for j := range tasks[i].Payload {
			tasks[i].Payload[j] = byte(rand.Uint32())
		}
	}
	ids := make([]uint64, 0, r.cfg.Batch)
	next := rand.IntN(len(r.queues)) // the queue of the next task
	for r.room.Take(ctx, len(tasks)) {
		start := r.now()
		for i := range tasks {
			binary.LittleEndian.PutUint64(tasks[i].Payload, uint64(start))
			tasks[i].Queue = r.queues[next%len(r.queues)]
			next++
		}
		receipts, err := r.submit(calls, tasks)
		if err != nil {
			if !r.refused(ctx, err, len(tasks)) {
				return
			}
			continue
		}
		took := r.now() - start
		ids = ids[:0]
		for _, receipt := range receipts {
			ids = append(ids, receipt.ID)
			r.trails.submitted(number, receipt, start, start+took)
		}
		r.ledger.ack(ids...)
		if r.measuring.Load() {
			r.submits.Add(took)
			if r.cfg.Submitted != nil {
				r.cfg.Submitted(took)
			}
			r.submitted.Add(uint64(len(ids)))
		}
	}
}

func (r *run) submit(ctx context.Context, tasks []client.Task) ([]client.Receipt, error) {
	if r.cfg.Batch > 1 {
		return r.client.SubmitMany(ctx, tasks)
	}
	receipt, err := r.client.Submit(ctx, tasks[0])
	return []client.Receipt{receipt}, err
}

// refused notes a submit without an acknowledgement and tells whether to go on.
func (r *run) refused(ctx context.Context, err error, tasks int) bool {
	if errors.Is(err, client.ErrUncertain) {
		r.uncertain.Add(uint64(tasks)) // they may come to the workers: their room is not given back
	} else {
		r.room.Give(tasks)
	}
	if ctx.Err() != nil {
		return false
	}
	r.fail(err)
	pause := time.NewTimer(10 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}
