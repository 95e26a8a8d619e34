package cluster

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Member is what a node knows of a master.
type Member struct {
	Name, ServerID   string
	Raft, GRPC, HTTP string
	Voter, Leader    bool
	Reachable        bool
	AppliedIndex     uint64
	ClockOffset      time.Duration
	Version          string
	Level            uint32 // the newest feature level that its version knows; 0: never heard
}

// Members asks every master how it is; ctx bounds the wait for slow ones, as
// does a second. It is empty before formation.
func (n *Node) Members(ctx context.Context) []Member {
	m := n.member.Load()
	if m == nil {
		return nil
	}
	n.peers.round(ctx, pingTimeout)
	leader, _ := n.leader.get()
	var out []Member
	for _, s := range m.raft.GetConfiguration().Configuration().Servers {
		x := Member{
			Name: memberName(s.ID), ServerID: string(s.ID), Raft: string(s.Address), Voter: s.Suffrage == raft.Voter,
		}
		x.Leader = x.Name == leader.Name
		x.GRPC, x.HTTP = n.locate(s.ID)
		if s.ID == n.peers.self {
			x.Reachable, x.AppliedIndex, x.Version, x.Level = true, n.applier.index.Load(), n.cfg.Version, fsm.Level
		} else if seen, ok := n.peers.of(s.ID); ok {
			x.Reachable = time.Since(seen.at) < freshFor
			x.AppliedIndex, x.ClockOffset, x.Version, x.Level = seen.Applied, seen.offset, seen.Version, seen.Level
		}
		out = append(out, x)
	}
	return out
}

// locate finds where a master serves: what it says itself, or else its record.
func (n *Node) locate(id raft.ServerID) (grpc, http string) {
	if id == n.peers.self {
		return n.cfg.GRPC, n.cfg.HTTP
	}
	if s, ok := n.peers.of(id); ok {
		return s.GRPC, s.HTTP
	}
	if r := n.record(memberName(id)); r.GetServerId() == string(id) {
		return r.GetGrpc(), r.GetHttp()
	}
	return "", ""
}

// record returns a member's record in the table, nil when there is none.
func (n *Node) record(name string) *fsmpb.SetMember {
	n.table.mu.RLock()
	defer n.table.mu.RUnlock()
	for r := range n.table.m.Members() {
		if r.GetName() == name {
			return r
		}
	}
	return nil
}

// recordEvery is the pause between looks when nothing happens.
const recordEvery = 10 * time.Second

// recordMembers keeps the members' records in step with what they say of
// themselves, while this node leads.
func (n *Node) recordMembers(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		if l, _ := n.leader.get(); l.Self {
			n.recordAll(ctx)
			n.noteLed(ctx)
		}
		select {
		case <-n.census:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) recordAll(ctx context.Context) {
	servers := n.peers.servers()
	for _, r := range n.records() {
		if slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == r.GetServerId() }) {
			continue
		}
		gone := &fsmpb.RemoveMember{Name: r.GetName(), ServerId: r.GetServerId()}
		if !n.recordOne(ctx, r.GetName(), &fsmpb.Command{Kind: &fsmpb.Command_RemoveMember{RemoveMember: gone}}) {
			return
		}
	}
	for _, s := range servers {
		want, ok := n.wanted(s)
		if !ok || proto.Equal(want, n.record(want.GetName())) {
			continue
		}
		if !n.recordOne(ctx, want.GetName(), &fsmpb.Command{Kind: &fsmpb.Command_SetMember{SetMember: want}}) {
			return
		}
	}
}

// recordOne orders one change of the records. After an error nothing else is
// tried: leadership is gone, or the next look tries again.
func (n *Node) recordOne(ctx context.Context, name string, cmd *fsmpb.Command) bool {
	cmd.Principal = "master:" + n.cfg.Name
	ctx, cancel := context.WithTimeout(ctx, recordEvery)
	defer cancel()
	res, _, err := n.Propose(ctx, cmd)
	if err != nil || res.Outcome != fsm.Accepted {
		n.log.Debug("member not recorded", slog.String("peer", name), slog.Any("err", err), slog.Int("outcome", int(res.Outcome)))
	}
	return err == nil
}

// records returns all members' records.
func (n *Node) records() []*fsmpb.SetMember {
	n.table.mu.RLock()
	defer n.table.mu.RUnlock()
	return slices.Collect(n.table.m.Members())
}

// wanted is the record that a server should have, unless it was never heard.
func (n *Node) wanted(s raft.Server) (*fsmpb.SetMember, bool) {
	about := n.about()
	if s.ID != n.peers.self {
		seen, ok := n.peers.of(s.ID)
		if !ok {
			return nil, false
		}
		about = seen.about
	}
	m := &fsmpb.SetMember{
		Name: memberName(s.ID), ServerId: string(s.ID), Raft: string(s.Address),
		Grpc: about.GRPC, Http: about.HTTP, Level: about.Level,
	}
	n.describe(m, about)
	return m, true
}
