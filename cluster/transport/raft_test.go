package transport

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/transport/transporttest"
)

// applied is a state machine that only passes on what it applies.
type applied chan string

func (a applied) Apply(l *raft.Log) any {
	a <- string(l.Data)
	return nil
}
func (applied) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshots here") }
func (applied) Restore(io.ReadCloser) error         { return errors.New("no snapshots here") }

// member is one Raft node of a test.
type member struct {
	*raft.Raft
	port  *Port
	tr    *Raft
	net   *transporttest.Net
	store *raft.InmemStore
	fsm   applied
}

// trio opens three ports with their Raft transports.
func trio(t *testing.T) ([]*member, raft.Configuration) {
	t.Helper()
	var members []*member
	var conf raft.Configuration
	for _, id := range []string{"n1/a", "n2/b", "n3/c"} {
		m := &member{net: new(transporttest.Net), store: raft.NewInmemStore(), fsm: make(applied, 10_000)}
		cfg := config()
		cfg.Dial = m.net.Dial
		m.port = listen(t, id, cfg)
		var err error
		if m.tr, err = m.port.Raft(nil); err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(m.port.Addr())})
	}
	return members, conf
}

// start runs Raft on a member; logs and tr may differ from the member's own.
func (m *member) start(t *testing.T, conf raft.Configuration, logs raft.LogStore, tr raft.Transport, change func(*raft.Config)) {
	t.Helper()
	if err := CheckRaft(tr); err != nil {
		t.Fatal(err)
	}
	c := raft.DefaultConfig()
	c.LocalID = m.tr.id
	c.LogOutput = io.Discard
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = time.Second, time.Second, time.Second
	if change != nil {
		change(c)
	}
	snaps := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(c, m.store, m.store, snaps, tr, conf); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.Raft, err = raft.NewRaft(c, m.fsm, logs, m.store, snaps, tr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown().Error() })
	m.tr.Serve(&replica{Raft: m.Raft, logs: m.store})
}

// startTrio runs three Rafts and has the first one elected.
func startTrio(t *testing.T, change func(*raft.Config)) []*member {
	t.Helper()
	members, conf := trio(t)
	for _, m := range members {
		m.start(t, conf, m.store, m.tr, change)
	}
	members[0].elect(t)
	for _, m := range members {
		m.follows(t, members[0])
	}
	return members
}

// elect makes a member the leader by local injection alone. Who was injected is a
// candidate at once; one that follows again has lost to another's election, and
// stands once more.
func (m *member) elect(t *testing.T) {
	t.Helper()
	eventually(t, string(m.tr.id)+" leads", func() bool {
		if m.State() == raft.Follower {
			if err := m.tr.InjectTimeoutNow(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		return m.State() == raft.Leader
	})
}

// follows waits until a member knows its leader and is in its term.
func (m *member) follows(t *testing.T, leader *member) {
	t.Helper()
	eventually(t, string(m.tr.id)+" follows "+string(leader.tr.id), func() bool {
		_, id := m.LeaderWithID()
		return id == leader.tr.id && m.CurrentTerm() == leader.CurrentTerm()
	})
}

func TestInjectTimeoutNow(t *testing.T) {
	members := startTrio(t, nil)
	before := members[0].CurrentTerm()
	members[2].elect(t)
	if term := members[2].CurrentTerm(); term <= before {
		t.Errorf("elected in term %d, the one before was %d", term, before)
	}
	for _, m := range members {
		m.follows(t, members[2])
		addr, _ := m.LeaderWithID()
		if id, hostport := SplitAddr(addr); id != "n3/c" || hostport != members[2].port.Addr() {
			t.Errorf("%s has its leader at %q", m.tr.id, addr)
		}
	}
	if err := members[2].Apply([]byte("x"), 0).Error(); err != nil {
		t.Error(err)
	}
	if err := members[2].Shutdown().Error(); err != nil {
		t.Error(err)
	}
	if err := members[2].tr.InjectTimeoutNow(within(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("inject after shutdown: %v", err)
	}
	if tr, err := members[2].port.Raft(nil); err != nil {
		t.Errorf("reopen: %v", err)
	} else if _, err := members[2].port.Raft(nil); err == nil {
		t.Error("two raft transports at once")
	} else if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

// TestPreVoteIsKept: a member that was cut off raises no term, neither alone nor
// when it comes back; without pre-vote it would.
func TestPreVoteIsKept(t *testing.T) {
	t.Parallel()
	members := startTrio(t, nil)
	leader, lone := members[0], members[2]
	term := leader.CurrentTerm()
	isolateMember(lone, members[:2])
	dials := func() int { return lone.net.Dials(leader.port.Addr()) }
	eventually(t, "the lone member stands for election", func() bool { return lone.State() == raft.Candidate })
	tried := dials()
	eventually(t, "it asks for votes", func() bool { return dials() > tried+1 })
	if got := lone.CurrentTerm(); got != term {
		t.Errorf("the lone member went from term %d to %d", term, got)
	}
	before := leader.CurrentTerm()
	rejoin(lone, members[:2])
	eventually(t, "the lone member is back", func() bool {
		_, id := lone.LeaderWithID()
		return id != "" && lone.State() == raft.Follower
	})
	if leader.State() != raft.Leader || leader.CurrentTerm() != before || lone.CurrentTerm() != before {
		t.Errorf("terms %d and %d after the return, want %d and the same leader", leader.CurrentTerm(), lone.CurrentTerm(), before)
	}
}

func TestWithoutPreVoteTermsGrow(t *testing.T) {
	t.Parallel()
	members := startTrio(t, func(c *raft.Config) { c.PreVoteDisabled = true })
	lone, term := members[2], members[2].CurrentTerm()
	isolateMember(lone, members[:2])
	eventually(t, "the lone member raises its term", func() bool { return lone.CurrentTerm() > term+1 })
}

func isolateMember(lone *member, others []*member) {
	for _, m := range others {
		m.net.Reject(lone.port.Addr())
		lone.net.Reject(m.port.Addr())
	}
}

func rejoin(lone *member, others []*member) {
	for _, m := range others {
		m.net.Allow(lone.port.Addr())
		lone.net.Allow(m.port.Addr())
	}
}

// slowStore takes a while for every write, as a disk does.
type slowStore struct {
	*raft.InmemStore
	d time.Duration
}

func (s slowStore) StoreLogs(l []*raft.Log) error {
	<-time.After(s.d)
	return s.InmemStore.StoreLogs(l)
}

// TestSerialHeartbeatsAreStable: heartbeats that wait behind writes of 20 ms
// depose nobody over several heartbeat time-outs under load.
func TestSerialHeartbeatsAreStable(t *testing.T) {
	t.Parallel()
	members, conf := trio(t)
	for _, m := range members {
		m.start(t, conf, slowStore{m.store, 20 * time.Millisecond}, m.tr, nil)
	}
	leader := members[0]
	leader.elect(t)
	term := leader.CurrentTerm()
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 60 {
				if err := leader.Apply([]byte("x"), 0).Error(); err != nil {
					t.Errorf("apply: %v", err)
					return
				}
			}
		})
	}
	writers.Wait()
	if leader.State() != raft.Leader || leader.CurrentTerm() != term {
		t.Errorf("%s in term %d, want the leader of term %d", leader.State(), leader.CurrentTerm(), term)
	}
}

// TestIsolatedLeaderIsReplaced: isolation looks like death to Raft too, and what
// comes back is a follower.
func TestIsolatedLeaderIsReplaced(t *testing.T) {
	members := startTrio(t, nil)
	members[0].port.Isolate()
	members[1].elect(t)
	if err := members[0].port.Resume(); err != nil {
		t.Fatal(err)
	}
	members[0].follows(t, members[1])
}

func TestCheckRaft(t *testing.T) {
	m, _ := trio(t)
	if err := CheckRaft(struct{ raft.Transport }{m[0].tr}); err == nil {
		t.Error("a transport without pre-vote passed")
	}
}
