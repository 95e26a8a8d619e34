package cluster

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/transport"
)

// failover acts on the seen death of the leader's process, long before the
// timers would. Every follower watches the leader over its own connection. Who
// sees it die tells the other voters at once, with the end of its log; once a
// majority of the voters has seen the same death, the one with the longest log
// stands for election, because the others would refuse anybody else. Safety
// never depends on any of this: it is an election like any other.
type failover struct {
	raft      *raft.Raft
	transport *transport.Raft
	port      *transport.Port
	peers     *peers
	log       *slog.Logger
	fsyncP99  func() time.Duration

	bell     bell          // leader, term or members may have changed
	acted    atomic.Uint64 // elections stood for
	watching atomic.Bool   // the leader's process, right now

	mu       sync.Mutex
	reports  map[death]map[raft.ServerID]logEnd
	arrived  bell
	lastDone claimKey
	lastTime time.Time
}

// death is one process's end: the leader, its process, the term it led.
type death struct {
	Leader string
	Boot   string
	Term   uint64
}

// deathReport is what an observer tells the others.
type deathReport struct {
	death
	LogTerm, LogIndex uint64
}

type claimKey struct {
	leader string
	term   uint64
}

// watched is the leader whose death would matter to this node now.
type watched struct {
	server raft.Server
	term   uint64
}

const (
	leastStagger = 60 * time.Millisecond
	actAtMost    = 5 * time.Second
	// drainFor bounds the wait for what the dead leader had still sent.
	drainFor = 50 * time.Millisecond
	rewatch  = 100 * time.Millisecond
	// lookAgain is how long who watches nobody waits for the bell. It rings for all
	// that is in the log; a vote may also come with a snapshot, whose members Raft
	// takes over after the table, and says nothing.
	lookAgain = time.Second
)

// run watches whoever leads until ctx ends.
func (f *failover) run(ctx context.Context) {
	for {
		if t, ok := f.target(); ok {
			f.follow(ctx, t)
		}
		select {
		case <-f.bell:
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return
		}
	}
}

// target returns the present leader if this node is a follower and a voter.
func (f *failover) target() (watched, bool) {
	_, id := f.raft.LeaderWithID()
	if id == "" || id == f.peers.self || f.raft.State() != raft.Follower {
		return watched{}, false
	}
	t := watched{term: f.raft.CurrentTerm()}
	voter := false
	for _, s := range f.voters() {
		if s.ID == id {
			t.server = s
		}
		voter = voter || s.ID == f.peers.self
	}
	return t, voter && t.server.ID != ""
}

func (f *failover) voters() []raft.Server {
	all := f.raft.GetConfiguration().Configuration().Servers
	return slices.DeleteFunc(slices.Clone(all), func(s raft.Server) bool { return s.Suffrage != raft.Voter })
}

// follow watches t until it dies or is no longer the leader of this term; it
// rings the bell when run should look again.
func (f *failover) follow(ctx context.Context, t watched) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer cancel()
		for {
			select {
			case <-f.bell:
				if now, ok := f.target(); !ok || now != t {
					f.bell.ring()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	for ctx.Err() == nil {
		w, err := f.port.Watch(ctx, peerOf(t.server))
		if err == nil {
			f.watching.Store(true)
			var d transport.Death
			d, err = w.Wait(ctx)
			f.watching.Store(false)
			if err == nil {
				f.mourn(ctx, t, d)
				<-ctx.Done() // the next leader, or the same one in a new term, rings
				return
			}
		}
		f.log.Debug("leader not watched", slog.String("leader", string(t.server.ID)), slog.Any("err", err))
		pause(ctx, rewatch)
	}
}

// mourn tells the other voters and, when it is this node's turn, stands for
// election. ctx ends when leader or term change.
func (f *failover) mourn(ctx context.Context, t watched, d transport.Death) {
	f.log.Debug("leader's process died", slog.String("leader", d.Peer.ID), slog.String("how", d.How.String()))
	drained, cancel := context.WithTimeout(ctx, drainFor)
	f.port.AwaitRaftEnd(drained, d.Peer.ID)
	cancel()
	key := death{Leader: d.Peer.ID, Boot: d.Boot, Term: t.term}
	end := endOfLog(f.raft)
	var wg sync.WaitGroup
	defer wg.Wait()
	told, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	for _, s := range f.voters() {
		if s.ID == f.peers.self || s.ID == t.server.ID {
			continue
		}
		wg.Go(func() {
			if err := f.peers.report(told, s, deathReport{key, end.Term, end.Index}); err != nil {
				f.log.Debug("death not reported", slog.String("peer", string(s.ID)), slog.Any("err", err))
			}
		})
	}
	f.note(key, f.peers.self, end)
	f.contend(ctx, t, key)
}

// contend waits for this node's turn and takes it.
func (f *failover) contend(ctx context.Context, t watched, key death) {
	var agreed time.Time
	for ctx.Err() == nil {
		var turn <-chan time.Time
		if rank, ok := f.rank(key); ok {
			if agreed.IsZero() {
				agreed = time.Now()
			}
			wait := time.Duration(rank) * max(leastStagger, 8*f.fsyncP99())
			left := wait - time.Since(agreed)
			if left <= 0 {
				f.stand(ctx, t)
				return
			}
			turn = time.After(left)
		}
		select {
		case <-f.arrived:
		case <-turn:
		case <-ctx.Done():
		}
	}
}

// rank returns this node's place among the observers of a death.
func (f *failover) rank(key death) (int, bool) {
	voters := f.voters()
	f.mu.Lock()
	defer f.mu.Unlock()
	return place(f.peers.self, voters, f.reports[key])
}

// place orders the voters that report a death by the ends of their logs, ties by
// member order, and returns where self stands: 0 goes first. It is not ok
// without self or without a majority of all voters.
func place(self raft.ServerID, voters []raft.Server, reports map[raft.ServerID]logEnd) (int, bool) {
	var seen []raft.ServerID
	for _, v := range voters {
		if _, ok := reports[v.ID]; ok {
			seen = append(seen, v.ID)
		}
	}
	if len(seen) < len(voters)/2+1 {
		return 0, false
	}
	slices.SortStableFunc(seen, func(a, b raft.ServerID) int { return reports[b].compare(reports[a]) })
	i := slices.Index(seen, self)
	return i, i >= 0
}

// stand injects a TimeoutNow, once per (leader, term) and at most every
// actAtMost, if nothing has changed since the watch began.
func (f *failover) stand(ctx context.Context, t watched) {
	if now, ok := f.target(); !ok || now != t {
		return
	}
	once := claimKey{string(t.server.ID), t.term}
	f.mu.Lock()
	allowed := once != f.lastDone && (f.lastTime.IsZero() || time.Since(f.lastTime) >= actAtMost)
	if allowed {
		f.lastDone, f.lastTime = once, time.Now()
	}
	f.mu.Unlock()
	if !allowed {
		return
	}
	// The new term ends ctx, perhaps before the answer has come: that counts too.
	if err := f.transport.InjectTimeoutNow(ctx); err != nil && ctx.Err() == nil {
		f.log.Debug("not standing for election", slog.Any("err", err))
		return
	}
	f.acted.Add(1)
}

// note remembers a report, and forgets those of terms that are over.
func (f *failover) note(key death, from raft.ServerID, end logEnd) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.raft.CurrentTerm()
	maps.DeleteFunc(f.reports, func(k death, _ map[raft.ServerID]logEnd) bool { return k.Term < now })
	if f.reports[key] == nil {
		f.reports[key] = map[raft.ServerID]logEnd{}
	}
	f.reports[key][from] = end
	f.arrived.ring()
}

// heard takes another observer's report.
func (f *failover) heard(from string, r deathReport) {
	f.note(r.death, raft.ServerID(from), logEnd{r.LogTerm, r.LogIndex})
}
