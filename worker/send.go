package worker

import (
	"context"
	"time"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxBatch      = 1000    // reports in one message
	maxBatchBytes = 1 << 20 // of reports in one message; a single one may be larger
)

// send sends whatever is ready: reports in as few messages as they fit in,
// heartbeats, the wish to drain, the goodbye. An error only ends the stream:
// receive tells why.
func (s *stream) send(ctx context.Context) {
	tick := time.NewTicker(s.beat)
	defer tick.Stop()
	w := s.w
	drain, seq := w.drain, uint64(0)
	var batch []*attempt
	for {
		var last taskraftv1.WorkerMessage
		select {
		case <-ctx.Done():
			return
		case <-w.table.ready:
		case <-drain:
			drain = nil
			last.Draining = true
		case <-tick.C:
			seq++
			count, hash := w.table.summary()
			last.Heartbeat = &taskraftv1.StreamHeartbeat{Seq: seq, HeldCount: uint32(count), HeldHash: hash}
		case <-w.leave:
			last.Goodbye = true
		}
		batch = w.table.collect(batch)
		if s.sendReports(batch, &last) != nil {
			return
		}
		clear(batch)
		if last.GetGoodbye() {
			w.left.Store(true)
			_ = s.grpc.CloseSend() // never fails: the stream was open a moment ago
			return
		}
	}
}

// sendReports sends the reports of batch; last, with whatever else there is to
// say, takes the remainder.
func (s *stream) sendReports(batch []*attempt, last *taskraftv1.WorkerMessage) error {
	m, count, bytes := &taskraftv1.WorkerMessage{}, 0, 0
	for _, a := range batch {
		if n := a.size(); count == maxBatch || count > 0 && bytes+n > maxBatchBytes {
			if err := s.grpc.Send(m); err != nil {
				return err
			}
			m, count, bytes = &taskraftv1.WorkerMessage{}, 0, 0
		}
		count, bytes = count+1, bytes+a.size()
		switch {
		case a.complete != nil:
			m.Completions = append(m.Completions, a.complete)
		case a.fail != nil:
			m.Failures = append(m.Failures, a.fail)
		default:
			m.Releases = append(m.Releases, a.release)
		}
	}
	m.Heartbeat, m.Draining, m.Goodbye = last.GetHeartbeat(), last.GetDraining(), last.GetGoodbye()
	if count == 0 && m.Heartbeat == nil && !m.Draining && !m.Goodbye {
		return nil
	}
	return s.grpc.Send(m)
}
