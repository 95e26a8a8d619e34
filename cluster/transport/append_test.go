package transport

import (
	"testing"

	"github.com/hashicorp/raft"
)

func entries(sizes ...int) []*raft.Log {
	var logs []*raft.Log
	for i, n := range sizes {
		logs = append(logs, &raft.Log{Index: uint64(i) + 1, Term: 1, Data: make([]byte, n), Extensions: make([]byte, 16)})
	}
	return logs
}

func TestTrim(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
		want  int
	}{
		{"none", nil, 0},
		{"small", []int{1, 2, 3}, 3},
		{"one that is too large", []int{3 << 20}, 1},
		{"the first is too large", []int{3 << 20, 1}, 1},
		{"the largest allowed", []int{1280 << 10, 1280 << 10, 1280 << 10}, 1},
		{"exactly", []int{1<<20 - 16, 1<<20 - 16, 1}, 2},
		{"just over", []int{1<<20 - 16, 1<<20 - 15}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := &raft.AppendEntriesRequest{Entries: entries(tt.sizes...)}
			trim(args)
			if got := len(args.Entries); got != tt.want {
				t.Errorf("%d entries are left, want %d", got, tt.want)
			}
		})
	}
}

// TestAppendEntriesAreBounded sends more than one message may hold, in both ways
// that Raft does, and looks at what arrives.
func TestAppendEntriesAreBounded(t *testing.T) {
	from, to := listen(t, "n1/a", config()), listen(t, "n2/b", config())
	sender, err := from.Raft(nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := to.Raft(nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver.Serve(&replica{})
	arrived := make(chan int, 2)
	go func() {
		for {
			select {
			case rpc := <-receiver.Consumer():
				arrived <- len(rpc.Command.(*raft.AppendEntriesRequest).Entries)
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
	id, addr := raft.ServerID("n2/b"), raft.ServerAddress(to.Addr())
	request := func() *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, Term: 1, Entries: entries(1<<20, 900<<10, 1<<20, 1<<20),
		}
	}
	args := request()
	if err := sender.AppendEntries(id, addr, args, new(raft.AppendEntriesResponse)); err != nil {
		t.Fatal(err)
	}
	if sent, got := len(args.Entries), <-arrived; sent != 2 || got != 2 {
		t.Errorf("a call sent %d entries by its request, %d arrived, want 2", sent, got)
	}
	p, err := sender.AppendEntriesPipeline(id, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f, err := p.AppendEntries(request(), new(raft.AppendEntriesResponse))
	if err != nil {
		t.Fatal(err)
	}
	if sent, got := len((<-p.Consumer()).Request().Entries), <-arrived; sent != 2 || got != 2 || f.Error() != nil {
		t.Errorf("the pipeline sent %d entries by its request, %d arrived, want 2; err %v", sent, got, f.Error())
	}
}

// TestCloseEndsWhoWaitsInAPipeline: the library reads no answers after one of a later
// term, and then waits for room in its pipeline for ever. The transport's end must be
// the end of that, or Raft never shuts down.
func TestCloseEndsWhoWaitsInAPipeline(t *testing.T) {
	from, to := listen(t, "n1/a", config()), listen(t, "n2/b", config())
	sender, err := from.Raft(nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := to.Raft(nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver.Serve(&replica{})
	go func() {
		for {
			select {
			case rpc := <-receiver.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Term: 2}, nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
	p, err := sender.AppendEntriesPipeline("n2/b", raft.ServerAddress(to.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	sent, ended := make(chan struct{}, 64), make(chan error, 1)
	go func() { // nobody reads p.Consumer()
		for {
			args := &raft.AppendEntriesRequest{Term: 1, Entries: entries(1)}
			if _, err := p.AppendEntries(args, new(raft.AppendEntriesResponse)); err != nil {
				ended <- err
				return
			}
			sent <- struct{}{}
		}
	}()
	<-sent
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed pipeline takes entries")
	}
	if _, err := sender.AppendEntriesPipeline("n2/b", raft.ServerAddress(to.Addr())); err == nil {
		t.Error("a closed transport opens a pipeline")
	}
}
