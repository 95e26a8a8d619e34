package cluster

import (
	"context"
	"log/slog"
	"time"
)

// Peer is one line of the --peers list: a master's name and Raft address.
type Peer struct{ Name, Raft string }

// Config is everything a master's node needs; DefaultConfig fills what has a default.
type Config struct {
	Name          string
	DataDir       string
	Bind          string // Raft listen address, host:port
	Advertise     string // Raft address that peers dial; default: Bind
	GRPC, HTTP    string // advertised addresses, for the member record and redirects
	Peers         []Peer // identical on every master; includes this one
	Version       string
	Heartbeat     time.Duration // raft HeartbeatTimeout = ElectionTimeout = LeaderLeaseTimeout
	ObservedDeath bool
	SessionTTL    time.Duration // default for workers that ask for none
	SnapshotBytes int64
	SnapshotAge   time.Duration
	TailBytes     int64
	QueueDepth    int // proposals waiting; more is ErrOverloaded
	Logger        *slog.Logger
}

// DefaultConfig returns the settings that a master uses unless told otherwise.
func DefaultConfig() Config { panic("unimplemented") }

// Node is one master's part in the cluster.
type Node struct {
	engine *engine
}

// Start opens the data directory, forms or joins the cluster and runs until
// Stop or a fatal error. It returns as soon as the node runs, before there is a
// leader. Errors carry a Fault when the caller should exit with its code.
func Start(ctx context.Context, cfg Config) (*Node, error) { panic("unimplemented") }

// Stop hands leadership over, tells open streams, shuts down and closes the stores.
func (n *Node) Stop(ctx context.Context) error { panic("unimplemented") }

// Done is closed when the node has stopped; Err then says why (nil after Stop).
func (n *Node) Done() <-chan struct{} { panic("unimplemented") }

// Err returns the fatal error that ended the node.
func (n *Node) Err() error { panic("unimplemented") }

// Isolated is true while a hung write keeps the node apart from everybody: the
// edge closes its listeners and connections. The channel is closed at the next change.
func (n *Node) Isolated() (bool, <-chan struct{}) { panic("unimplemented") }

// Leader says where the leader is, as far as this node knows.
type Leader struct {
	Name, GRPC, HTTP string // empty when unknown
	Term             uint64
	Self             bool // this node leads and its gate is open
}

// Leader returns the present leader and a channel closed at the next change.
func (n *Node) Leader() (Leader, <-chan struct{}) { panic("unimplemented") }

// ClusterID returns the cluster's id, "" before formation.
func (n *Node) ClusterID() string { panic("unimplemented") }

// Position says how fresh an answer is.
type Position struct {
	Term, Index uint64
	Age         time.Duration // since the leader was last heard; 0 on the leader
}

// Position returns term, applied index and age now.
func (n *Node) Position() Position { panic("unimplemented") }

// Transfer moves leadership to the named member, or to the best follower.
func (n *Node) Transfer(ctx context.Context, to string) error { panic("unimplemented") }

// Member is what a node knows of a master.
type Member struct {
	Name, ServerID   string
	Raft, GRPC, HTTP string
	Voter, Leader    bool
	Reachable        bool
	AppliedIndex     uint64
	ClockOffset      time.Duration
	Version          string
}

// Members asks every master how it is.
func (n *Node) Members(ctx context.Context) []Member { panic("unimplemented") }

// Status is what a node knows of itself.
type Status struct {
	ClusterID, Name, Role, Version    string
	Term, Commit, Applied, Last, Snap uint64
	Serving                           bool
	FsyncP50, FsyncP99                time.Duration
	Tasks, Sessions, Queues           int
	Started                           time.Time
	Alarms                            []string
	Counters                          map[string]uint64
}

// Status returns the node's own view.
func (n *Node) Status() Status { panic("unimplemented") }

// Digest returns SHA-256 of the canonical snapshot and its index.
func (n *Node) Digest(ctx context.Context) (index uint64, sha256 [32]byte, err error) {
	panic("unimplemented")
}
