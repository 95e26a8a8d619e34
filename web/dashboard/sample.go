package dashboard

import (
	"context"
	"sync"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
)

const (
	sampleEvery = time.Second
	samplesKept = 600
	// queuesDrawn are told apart in the chart of running tasks.
	queuesDrawn = 8
)

// sample is what the charts show of one moment.
type sample struct {
	Time    float64          `json:"t"`    // Unix seconds
	Done    float64          `json:"done"` // tasks that succeeded, each second
	Bad     float64          `json:"bad"`  // that died
	In      float64          `json:"in"`   // submitted
	Oldest  float64          `json:"oldest"`
	Running map[string]int64 `json:"running"`
	Term    uint64           `json:"term"`
	Leader  string           `json:"leader"`
}

// totals are counters that only grow.
type totals struct {
	at       time.Time
	in, done uint64
	dead     int64
}

// history is the last ten minutes, on every master from its own table.
type history struct {
	mu      sync.Mutex
	samples []sample
	last    totals
	changed chan struct{} // closed by the next sample
}

func newHistory() *history { return &history{changed: make(chan struct{})} }

// get returns the samples and a channel closed by the next one.
func (h *history) get() ([]sample, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sample(nil), h.samples...), h.changed
}

func (h *history) newest() (sample, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == 0 {
		return sample{}, h.changed
	}
	return h.samples[len(h.samples)-1], h.changed
}

// sample samples the table until ctx ends.
func (h *Handler) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		h.history.add(h.look())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads what a sample is made of.
func (h *Handler) look() (sample, totals) {
	now := time.Now()
	s := sample{Time: float64(now.UnixMilli()) / 1000, Running: make(map[string]int64)}
	t := totals{at: now}
	pos, _ := h.cfg.Node.Read(context.Background(), cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		for q := range m.QueuesAfter("") {
			t.in += q.SubmittedTotal
			t.dead += q.Counts[fsm.Dead]
			// Ended records that retention removed have ended too.
			t.done += uint64(q.Counts[fsm.Succeeded]) + q.TrimmedTotal
			if n := q.Counts[fsm.Running] + q.Counts[fsm.Stopping]; n > 0 {
				name := q.Name
				if len(s.Running) >= queuesDrawn && s.Running[name] == 0 {
					name = "others"
				}
				s.Running[name] += n
			}
			if q.OldestReadyAt != 0 {
				s.Oldest = max(s.Oldest, float64(now.UnixNano()-q.OldestReadyAt)/1e9)
			}
		}
	})
	leader, _ := h.cfg.Node.Leader()
	s.Term, s.Leader = pos.Term, leader.Name
	return s, t
}

func (h *history) add(s sample, t totals) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if passed := t.at.Sub(h.last.at).Seconds(); !h.last.at.IsZero() && passed > 0 {
		s.In = max(float64(t.in)-float64(h.last.in), 0) / passed
		s.Done = max(float64(t.done)-float64(h.last.done), 0) / passed
		s.Bad = max(float64(t.dead-h.last.dead), 0) / passed
	}
	h.last = t
	if len(h.samples) == samplesKept {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
	h.samples = append(h.samples, s)
	close(h.changed)
	h.changed = make(chan struct{})
}
