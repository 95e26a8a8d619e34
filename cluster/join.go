package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// A master joins a running cluster in four steps, of which each can be repeated:
//
//	the joiner   answers identify, and asks the leader to take it in
//	the leader   dials back, and adds it as a member without a vote
//	the joiner   writes cluster and members into identity.json, and starts Raft
//	the leader   gives it a vote once its table has caught up (promote.go)
//
// A master whose data was lost has a new incarnation, and so never votes in its
// predecessor's place. It rejoins as a new member; the old one is removed first,
// which takes a majority of the others, as every change does.

// Joiner is a master that asks to become a member.
type Joiner struct {
	Name        string
	Incarnation string // "": whichever answers at Raft
	Raft        string // host:port
	// Replace: it takes the place of a member of its name, whose data is lost.
	Replace bool
}

// Admission is what a new member has to know.
type Admission struct {
	ClusterID string
	ServerID  string   // its own
	Members   []Member // Name, ServerID, Raft and Voter are set
}

// joinAgain is the pause before the next try, when another change has to end first.
const joinAgain = time.Second

// enter forms a cluster or joins one.
func (n *Node) enter(ctx context.Context) (fixed bool, err error) {
	if n.cfg.Join != nil {
		return false, n.join(ctx)
	}
	return n.form(ctx)
}

// entering says what a node without a cluster is doing.
func (n *Node) entering() string {
	if n.cfg.Join != nil {
		return "joining"
	}
	return "forming"
}

// join returns once the cluster has taken this node in.
func (n *Node) join(ctx context.Context) error {
	own := n.dir.Identity()
	j := Joiner{Name: own.Name, Incarnation: own.Incarnation, Raft: n.cfg.self().Raft, Replace: n.cfg.Rejoin}
	waits := false
	for {
		a, err := n.cfg.Join(ctx, n.known(ctx), j)
		if err == nil {
			return n.admitted(own, a)
		}
		if !errors.Is(err, ErrChangeUnderWay) {
			if _, ok := errors.AsType[*Fault](err); ok {
				return err
			}
			return &Fault{Kind: FaultIdentity, Err: fmt.Errorf("join a cluster: %w", err)}
		}
		if !waits {
			waits = true
			n.log.Info("waiting to join", slog.Any("err", err))
		}
		if !pause(ctx, joinAgain) {
			return ctx.Err()
		}
	}
}

// admitted makes this node a member, durably.
func (n *Node) admitted(own datadir.State, a Admission) error {
	var members []datadir.Peer
	for _, m := range a.Members {
		p := datadir.Peer{Name: m.Name, Incarnation: incarnationOf(m.ServerID), Raft: m.Raft}
		if p.Name == own.Name && p.Incarnation != own.Incarnation {
			continue // the predecessor
		}
		members = append(members, p)
	}
	if err := n.dir.Join(a.ClusterID, members); err != nil {
		return fault(err)
	}
	n.log.Info("cluster joined", slog.String("cluster", a.ClusterID), slog.Int("masters", len(members)))
	return nil
}

// takeRoot remembers durably that a master which joined has a log now: from then on
// an empty one is a lost one. Until then it counts as not running, and gets no vote.
func (n *Node) takeRoot(ctx context.Context) {
	for n.dir.Identity().Joined && n.member.Load().raft.LastIndex() == 0 {
		if !pause(ctx, formEvery/4) {
			return
		}
	}
	if n.dir.Identity().Joined {
		if err := n.store.RaiseFloor(1); err != nil {
			n.failWith(err)
			return
		}
	}
	n.rooted.Store(true)
}

// known returns the gRPC addresses of the masters on the list of peers that answer.
func (n *Node) known(ctx context.Context) (grpc []string) {
	for _, a := range n.askAll(ctx, n.cfg.ordered()) {
		if a != nil && a.GRPC != "" {
			grpc = append(grpc, a.GRPC)
		}
	}
	return grpc
}

// disowned is called when the leader says again and again that this node is no
// member: it was removed.
func (n *Node) disowned() {
	n.fail(&Fault{Kind: FaultIdentity, Err: fmt.Errorf("%s was removed from cluster %s: to bring it back, empty its data directory and start it with --join",
		n.peers.self, n.ClusterID())})
}
