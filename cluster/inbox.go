package cluster

import (
	"sync"
	"sync/atomic"
)

// inbox is the bounded queue in front of the proposer. Callers never wait for
// an entry being built: the proposer takes all there is in one exchange.
type inbox struct {
	depth   int
	waiting atomic.Int64 // in the inbox or in the proposer's backlog

	mu      sync.Mutex
	shut    bool
	arrived []*proposal
}

type inboxState uint8

const (
	inboxTaken inboxState = iota
	inboxFull
	inboxClosed
)

func newInbox(depth int) *inbox { return &inbox{depth: depth} }

func (in *inbox) put(p *proposal) inboxState {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.shut {
		return inboxClosed
	}
	if in.waiting.Load() >= int64(in.depth) {
		return inboxFull
	}
	in.waiting.Add(1)
	in.arrived = append(in.arrived, p)
	return inboxTaken
}

// take appends all that arrived to into.
func (in *inbox) take(into []*proposal) []*proposal {
	in.mu.Lock()
	defer in.mu.Unlock()
	into = append(into, in.arrived...)
	clear(in.arrived)
	in.arrived = in.arrived[:0]
	return into
}

func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.shut = true
}
