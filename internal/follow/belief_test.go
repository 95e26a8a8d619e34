package follow

import (
	"slices"
	"testing"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// What is believed moves forward only (S13 for clients).
func TestBelief(t *testing.T) {
	const a, b, c = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
	type news struct {
		from, leader string
		term         uint64
		cluster      string
	}
	tests := []struct {
		name   string
		news   []news
		leader string
		term   uint64
	}{
		{"the first news", []news{{a, b, 3, "x"}}, b, 3},
		{"a higher term wins", []news{{a, a, 3, "x"}, {c, b, 4, "x"}}, b, 4},
		{"a higher term without a leader deposes", []news{{a, a, 3, "x"}, {c, "", 4, "x"}}, "", 4},
		{"a lower term is ignored", []news{{a, b, 4, "x"}, {c, a, 3, "x"}}, b, 4},
		{"a lower term from the leader itself is ignored", []news{{a, b, 4, "x"}, {b, a, 3, "x"}}, b, 4},
		{"the leader becomes known", []news{{a, "", 4, "x"}, {c, b, 4, "x"}}, b, 4},
		{"a follower that does not know is ignored", []news{{a, b, 4, "x"}, {c, "", 4, "x"}}, b, 4},
		{"the leader steps down", []news{{a, b, 4, "x"}, {b, "", 4, "x"}}, "", 4},
		{"the named leader knows better", []news{{a, b, 4, "x"}, {b, c, 4, "x"}}, c, 4},
		{"the true leader knows better", []news{{a, b, 4, "x"}, {c, c, 4, "x"}}, c, 4},
		{"a third party does not", []news{{a, b, 4, "x"}, {a, c, 4, "x"}}, b, 4},
		{"another cluster starts over", []news{{a, b, 9, "x"}, {a, c, 1, "y"}}, c, 1},
		{"a redirect names no cluster", []news{{a, b, 4, "x"}, {b, c, 5, ""}}, c, 5},
		{"an address that is none", []news{{a, b, 4, "x"}, {a, "nowhere", 5, "x"}}, "nowhere", 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, a, b, c)
			for _, n := range tt.news {
				f.Learn(&taskraftv1.LeaderInfo{Grpc: n.leader, Term: n.term, ClusterId: n.cluster}, n.from)
			}
			got := f.Leader()
			if got.GetGrpc() != tt.leader || got.GetTerm() != tt.term {
				t.Fatalf("believes in %q in term %d, want %q in term %d", got.GetGrpc(), got.GetTerm(), tt.leader, tt.term)
			}
			if to := f.leader(); checkAddr(tt.leader) == nil && to.addr != tt.leader {
				t.Fatalf("calls go to %s, want %s", to.addr, tt.leader)
			}
		})
	}
}

func TestMastersAreReplacedButTheGivenStay(t *testing.T) {
	f := start(t, "127.0.0.1:1")
	learn := func(term uint64, masters ...string) {
		f.Learn(&taskraftv1.LeaderInfo{Term: term, ClusterId: "x", Masters: masters}, "127.0.0.1:1")
	}
	learn(1, "127.0.0.1:2", "127.0.0.1:3", "bad")
	learn(2, "127.0.0.1:3", "127.0.0.1:4")
	got := f.Masters()
	want := []string{"127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:4"}
	if len(got) != len(want) {
		t.Fatalf("masters %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("masters %q, want %q", got, want)
		}
	}
	var many []string
	for i := range 3 * maxMasters {
		many = append(many, "127.0.0.1:"+string(rune('1'+i%9))+string(rune('0'+i/9)))
	}
	learn(3, many...)
	if n := len(f.Masters()); n > maxMasters {
		t.Fatalf("%d masters, want at most %d", n, maxMasters)
	}
}

// The connection to the leader survives a list of masters without it.
func TestTheLeaderIsKept(t *testing.T) {
	const given, leader, other = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
	f := start(t, given)
	learn := func(term uint64, leader string, masters ...string) {
		f.Learn(&taskraftv1.LeaderInfo{Grpc: leader, Term: term, ClusterId: "x", Masters: masters}, given)
	}
	learn(1, leader, given, leader, other)
	to := f.leader()
	learn(1, leader, given, other)
	if now := f.leader(); now.master != to.master || now.master.ctx.Err() != nil {
		t.Fatalf("calls go to %s, closed: %v; want the leader's open connection", now.addr, now.master.ctx.Err())
	}
	learn(1, "", given, other) // one that does not know
	if now := f.leader(); now.master != to.master || now.master.ctx.Err() != nil {
		t.Fatalf("calls go to %s, closed: %v; want the leader's open connection", now.addr, now.master.ctx.Err())
	}
	learn(2, other, given)
	learn(2, other, given, other)
	if got, want := f.Masters(), []string{given, other}; !slices.Equal(got, want) {
		t.Fatalf("masters %q, want %q: the old leader is in no list", got, want)
	}
	learn(3, "nowhere", given)
	learn(3, "nowhere", given)
	if now := f.leader(); now.addr != given || now.master.ctx.Err() != nil {
		t.Fatalf("calls go to %s, closed: %v; want the one master there is", now.addr, now.master.ctx.Err())
	}
}

func TestPositionNeverGoesBack(t *testing.T) {
	f := start(t, "127.0.0.1:1")
	for _, step := range []struct{ see, want Position }{
		{Position{"x", 2, 10}, Position{"x", 2, 10}},
		{Position{"x", 2, 9}, Position{"x", 2, 10}},
		{Position{"x", 1, 99}, Position{"x", 2, 10}},
		{Position{"x", 3, 5}, Position{"x", 3, 5}},
		{Position{}, Position{"x", 3, 5}},
		{Position{"y", 1, 1}, Position{"y", 1, 1}},
	} {
		f.Observe(step.see)
		if got := f.Position(); got != step.want {
			t.Fatalf("after %+v: %+v, want %+v", step.see, got, step.want)
		}
	}
}
