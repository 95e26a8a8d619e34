package followtest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// WorkStream is the masters' end of a worker's stream.
type WorkStream = grpc.BidiStreamingServer[taskraftv1.WorkerMessage, taskraftv1.MasterMessage]

// Cluster is a set of fake masters that agree on who leads.
type Cluster struct {
	// Call answers every unary call that reaches the leader, and those that
	// EveryMaster names on any master. Set before the first call.
	Call func(ctx context.Context, m *Master, req proto.Message) (proto.Message, error)
	// EveryMaster says which calls a follower answers itself.
	EveryMaster func(req proto.Message) bool
	// Work serves a stream that reaches the leader.
	Work func(m *Master, s WorkStream) error
	// Silent keeps the masters from telling their watchers.
	Silent atomic.Bool

	Masters []*Master

	mu      sync.Mutex
	id      string
	term    uint64
	leader  *Master
	changed chan struct{}
}

// New starts n masters without a leader and stops them when the test ends.
func New(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{id: "c1", term: 1, changed: make(chan struct{})}
	for i := range n {
		m := &Master{Name: "n" + strconv.Itoa(i+1), cluster: c, t: t}
		m.Start()
		c.Masters = append(c.Masters, m)
	}
	t.Cleanup(func() {
		for _, m := range c.Masters {
			m.Kill()
		}
	})
	return c
}

// Addrs returns the masters' gRPC addresses.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, m := range c.Masters {
		addrs = append(addrs, m.Addr)
	}
	return addrs
}

// Lead begins a new term with m as its leader; nil: with none.
func (c *Cluster) Lead(m *Master) {
	c.set(func() { c.term++; c.leader = m })
}

// Restore makes it another cluster, with a low term, led by m.
func (c *Cluster) Restore(id string, m *Master) {
	c.set(func() { c.id, c.term, c.leader = id, 1, m })
}

func (c *Cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Leads reports whether m leads.
func (c *Cluster) Leads(m *Master) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leader == m
}

// Info is what the masters say about the leader now.
func (c *Cluster) Info() *taskraftv1.LeaderInfo {
	info, _ := c.info()
	return info
}

func (c *Cluster) info() (*taskraftv1.LeaderInfo, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := &taskraftv1.LeaderInfo{Term: c.term, ClusterId: c.id, Masters: c.Addrs()}
	if c.leader != nil {
		info.Name, info.Grpc = c.leader.Name, c.leader.Addr
	}
	return info, c.changed
}

// Position is at an index of the present term.
func (c *Cluster) Position(index uint64) *taskraftv1.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &taskraftv1.Position{ClusterId: c.id, Term: c.term, Index: index}
}

// redirect is what a master answers that does not lead.
func (c *Cluster) redirect() error {
	info := c.Info()
	if info.GetGrpc() == "" {
		return Status(codes.Unavailable, reason.NoLeader, nil)
	}
	return Status(codes.FailedPrecondition, reason.NotLeader, map[string]string{
		reason.MetaLeader: info.GetName(), reason.MetaLeaderGRPC: info.GetGrpc(),
		reason.MetaTerm: strconv.FormatUint(info.GetTerm(), 10), reason.MetaMasters: strings.Join(info.GetMasters(), ","),
	})
}

// Status is an error as masters answer it.
func Status(code codes.Code, why string, meta map[string]string, more ...protoadapt.MessageV1) error {
	details := slices.Concat([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: why, Domain: reason.Domain, Metadata: meta}}, more)
	st, err := status.New(code, strings.ToLower(why)).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}
