package transport

import (
	"testing"

	"github.com/hashicorp/raft"
)

// fastPath gives heartbeats the way the library would: past Raft's main loop.
type fastPath struct{ *Raft }

func (f fastPath) SetHeartbeatHandler(h func(raft.RPC)) { f.NetworkTransport.SetHeartbeatHandler(h) }

// TestNoDivergence is hashicorp/raft#695: a deposed leader that is offered a
// client's entry right after its successor's heartbeat must not store the entry
// under the successor's term.
func TestNoDivergence(t *testing.T) {
	for range 5 {
		if got := deposeDuringWrite(t, func(r *Raft) raft.Transport { return r }); got != "Y" {
			t.Fatalf("applied %q where the cluster committed Y", got)
		}
	}
}

// TestFastPathDiverges shows that the test above looks in the right place. The
// fault is a race that the fast path nearly always loses.
func TestFastPathDiverges(t *testing.T) {
	for range 50 {
		if got := deposeDuringWrite(t, func(r *Raft) raft.Transport { return fastPath{r} }); got == "X" {
			return
		}
	}
	t.Error("no divergence in 50 tries: the library changed, or the test does not work any more")
}

// notingStore tells of every write.
type notingStore struct {
	*raft.InmemStore
	stored chan struct{}
}

func (s notingStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s notingStore) StoreLogs(l []*raft.Log) error {
	err := s.InmemStore.StoreLogs(l)
	s.stored <- struct{}{}
	return err
}

// deposeDuringWrite has n1 lead term T and commit W. Then n2, leader of T+1 by
// now, sends its first heartbeat, a client offers X to n1, and n2 replicates and
// commits Y at the index after W. It returns what n1 applied there: Y, or X if
// n1's log has diverged. n2 and n3 are played by the test.
func deposeDuringWrite(t *testing.T, wrap func(*Raft) raft.Transport) string {
	t.Helper()
	members, conf := trio(t)
	n1, n2 := members[0], members[1]
	for _, m := range members[1:] {
		m.tr.Serve(&replica{})
		done := make(chan struct{})
		go func() { defer close(done); agree(m.tr) }()
		t.Cleanup(func() { m.tr.Close(); <-done })
	}
	store := notingStore{n1.store, make(chan struct{}, 100)}
	n1.start(t, conf, store, wrap(n1.tr), nil)
	n1.elect(t)
	if err := n1.Apply([]byte("W"), 0).Error(); err != nil {
		t.Fatal(err)
	}
	<-n1.fsm
	last, err := n1.store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var w raft.Log
	if err := n1.store.GetLog(last, &w); err != nil {
		t.Fatal(err)
	}
	for len(store.stored) > 0 {
		<-store.stored
	}

	term := n1.CurrentTerm() + 1
	head := raft.RPCHeader{ProtocolVersion: 3, ID: []byte(n2.tr.id), Addr: []byte(n2.tr.LocalAddr())}
	send := func(req *raft.AppendEntriesRequest) {
		t.Helper()
		req.RPCHeader, req.Term = head, term
		var resp raft.AppendEntriesResponse
		if err := n2.tr.AppendEntries(n1.tr.id, conf.Servers[0].Address, req, &resp); err != nil {
			t.Fatal(err)
		}
	}
	send(&raft.AppendEntriesRequest{})
	x := n1.Apply([]byte("X"), 0)
	refused := make(chan error, 1)
	go func() { refused <- x.Error() }()
	select {
	case <-store.stored: // the deposed leader wrote it
	case <-refused:
	}
	send(&raft.AppendEntriesRequest{
		PrevLogEntry: last, PrevLogTerm: w.Term, LeaderCommitIndex: last + 1,
		Entries: []*raft.Log{{Index: last + 1, Term: term, Type: raft.LogCommand, Data: []byte("Y")}},
	})
	return <-n1.fsm
}

// agree answers for a follower that grants and stores everything.
func agree(tr *Raft) {
	head := raft.RPCHeader{ProtocolVersion: 3}
	for {
		select {
		case rpc := <-tr.Consumer():
			switch c := rpc.Command.(type) {
			case *raft.RequestVoteRequest:
				rpc.Respond(&raft.RequestVoteResponse{RPCHeader: head, Term: c.Term, Granted: true}, nil)
			case *raft.RequestPreVoteRequest:
				rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: head, Term: c.Term, Granted: true}, nil)
			case *raft.AppendEntriesRequest:
				resp := &raft.AppendEntriesResponse{RPCHeader: head, Term: c.Term, Success: true}
				if n := len(c.Entries); n > 0 {
					resp.LastLog = c.Entries[n-1].Index
				}
				rpc.Respond(resp, nil)
			}
		case <-tr.done:
			return
		}
	}
}
