package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/transport"
	"github.com/taskraft/taskraft/fsm"
)

// Formation happens once per cluster. A master on its first start answers only
// identify. When all masters of the list have answered "no cluster", the first
// by name draws the cluster id and fixes the list of server ids; the others
// adopt what it fixed once they find themselves in it.
//
//	every master: identity.json with a new incarnation
//	first master: all answered ─► identity.json with cluster and list ─► bootstrap
//	the others:   first master's list contains me ─► the same
//
// A crash between any two steps resumes at the next start: the incarnation
// stays, an adopted list is final, and bootstrapping twice does nothing. A wiped
// master has a new incarnation, which no cluster knows: it must never vote in
// its predecessor's place, and ends with an identity fault.

const (
	formEvery   = 100 * time.Millisecond
	formTimeout = time.Second
)

// form returns once this node has adopted a cluster; fixed tells whether it was
// the one to fix it.
func (n *Node) form(ctx context.Context) (fixed bool, err error) {
	for {
		own := n.identity()
		v, err := decide(own, n.askAll(ctx, own.List))
		if err != nil {
			return false, &Fault{Kind: FaultIdentity, Err: err}
		}
		if v.clusterID != "" {
			if err := n.dir.Adopt(v.clusterID, v.peers); err != nil {
				return false, fault(err)
			}
			n.log.Info("cluster formed", slog.String("cluster", v.clusterID), slog.Int("masters", len(v.peers)))
			return v.fixed, nil
		}
		if !pause(ctx, formEvery) {
			return false, ctx.Err()
		}
	}
}

// askAll asks every other master of the list who it is; nil where none answered.
func (n *Node) askAll(ctx context.Context, list []Peer) []*identity {
	ctx, cancel := context.WithTimeout(ctx, formTimeout)
	defer cancel()
	answers := make([]*identity, len(list))
	var wg sync.WaitGroup
	for i, p := range list {
		if p.Name == n.cfg.Name {
			continue
		}
		wg.Go(func() {
			a, err := n.peers.identify(ctx, p.Raft)
			if err != nil {
				n.log.Debug("master not reached", slog.String("peer", p.Name), slog.Any("err", err))
				return
			}
			answers[i] = &a
		})
	}
	wg.Wait()
	return answers
}

// verdict is what to adopt; an empty cluster id means: ask again.
type verdict struct {
	clusterID string
	peers     []datadir.Peer
	fixed     bool // decided here, not learnt
}

// decide judges one round of answers, in the order of own.List; nil is no answer.
func decide(own identity, answers []*identity) (verdict, error) {
	var known *identity
	complete := true
	for i, a := range answers {
		want := own.List[i]
		if want.Name == own.Name {
			continue
		}
		if a == nil {
			complete = false
			continue
		}
		if err := acquainted(own, want, a); err != nil {
			return verdict{}, err
		}
		if a.ClusterID == "" {
			continue
		}
		if known != nil && known.ClusterID != a.ClusterID {
			return verdict{}, fmt.Errorf("cluster ids differ: %s says %s, %s says %s", known.Name, known.ClusterID, a.Name, a.ClusterID)
		}
		known = a
	}
	if known != nil {
		return verdict{clusterID: known.ClusterID, peers: known.Formed}, nil
	}
	if !complete || own.List[0].Name != own.Name {
		return verdict{}, nil
	}
	v := verdict{clusterID: datadir.NewID(), fixed: true}
	for i, p := range own.List {
		incarnation := own.Incarnation
		if a := answers[i]; a != nil {
			incarnation = a.Incarnation
		}
		v.peers = append(v.peers, datadir.Peer{Name: p.Name, Incarnation: incarnation, Raft: p.Raft})
	}
	return v, nil
}

// acquainted returns why the master at want's address can never form a cluster
// with this one.
func acquainted(own identity, want Peer, a *identity) error {
	if a.Name != want.Name {
		return fmt.Errorf("the master at %s is %q, the list of peers says %q", want.Raft, a.Name, want.Name)
	}
	if a.ClusterID != "" && !slices.ContainsFunc(a.Formed, func(p datadir.Peer) bool {
		return p.Name == own.Name && p.Incarnation == own.Incarnation
	}) {
		return fmt.Errorf("%s belongs to cluster %s, which does not know %s/%s, a master without data: remove and re-add this member, or start it with --rejoin",
			a.Name, a.ClusterID, own.Name, own.Incarnation)
	}
	if !slices.Equal(a.List, own.List) {
		return fmt.Errorf("lists of peers differ: this master has %s, %s has %s", listText(own.List), a.Name, listText(a.List))
	}
	return nil
}

func listOf(peers []datadir.Peer) (list []Peer) {
	for _, p := range peers {
		list = append(list, Peer{Name: p.Name, Raft: p.Raft})
	}
	return list
}

func listText(list []Peer) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, p.Name+"="+p.Raft)
	}
	return strings.Join(parts, ",")
}

// checkFormed compares the adopted list with the configured one: a formed
// cluster does not follow an edited --peers. Of a master that joined, or is started
// as one, only its own address must be what the others know.
func checkFormed(own datadir.State, cfg *Config) error {
	list, formed := cfg.ordered(), listOf(own.Peers)
	if own.Joined || len(list) == 0 {
		self := cfg.self()
		i := slices.IndexFunc(formed, func(p Peer) bool { return p.Name == self.Name })
		if i < 0 || formed[i].Raft == self.Raft {
			return nil
		}
		return fmt.Errorf("cluster %s knows this master at %s, the configuration has %s: use that address, or remove this member and add it again without data",
			own.ClusterID, formed[i].Raft, self.Raft)
	}
	if slices.Equal(formed, list) {
		return nil
	}
	return fmt.Errorf("peers differ from what cluster %s was formed with: it has %s, the configuration has %s",
		own.ClusterID, listText(formed), listText(list))
}

// contact looks, after a start with a formed identity, whether the others agree
// with it, until a majority does. When a majority says otherwise this data is in
// the wrong place; fewer are strays, which no connection with an identity reaches.
func (n *Node) contact(ctx context.Context) {
	own := n.dir.Identity()
	list := listOf(own.Peers)
	if servers := n.peers.servers(); len(servers) > 0 { // members have come and gone since
		list = nil
		for _, s := range servers {
			list = append(list, Peer{Name: memberName(s.ID), Raft: string(s.Address)})
		}
	}
	majority := len(list)/2 + 1
	warned := false
	for {
		agree, differ := judge(own, n.askAll(ctx, list))
		switch {
		case len(differ) >= majority:
			n.fail(&Fault{Kind: FaultIdentity, Err: errors.Join(differ...)})
			return
		case len(differ) > 0 && !warned:
			warned = true
			n.log.Warn("a master of another cluster answers at a peer's address", slog.Any("err", errors.Join(differ...)))
		case agree+1 >= majority:
			return
		}
		if !pause(ctx, formTimeout) {
			return
		}
	}
}

// judge counts who agrees with this node's identity and says who does not.
func judge(own datadir.State, answers []*identity) (agree int, differ []error) {
	for _, a := range answers {
		switch {
		case a == nil || a.ClusterID == "":
		case a.ClusterID != own.ClusterID:
			differ = append(differ, fmt.Errorf("cluster ids differ: %s has %s, %s has %s", own.Name, own.ClusterID, a.Name, a.ClusterID))
		default:
			agree++
		}
	}
	return agree, differ
}

// identify tells anybody who this node is.
func (n *Node) identify(context.Context, transport.Caller, struct{}) (identity, error) {
	return n.identity(), nil
}

func (n *Node) identity() identity {
	s := n.dir.Identity()
	return identity{
		about: n.about(), Incarnation: s.Incarnation, ClusterID: s.ClusterID, Formed: s.Peers, List: n.cfg.ordered(),
	}
}

func (n *Node) about() about {
	return about{
		Name: n.cfg.Name, Boot: n.port.Boot(), Version: n.cfg.Version, Level: fsm.Level,
		Raft: n.cfg.self().Raft, GRPC: n.cfg.GRPC, HTTP: n.cfg.HTTP,
	}
}

// configuration is the one that every master of a cluster begins with.
func configuration(s datadir.State) raft.Configuration {
	var c raft.Configuration
	for _, p := range s.Peers {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(p.ServerID()), Address: raft.ServerAddress(p.Raft),
		})
	}
	return c
}
