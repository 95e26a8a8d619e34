package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/transport"
)

// The members are changed one at a time, by the leader, and each change names the
// configuration that it was decided on: what another one changed in between makes
// Raft refuse it.

const (
	// meetWithin bounds the leader's look at a master that wants to join.
	meetWithin = 3 * time.Second
	// changeWithin bounds one change of the configuration in Raft.
	changeWithin = 10 * time.Second
)

// AddMember takes a master in, without a vote until it has caught up. Taking in a
// member again changes nothing. Errors: *NotLeaderError, ErrUncertain,
// ErrChangeUnderWay, ErrMemberExists, ErrUnreachable, ErrForeign, ErrQuorum.
func (n *Node) AddMember(ctx context.Context, j Joiner) (Admission, error) {
	var out Admission
	err := n.change(func(m *member) error {
		found, err := n.meet(ctx, &j)
		if err != nil {
			return err
		}
		id := raft.ServerID(j.Name + "/" + j.Incarnation)
		conf := m.raft.GetConfiguration()
		index := conf.Index()
		present, rival, err := vacancy(conf.Configuration().Servers, id, j)
		if err == nil && !present {
			err = n.fits(found, id)
		}
		if err == nil && rival.ID != "" {
			index, err = n.supersede(ctx, m, rival, index)
		}
		if err == nil { // also for one that is present: no majority may have the entry that made it so yet
			err = n.changed(m.raft.AddNonvoter(id, raft.ServerAddress(j.Raft), index, changeWithin))
		}
		if err != nil {
			return fmt.Errorf("add %s: %w", j.Name, err)
		}
		if !present {
			n.log.Info("member added", slog.String("peer", string(id)), slog.String("raft", j.Raft))
		}
		out = n.admission(m, id)
		return nil
	})
	return out, err
}

// change runs f while this node leads and nobody else changes the members.
func (n *Node) change(f func(*member) error) error {
	m := n.member.Load()
	if l, _ := n.leader.get(); m == nil || !l.Self {
		return n.replica.notLeader()
	}
	if !n.changing.TryLock() {
		return ErrChangeUnderWay
	}
	defer n.changing.Unlock()
	defer n.census.ring()
	return f(m)
}

// meet dials the joiner back: a member that the leader cannot reach would only cost
// the majority. It fills in the incarnation where the caller does not know it.
func (n *Node) meet(ctx context.Context, j *Joiner) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, meetWithin)
	defer cancel()
	a, err := n.peers.identify(ctx, j.Raft)
	switch {
	case errors.Is(err, transport.ErrClosed), errors.Is(err, transport.ErrIsolated): // ours: it says nothing of the joiner
		return a, ErrStopped
	case err != nil:
		return a, fmt.Errorf("%w: %s at %s: %w", ErrUnreachable, j.Name, j.Raft, err)
	case a.Name != j.Name || j.Incarnation != "" && a.Incarnation != j.Incarnation:
		return a, fmt.Errorf("%w: %s/%s answers at %s, not %s/%s", ErrForeign, a.Name, a.Incarnation, j.Raft, j.Name, j.Incarnation)
	case a.ClusterID != "" && a.ClusterID != n.ClusterID():
		return a, fmt.Errorf("%w: %s belongs to cluster %s, this is %s", ErrForeign, j.Name, a.ClusterID, n.ClusterID())
	}
	j.Incarnation = a.Incarnation
	return a, nil
}

// vacancy looks where a joiner would stand among the members: it is present already,
// or takes the place of a rival of its name.
func vacancy(servers []raft.Server, id raft.ServerID, j Joiner) (present bool, rival raft.Server, err error) {
	for _, s := range servers {
		same := memberName(s.ID) == j.Name
		switch {
		case s.ID == id && string(s.Address) == j.Raft:
			return true, raft.Server{}, nil
		case s.ID == id:
			return false, rival, fmt.Errorf("%w: %s is a member at %s, not at %s", ErrMemberExists, s.ID, s.Address, j.Raft)
		case same && !j.Replace:
			return false, rival, fmt.Errorf("%w: %s is %s@%s, incarnation %s", ErrMemberExists, j.Name, j.Name, s.Address, incarnationOf(string(s.ID)))
		case same:
			rival = s
		case string(s.Address) == j.Raft:
			return false, rival, fmt.Errorf("%w: %s is %s", ErrMemberExists, j.Raft, s.ID)
		case s.Suffrage != raft.Voter:
			err = fmt.Errorf("%w: %s has no vote yet", ErrChangeUnderWay, s.ID)
		}
	}
	return false, rival, err
}

// fits looks at what a new member says of itself.
func (n *Node) fits(a identity, id raft.ServerID) error {
	if a.ClusterID != "" {
		return fmt.Errorf("%w: %s has the data of a removed member: empty its data directory", ErrForeign, id)
	}
	n.table.mu.RLock()
	defer n.table.mu.RUnlock()
	if level := n.table.m.FeatureLevel(); a.Level < uint32(level) {
		return fmt.Errorf("%w: its version knows feature level %d, the table has %d: upgrade it", ErrForeign, a.Level, level)
	}
	for r := range n.table.m.Members() {
		if a.GRPC != "" && r.GetGrpc() == a.GRPC && r.GetName() != a.Name {
			return fmt.Errorf("%w: gRPC address %s is %s's", ErrMemberExists, a.GRPC, r.GetName())
		}
	}
	return nil
}

// supersede removes the member whose place another incarnation takes, unless it is
// alive, and returns the index of the new configuration.
func (n *Node) supersede(ctx context.Context, m *member, old raft.Server, index uint64) (uint64, error) {
	ping, cancel := context.WithTimeout(ctx, heirTimeout)
	err := n.peers.ping(ping, old)
	cancel()
	if err == nil {
		return 0, fmt.Errorf("%w: %s is alive at %s", ErrMemberExists, old.ID, old.Address)
	}
	if err := n.spare(ctx, m, old); err != nil {
		return 0, err
	}
	f := m.raft.RemoveServer(old.ID, index, changeWithin)
	if err := n.changed(f); err != nil {
		return 0, err
	}
	n.log.Warn("member replaced, its data is lost", slog.String("peer", string(old.ID)))
	return f.Index(), nil
}

// RemoveMember removes a member. A leader that removes itself hands leadership over
// first, and the next one does it. Errors: *NotLeaderError, ErrUncertain,
// ErrChangeUnderWay, ErrNoMember, ErrNoSuccessor, ErrQuorum.
func (n *Node) RemoveMember(ctx context.Context, name string) error {
	return n.change(func(m *member) error {
		conf := m.raft.GetConfiguration()
		servers := conf.Configuration().Servers
		i := slices.IndexFunc(servers, func(s raft.Server) bool { return memberName(s.ID) == name })
		if i < 0 {
			return fmt.Errorf("remove %s: %w", name, ErrNoMember)
		}
		if err := n.spare(ctx, m, servers[i]); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		if servers[i].ID == n.peers.self {
			if err := n.handOver(ctx, ""); err != nil {
				return fmt.Errorf("remove %s: %w", name, err)
			}
			n.awaitSuccessor(ctx)
			return n.replica.notLeader()
		}
		if err := n.changed(m.raft.RemoveServer(servers[i].ID, conf.Index(), changeWithin)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		n.log.Info("member removed", slog.String("peer", string(servers[i].ID)))
		return nil
	})
}

// spare returns nil if the cluster can do without a member: of the voters that are
// left, a majority answers now.
func (n *Node) spare(ctx context.Context, m *member, who raft.Server) error {
	if who.Suffrage != raft.Voter {
		return nil
	}
	start := time.Now()
	n.peers.round(ctx, heirTimeout)
	var silent []string
	left := 0
	for _, s := range m.failover.voters() {
		if s.ID == who.ID {
			continue
		}
		left++
		if seen, ok := n.peers.of(s.ID); s.ID != n.peers.self && (!ok || seen.at.Before(start) || !seen.Running) {
			silent = append(silent, memberName(s.ID))
		}
	}
	switch {
	case left == 0:
		return fmt.Errorf("%w: %s is its last voter", ErrQuorum, memberName(who.ID))
	case left-len(silent) < left/2+1:
		return fmt.Errorf("%w: of the %d voters left, %v would not answer", ErrQuorum, left, silent)
	}
	return nil
}

// changed waits for a change of the configuration and says what became of it.
func (n *Node) changed(f raft.Future) error {
	ctx, cancel := context.WithTimeout(n.ctx, 2*changeWithin)
	defer cancel()
	switch err := waitFuture(ctx, f); {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.replica.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrChangeUnderWay, err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	default: // the configuration is another one by now
		return fmt.Errorf("%w: %w", ErrChangeUnderWay, err)
	}
}

func (n *Node) admission(m *member, id raft.ServerID) Admission {
	a := Admission{ClusterID: n.ClusterID(), ServerID: string(id)}
	for _, s := range m.raft.GetConfiguration().Configuration().Servers {
		a.Members = append(a.Members, Member{
			Name: memberName(s.ID), ServerID: string(s.ID), Raft: string(s.Address), Voter: s.Suffrage == raft.Voter,
		})
	}
	return a
}
