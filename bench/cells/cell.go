package cells

import "github.com/taskraft/taskraft/bench/peer"

// Kind says what a cell measures.
type Kind int

// The kinds.
const (
	Throughput Kind = iota // lifecycles per second
	Latency                // one task at a time
	Failover               // gaps when the leader is killed
	Backlog                // throughput over a long queue
)

// Cell is one load.
type Cell struct {
	Name, Title string
	Kind        Kind
	Producers   int
	Batch       int // tasks per call
	Slots       int // handlers at once
	Room        int // tasks submitted or being submitted, and not completed, at most
	Optional    bool
	Only        []string // names of the systems, nil: all that can
}

// Names of the systems that hold their data on three servers.
var replicated = []string{peer.Taskraft, "nats-always", "nats-default"}

// All returns every cell.
func All() []Cell {
	return []Cell{
		{Name: "unbatched", Title: "64 producers × 1 per call, 64 slots", Producers: 64, Batch: 1, Slots: 64, Room: 1024},
		{Name: "wide", Title: "256 producers × 1 per call, 256 slots", Producers: 256, Batch: 1, Slots: 256, Room: 4096},
		{Name: "batched", Title: "8 producers × 500 per call, 2,000 slots", Producers: 8, Batch: 500, Slots: 2000, Room: 20_000},
		{Name: "latency", Title: "1 producer, 1 worker, one task at a time", Kind: Latency, Producers: 1, Batch: 1, Slots: 1, Room: 1},
		{Name: "kill", Title: "kill -9 of the leader under 8 producers, 8 slots", Kind: Failover, Producers: 8, Batch: 1, Slots: 8, Room: 64, Only: replicated},
		{Name: "backlog", Title: "batched, over a long queue", Kind: Backlog, Producers: 8, Batch: 500, Slots: 2000, Room: 1_000_000, Optional: true, Only: replicated},
	}
}

// Ways returns how the system is used in this cell, nil if it has no part in it.
func (c Cell) Ways(s peer.Spec) []string {
	if c.Only != nil {
		found := false
		for _, name := range c.Only {
			found = found || name == s.Name
		}
		if !found {
			return nil
		}
	}
	switch {
	case c.Kind == Failover || c.Kind == Latency:
		return s.Single[:1]
	case c.Batch > 1:
		return s.Batched
	default:
		return s.Single
	}
}
