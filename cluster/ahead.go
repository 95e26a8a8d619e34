package cluster

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/cluster/transport"
)

// forerunner sends the entries that this node, as the leader, is about to write to
// its followers, so that they write them meanwhile: see logstore.Store.StoreAhead.
// Any of it may get lost, since Raft sends every entry.
type forerunner struct {
	port *transport.Port
	log  *slog.Logger
	raft atomic.Pointer[raft.Raft] // nil before formation
	bell bell                      // a follower has no feed

	mu    sync.Mutex
	feeds map[raft.Server]*transport.Feed
	whole bool // every other voter had a feed when run looked
	buf   []byte
}

func newForerunner(log *slog.Logger) *forerunner {
	return &forerunner{log: log, bell: newBell(), feeds: make(map[raft.Server]*transport.Feed)}
}

// retryFeed is the least time between two rounds of dialling.
const retryFeed = 100 * time.Millisecond

// aheadMost is the largest entry that is sent ahead: a larger one costs more to
// send twice than its follower's write costs to wait for.
const aheadMost = 64 << 10

// storing is called by Raft's main loop, before the log is written.
func (f *forerunner) storing(prev uint64, logs []*raft.Log) {
	r := f.raft.Load()
	if r == nil || prev == 0 || r.State() != raft.Leader || logs[0].Term != r.CurrentTerm() {
		return
	}
	size := 0
	for _, l := range logs {
		size += len(l.Data)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.feeds) > 0 && size <= aheadMost {
		f.buf = logstore.EncodeAhead(transport.BeginFeed(f.buf), prev, logs)
		for to, feed := range f.feeds {
			if err := feed.Send(f.buf); err != nil {
				delete(f.feeds, to)
				f.whole = false
			}
		}
	}
	if !f.whole || logs[len(logs)-1].Type == raft.LogConfiguration {
		f.whole = false
		f.bell.ring()
	}
}

// run dials the other voters when storing misses a feed; nothing wakes it else.
func (f *forerunner) run(ctx context.Context, r *raft.Raft, self raft.ServerID) {
	f.raft.Store(r)
	for {
		select {
		case <-f.bell:
		case <-ctx.Done():
			return
		}
		voters := make(map[raft.Server]bool)
		for _, s := range r.GetConfiguration().Configuration().Servers {
			if s.ID != self && s.Suffrage == raft.Voter {
				voters[s] = true
			}
		}
		f.dial(ctx, voters)
		if !pause(ctx, retryFeed) {
			return
		}
	}
}

// dial makes the feeds that are missing and ends those that nobody needs.
func (f *forerunner) dial(ctx context.Context, voters map[raft.Server]bool) {
	f.mu.Lock()
	for s, feed := range f.feeds {
		if !voters[s] {
			feed.Close()
			delete(f.feeds, s)
		}
		delete(voters, s)
	}
	f.whole = len(voters) == 0
	f.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	for s := range voters {
		wg.Go(func() {
			_, addr := transport.SplitAddr(s.Address)
			feed, err := f.port.Feed(ctx, transport.Peer{ID: string(s.ID), Addr: addr})
			if err != nil {
				f.log.Debug("no feed to a follower", slog.String("peer", string(s.ID)), slog.Any("err", err))
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.feeds[s] = feed
		})
	}
}
