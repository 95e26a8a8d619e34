package cluster

import (
	"context"
	"errors"
	"log/slog"

	"github.com/taskraft/taskraft/cluster/events"
)

// EventStats are the figures of this node's ring of events.
type EventStats = events.Stats

// openRing opens the ring before Raft brings the first entries.
func (n *Node) openRing(owner string) {
	cfg := events.DefaultConfig()
	cfg.Dir, cfg.Owner, cfg.Logger = n.dir.EventsPath(), owner, n.log
	cfg.DiskBytes = n.cfg.EventBytes
	cfg.SegmentBytes = max(min(cfg.SegmentBytes, cfg.DiskBytes/4), 1)
	if n.cfg.hooks.events != nil {
		n.cfg.hooks.events(&cfg)
	}
	r := events.Open(cfg)
	n.applier.record.ring = r
	n.ring.Store(r)
	oldest, last := r.Range()
	n.log.Debug("ring of events opened", slog.Uint64("oldest", oldest), slog.Uint64("index", last))
}

// EventsFrom is a place to read events from. Any master has its own ring.
type EventsFrom struct {
	Cursor events.Cursor
	Oldest bool // or the oldest that is kept
	Now    bool // or what happens from now on
}

// Events returns this node's events from a place on: gap-free, or *events.CompactedError.
// A place that this node has not reached yet is waited for. Error: *NotLeaderError
// before there is a cluster.
func (n *Node) Events(from EventsFrom, f events.Filter) (*events.Stream, error) {
	r := n.ring.Load()
	if r == nil {
		return nil, &NotLeaderError{}
	}
	switch {
	case from.Oldest:
		return r.StreamAll(f), nil
	case from.Now:
		_, last := r.Range()
		from.Cursor = events.Cursor{Index: last + 1}
	}
	return r.Stream(from.Cursor, f), nil
}

// MoreEvents is s.More with the errors of this package: ErrStopped when the node stops.
func (n *Node) MoreEvents(ctx context.Context, s *events.Stream) error {
	err := s.More(ctx)
	if errors.Is(err, events.ErrClosed) {
		return ErrStopped
	}
	return err
}

// EventRange returns the oldest entry whose events this node keeps, and the newest that
// it knows.
func (n *Node) EventRange() (oldest, last uint64) {
	if r := n.ring.Load(); r != nil {
		return r.Range()
	}
	return 1, 0
}

// EventStats returns the figures of the ring; zero before there is a cluster.
func (n *Node) EventStats() EventStats {
	if r := n.ring.Load(); r != nil {
		return r.Stats()
	}
	return EventStats{Oldest: 1}
}
