package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/transport"
)

// The methods that masters call on each other.
const (
	methodIdentify = "identify"
	methodPing     = "ping"
	methodTerm     = "confirm-term"
	methodDeath    = "death-report"
	methodServing  = "serving"
	methodHash     = "state-hash"
	methodDiverged = "diverged"
)

// about is what a master says of itself.
type about struct {
	Name    string
	Boot    string
	Version string
	Level   uint32 // newest feature level of its binary
	Raft    string
	GRPC    string
	HTTP    string
}

// identity answers identify: the only thing that a master without a cluster says.
type identity struct {
	about
	Incarnation string
	ClusterID   string         // "" before adoption
	Formed      []datadir.Peer // the adopted list
	List        []Peer         // its --peers, by name
}

// pong answers ping.
type pong struct {
	about
	Wall     int64 // Unix nanoseconds
	Running  bool  // its Raft runs, and it has not just joined with nothing
	Term     uint64
	Serves   uint64 // the term in which its gate is open, 0: it is not
	Applied  uint64
	State    stateHash // the state hash after its last entry
	FsyncP99 time.Duration
	DiskLow  bool
	// Undecided: this master leads and sees tables that differ, and no majority.
	Undecided bool
	Stranger  bool // who asks is no member, as far as this master knows
}

// serving says that the caller's gate is open in a term.
type serving struct{ Term uint64 }

type termQuery struct{ Term uint64 }

type termAnswer struct{ Term uint64 }

// sight is what this node knows of another one, and since when.
type sight struct {
	pong
	at     time.Time
	offset time.Duration // its wall clock minus ours, corrected by half the round trip
}

// peers asks the other masters and remembers what they said.
type peers struct {
	port  *transport.Port
	self  raft.ServerID // set at adoption, before any use
	log   *slog.Logger
	wall  func() time.Time // this master's wall clock
	heard func()           // something new about a peer
	// disowned: the leader says that this node is no member any more.
	disowned func()
	raft     atomic.Pointer[raft.Raft] // whose configuration says who the members are; nil before it runs

	mu      sync.Mutex
	adopted []raft.Server // the members before Raft has a configuration
	seen    map[raft.ServerID]sight
	served  map[raft.ServerID]uint64 // the last term each was heard to serve in
	strange int                      // pongs in a row in which the leader did not know this node
}

const (
	pingEvery   = time.Second
	pingTimeout = time.Second
	// freshFor is how long a pong counts as "reachable".
	freshFor = 3 * pingEvery
	// disownedAfter pongs of a leader that does not know this node, it was removed.
	disownedAfter = 2
)

// adopt sets whom to ask.
func (p *peers) adopt(self datadir.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.self = raft.ServerID(self.ServerID())
	p.seen, p.served = map[raft.ServerID]sight{}, map[raft.ServerID]uint64{}
	p.adopted = configuration(self).Servers
}

// servers returns the members that Raft knows, none before it has learnt of any. The
// caller must not change the list: it is Raft's own.
func (p *peers) servers() []raft.Server {
	if r := p.raft.Load(); r != nil {
		return r.GetConfiguration().Configuration().Servers
	}
	return nil
}

// others returns the other members as they are now.
func (p *peers) others() []raft.Server {
	all := p.servers()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(all) == 0 {
		all = p.adopted
	}
	return slices.DeleteFunc(slices.Clone(all), func(s raft.Server) bool { return s.ID == p.self })
}

// run pings every other master once a second until ctx ends.
func (p *peers) run(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		p.round(ctx, pingTimeout)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// round pings all other masters at once and waits for the answers.
func (p *peers) round(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wg sync.WaitGroup
	for _, o := range p.others() {
		wg.Go(func() {
			if err := p.ping(ctx, o); err != nil {
				p.log.Debug("peer does not answer", slog.String("peer", memberName(o.ID)), slog.Any("err", err))
			}
		})
	}
	wg.Wait()
}

func (p *peers) ping(ctx context.Context, to raft.Server) error {
	start, wall := time.Now(), p.wall()
	var a pong
	if err := p.port.Call(ctx, peerOf(to), methodPing, struct{}{}, &a); err != nil {
		return err
	}
	now := time.Now()
	middle := wall.Add(now.Sub(start) / 2)
	s := sight{pong: a, at: now, offset: time.Unix(0, a.Wall).Sub(middle.Round(0))}
	id := to.ID
	p.mu.Lock()
	before, known := p.seen[id]
	p.seen[id] = s
	if a.Serves > 0 && a.Serves == a.Term { // only who leads knows for certain who is a member
		p.strange++
		if !a.Stranger {
			p.strange = 0
		}
	}
	out := p.strange >= disownedAfter
	p.mu.Unlock()
	if out {
		p.disowned()
	}
	p.serving(id, a.Serves)
	if !known || before.about != a.about || before.Running != a.Running {
		p.heard()
	}
	return nil
}

// serving notes the term that a master says it serves in.
func (p *peers) serving(id raft.ServerID, term uint64) {
	p.mu.Lock()
	news := term > p.served[id]
	if news {
		p.served[id] = term
	}
	p.mu.Unlock()
	if news {
		p.heard()
	}
}

// servedIn returns the last term that a master was heard to serve in.
func (p *peers) servedIn(id raft.ServerID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served[id]
}

// herald tells every other master that this one serves.
func (p *peers) herald(ctx context.Context, term uint64) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, o := range p.others() {
		wg.Go(func() {
			if err := p.port.Call(ctx, peerOf(o), methodServing, serving{term}, nil); err != nil {
				p.log.Debug("peer not told of this leader", slog.String("peer", memberName(o.ID)), slog.Any("err", err))
			}
		})
	}
	wg.Wait()
}

// of returns the last sight of a master.
func (p *peers) of(id raft.ServerID) (sight, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.seen[id]
	return s, ok
}

// fresh returns the last sight of a master if it is reachable.
func (p *peers) fresh(id raft.ServerID) (sight, bool) {
	s, ok := p.of(id)
	return s, ok && time.Since(s.at) < freshFor
}

// allRunning reports whether the Raft of every other master runs.
func (p *peers) allRunning() bool {
	for _, o := range p.others() {
		if s, ok := p.fresh(o.ID); !ok || !s.Running {
			return false
		}
	}
	return true
}

// clocks returns the offsets of the reachable masters.
func (p *peers) clocks() []time.Duration {
	var out []time.Duration
	for _, o := range p.others() {
		if s, ok := p.fresh(o.ID); ok {
			out = append(out, s.offset)
		}
	}
	return out
}

// confirmTerm returns nil when the voter's current term is term.
func (p *peers) confirmTerm(ctx context.Context, to raft.Server, term uint64) error {
	var a termAnswer
	if err := p.port.Call(ctx, peerOf(to), methodTerm, termQuery{Term: term}, &a); err != nil {
		return err
	}
	if a.Term != term {
		return fmt.Errorf("%s is in term %d, not in %d", to.ID, a.Term, term)
	}
	return nil
}

// report tells a voter of the leader's death.
func (p *peers) report(ctx context.Context, to raft.Server, d deathReport) error {
	return p.port.Call(ctx, peerOf(to), methodDeath, d, nil)
}

// identify asks whoever is at an address who it is.
func (p *peers) identify(ctx context.Context, addr string) (identity, error) {
	var a identity
	err := p.port.Call(ctx, transport.Peer{Addr: addr}, methodIdentify, struct{}{}, &a)
	return a, err
}

// peerOf is a server of Raft's configuration as the transport wants it.
func peerOf(s raft.Server) transport.Peer {
	return transport.Peer{ID: string(s.ID), Addr: string(s.Address)}
}
