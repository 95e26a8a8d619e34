package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/transport"
)

// The masters' tables are compared all the time: every pong carries the state hash at
// an index (C1), and the leader looks at its own hash of that index. If the two differ,
// it asks all others for theirs. Whoever a majority disagrees with has a table that
// nobody may rely on: it stops, for good, the leader as any other. Its data stays for
// whoever wants to find out why.

// stateHash is the table's hash after an entry. Index 0: none.
type stateHash struct{ Index, Hash uint64 }

// keepHashes is for how many entries back a master knows its hash: some seconds at full
// load, which is longer than a pong or a question takes.
const keepHashes = 1 << 15

// hashes remembers the state hash after each of the last entries.
type hashes struct {
	mu   sync.Mutex
	ring [keepHashes]stateHash
	n    int // noted so far
}

// note takes the hash after the next entry.
func (h *hashes) note(m stateHash) {
	h.mu.Lock()
	h.ring[h.n%keepHashes] = m
	h.n++
	h.mu.Unlock()
}

// restart takes the hash of a table that came as a whole.
func (h *hashes) restart(m stateHash) {
	h.mu.Lock()
	h.n = 0
	h.mu.Unlock()
	h.note(m)
}

// last returns the newest one.
func (h *hashes) last() stateHash {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == 0 {
		return stateHash{}
	}
	return h.ring[(h.n-1)%keepHashes]
}

// at returns the hash at an index; zero if that entry is too old, not there yet, or
// none of the table's.
func (h *hashes) at(index uint64) stateHash {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, found := h.find(index); found {
		return h.ring[i%keepHashes]
	}
	return stateHash{}
}

// find returns which of the notes is the first at an index or beyond it. Called with mu held.
func (h *hashes) find(index uint64) (i int, found bool) {
	low, high := max(0, h.n-keepHashes), h.n
	for low < high {
		if mid := (low + high) / 2; h.ring[mid%keepHashes].Index < index {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < h.n && h.ring[low%keepHashes].Index == index
}

// until returns the hash after the entry at an index, which is that of the entry before
// it when this one was none of the table's. It is zero, and oldest says from which entry
// on hashes are known, when that entry is too old.
func (h *hashes) until(index uint64) (m stateHash, oldest uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := max(0, h.n-keepHashes)
	i, found := h.find(index)
	if !found {
		i--
	}
	if i >= from {
		return h.ring[i%keepHashes], 0
	}
	return stateHash{}, h.ring[from%keepHashes].Index
}

// audit compares the others' hashes with this node's while it leads.
func (n *Node) audit(ctx context.Context) {
	open := false // masters differ and no majority agrees: it was said
	for pause(ctx, pingEvery) {
		if l, _ := n.leader.get(); !l.Self {
			open = false
			n.undecided.Store(false)
			continue
		}
		index, differ := n.dispute()
		undecided := differ && !n.judge(ctx, index)
		n.undecided.Store(undecided)
		if undecided && !open {
			n.log.Error("the masters' tables differ, and no majority agrees: compare them with cluster digest", slog.Uint64("index", index))
		}
		open = undecided
	}
}

// tablesDiffer reports whether this node as the leader, or the leader as it last said,
// sees tables that differ and no majority that agrees (DIVERGED).
func (n *Node) tablesDiffer() bool {
	l, _ := n.leader.get()
	if l.Self || l.Name == "" {
		return n.undecided.Load()
	}
	for _, s := range n.peers.others() {
		if memberName(s.ID) == l.Name {
			said, ok := n.peers.fresh(s.ID)
			return ok && said.Undecided
		}
	}
	return false
}

// dispute returns an index at which another master has another hash than this one.
func (n *Node) dispute() (index uint64, differ bool) {
	for _, theirs := range n.peers.hashes(n.cfg.Version) {
		if own := n.applier.hashes.at(theirs.Index); own.Index != 0 && own.Hash != theirs.Hash {
			return theirs.Index, true
		}
	}
	return 0, false
}

// judge asks every voter for its hash at an index, and stops whom a majority disagrees
// with. It reports whether there is such a majority.
func (n *Node) judge(ctx context.Context, index uint64) bool {
	votes := map[uint64][]raft.Server{}
	voters := 0
	for _, s := range n.peers.servers() {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		vote, err := n.applier.hashes.at(index), error(nil)
		if s.ID != n.peers.self {
			vote, err = n.peers.hashAt(ctx, s, index)
		}
		switch {
		case err != nil:
			n.log.Debug("state hash not compared", slog.String("peer", string(s.ID)), slog.Any("err", err))
		case vote.Index == index:
			votes[vote.Hash] = append(votes[vote.Hash], s)
		}
	}
	for sum, agreed := range votes {
		if len(agreed) <= voters/2 {
			continue
		}
		for other, diverged := range votes {
			if other != sum {
				n.expel(ctx, diverged, stateHash{index, sum})
			}
		}
		return true
	}
	return false
}

// expel stops masters that the majority disagrees with.
func (n *Node) expel(ctx context.Context, diverged []raft.Server, agreed stateHash) {
	for _, s := range diverged {
		n.log.Error("a master's table differs from the majority's", slog.String("peer", string(s.ID)), slog.Uint64("index", agreed.Index))
		if s.ID == n.peers.self {
			n.diverged(agreed)
			continue
		}
		if err := n.peers.tellDiverged(ctx, s, agreed); err != nil {
			n.log.Warn("diverged master not told", slog.String("peer", string(s.ID)), slog.Any("err", err))
		}
	}
}

// diverged stops this node, durably, if its own hash is not the one that the majority
// agreed on.
func (n *Node) diverged(agreed stateHash) {
	own := n.applier.hashes.at(agreed.Index)
	if own.Index == 0 || own.Hash == agreed.Hash {
		return
	}
	err := fmt.Errorf("the table differs from the other masters' since entry %d at the latest (hash %016x, theirs %016x): "+
		"keep a copy of the data directory for whoever looks for the cause, empty it and start with --rejoin", own.Index, own.Hash, agreed.Hash)
	n.fail(&Fault{Kind: FaultDisk, Err: errors.Join(err, n.dir.Condemn(err.Error()))})
}

// hashAsked answers with this node's hash at an index.
func (n *Node) hashAsked(_ context.Context, _ transport.Caller, m stateHash) (stateHash, error) {
	return n.applier.hashes.at(m.Index), nil
}

// divergenceHeard takes the leader's word that a majority has another table, which
// this node's own hash must confirm.
func (n *Node) divergenceHeard(_ context.Context, _ transport.Caller, agreed stateHash) (struct{}, error) {
	n.diverged(agreed)
	return struct{}{}, nil
}

// hashes returns what the members that answered lately said of their tables. Those of
// another version may count another hash.
func (p *peers) hashes(version string) (out []stateHash) {
	for _, s := range p.others() {
		if x, ok := p.fresh(s.ID); ok && x.Version == version && x.State.Index != 0 {
			out = append(out, x.State)
		}
	}
	return out
}

// hashAt asks a master for its hash at an index; zero if it has none.
func (p *peers) hashAt(ctx context.Context, to raft.Server, index uint64) (m stateHash, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return m, p.port.Call(ctx, peerOf(to), methodHash, stateHash{Index: index}, &m)
}

// tellDiverged tells a master what the majority's hash is.
func (p *peers) tellDiverged(ctx context.Context, to raft.Server, agreed stateHash) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return p.port.Call(ctx, peerOf(to), methodDiverged, agreed, nil)
}
