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
	var pause <-chan time.Time // before more is said; nil: nothing is to be said
	var said time.Time
	var batch []*attempt
	for {
		var last taskraftv1.WorkerMessage
		select {
		case <-ctx.Done():
			return
		case <-w.table.ready:
		case <-w.table.live.ready:
			pause = time.After(time.Until(said.Add(sayEvery)))
			continue
		case <-pause:
			pause, said = nil, time.Now()
			w.table.live.collect(&last)
		case <-drain:
			drain = nil
			last.Draining = true
		case <-tick.C:
			seq++
			count, hash := w.table.summary()
			w.table.leash.beat()
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
	// What was said goes first: the rest of an attempt's output is with its report.
	m, count, bytes := &taskraftv1.WorkerMessage{Progress: last.GetProgress(), Output: last.GetOutput()}, 0, 0
	for _, a := range batch {
		if count == maxBatch || count > 0 && bytes+a.size() > maxBatchBytes {
			if err := s.grpc.Send(m); err != nil {
				return err
			}
			m, count, bytes = &taskraftv1.WorkerMessage{}, 0, 0
		}
		count, bytes = count+1, bytes+a.size()
		if v := a.said.Load(); v != nil { // its output goes before its report
			var n int
			m.Output, n = s.w.table.live.last(v, m.GetOutput())
			bytes += n
		}
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
	if count == 0 && m.Heartbeat == nil && !m.Draining && !m.Goodbye && len(m.Progress)+len(m.Output) == 0 {
		return nil
	}
	return s.grpc.Send(m)
}
