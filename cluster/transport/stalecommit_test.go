package transport

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestStaleEntryIsNotCommitted: an entry that only a deposed leader has is not
// committed by a request of its successor that says nothing about it.
func TestStaleEntryIsNotCommitted(t *testing.T) {
	members, conf := trio(t)
	n1, n2 := members[0], members[1]
	n1.start(t, conf, n1.store, n1.tr, nil)
	got := succeed(t, n1, func(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
		return n2.tr.AppendEntries(n1.tr.id, conf.Servers[0].Address, req, resp)
	})
	if got != "Y" {
		t.Errorf("applied %q where the cluster committed Y", got)
	}
}

// TestLibraryCommitsStaleEntry shows that the test above looks in the right place.
func TestLibraryCommitsStaleEntry(t *testing.T) {
	members, conf := trio(t)
	n1 := members[0]
	addr, bare := raft.NewInmemTransport(conf.Servers[0].Address)
	_, peer := raft.NewInmemTransport("")
	peer.Connect(addr, bare)
	n1.start(t, conf, n1.store, bare, nil)
	got := succeed(t, n1, func(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
		return peer.AppendEntries(n1.tr.id, addr, req, resp)
	})
	if got != "X" {
		t.Errorf("applied %q, not the stale entry: the library changed, or the test does not work any more", got)
	}
}

// succeed plays two leaders to n1. The first commits W and leaves X, uncommitted,
// behind it. The second has Y in X's place and commits it with n3, but its first
// request to n1 has no entries yet, and the commit index already. It returns what n1
// applies after W.
func succeed(t *testing.T, n1 *member, send func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error) string {
	t.Helper()
	const first, second = 50, 51
	command := func(index, term uint64, data string) *raft.Log {
		return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: []byte(data)}
	}
	for _, req := range []*raft.AppendEntriesRequest{
		{Term: first, PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{command(2, first, "W"), command(3, first, "X")}, LeaderCommitIndex: 2},
		{Term: second, PrevLogEntry: 2, PrevLogTerm: first, LeaderCommitIndex: 3},
		{Term: second, PrevLogEntry: 2, PrevLogTerm: first, Entries: []*raft.Log{command(3, second, "Y")}, LeaderCommitIndex: 3},
	} {
		req.RPCHeader = raft.RPCHeader{ProtocolVersion: 3, ID: []byte("n2/b"), Addr: []byte("n2/b@there")}
		var resp raft.AppendEntriesResponse
		if err := send(req, &resp); err != nil {
			t.Fatal(err)
		}
		if !resp.Success {
			t.Fatalf("n1 refused %+v", req)
		}
	}
	if w := <-n1.fsm; w != "W" {
		t.Fatalf("applied %q first, want W", w)
	}
	return <-n1.fsm
}
