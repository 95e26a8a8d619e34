package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/cluster/logstore/wal"
	"github.com/taskraft/taskraft/fsm"
)

// Peer is one line of the --peers list: a master's name and Raft address.
type Peer struct{ Name, Raft string }

// Config is everything a master's node needs; DefaultConfig fills what has a default.
type Config struct {
	// Name is this master's name within the cluster, for ever.
	Name string
	// DataDir holds identity, log and snapshots; one process at a time.
	DataDir string
	// Bind is the Raft listen address, host:port; port 0 takes any free port.
	Bind string
	// Advertise is the Raft address that peers dial; default: Bind.
	Advertise string
	// GRPC and HTTP are the advertised addresses, for the member record and redirects.
	GRPC, HTTP string
	// Peers is identical on every master that forms a cluster and includes this
	// one; its order is of no meaning. A master that joins needs none.
	Peers []Peer
	// Join, if not nil, makes a master without data join a running cluster instead
	// of forming one: it asks the cluster to take the joiner in, at the given gRPC
	// addresses (those of Peers that answer) or at others that it knows of. Errors:
	// ErrChangeUnderWay (it is asked again), a *Fault, others.
	Join func(ctx context.Context, masters []string, j Joiner) (Admission, error)
	// Rejoin lets it take the place of a member of its name whose data is lost.
	Rejoin bool
	// Version of the binary, shown to operators.
	Version string
	// AllowTwo accepts a list of two masters, of which neither may fail.
	AllowTwo bool
	// Heartbeat is Raft's HeartbeatTimeout, ElectionTimeout and
	// LeaderLeaseTimeout: serial heartbeats livelock when the lease is shorter.
	Heartbeat time.Duration
	// ObservedDeath lets followers act on the seen death of the leader's process
	// before the timers do.
	ObservedDeath bool
	// SessionTTL is the default for workers that ask for none.
	SessionTTL time.Duration
	// LogStore says what keeps the log of a new data directory, "wal" (the default)
	// or "bolt"; another than an existing directory's is refused.
	LogStore string
	// SnapshotBytes of log since the last snapshot, or SnapshotAge with anything
	// new in it, trigger the next one; see turnBytes.
	SnapshotBytes int64
	SnapshotAge   time.Duration
	// TailBytes of log are kept behind a snapshot, so that a follower that was
	// away for a moment needs no snapshot.
	TailBytes int64
	// EventBytes of segments with events are kept on disk, besides those in memory; 0
	// keeps none there.
	EventBytes int64
	// QueueDepth bounds the proposals waiting; more is ErrOverloaded.
	QueueDepth int
	// PushDialer reaches the workers that serve; nil: they are not called.
	PushDialer PushDialer
	// Steps, if not nil, hears of every Step while this node leads, in log order,
	// from one goroutine, after the entry was committed and applied.
	Steps func(Step)
	// Logger takes everything the node has to say.
	Logger *slog.Logger

	hooks hooks
}

// hooks let tests put faults between the node and its disk and network.
type hooks struct {
	beforeWrite   func() error
	writeDeadline time.Duration
	space         func() (datadir.Space, error)
	probe         func(dir string) (fs string, fsyncP50 time.Duration, err error)
	dial          func(ctx context.Context, addr string) (net.Conn, error)
	events        func(*events.Config)
	memory        func() memory

	// A simulator's; see World.
	listen       func(addr string) (net.Listener, error)
	now          func() time.Time
	disk         wal.Disk
	segmentBytes int64
	trailing     uint64
	applied      func(l *raft.Log, done *fsm.Applied, hash uint64)
	left         func()
}

// DefaultConfig returns the settings that a master uses unless told otherwise.
func DefaultConfig() Config {
	return Config{
		Heartbeat:     500 * time.Millisecond,
		ObservedDeath: true,
		SessionTTL:    10 * time.Second,
		SnapshotBytes: 256 << 20,
		SnapshotAge:   time.Hour,
		TailBytes:     64 << 20,
		EventBytes:    events.DefaultConfig().DiskBytes,
		QueueDepth:    16384,
		Logger:        slog.Default(),
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// validate checks the whole configuration and reports every problem, one per line.
func (c *Config) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	inRange := func(what string, got, low, high time.Duration) {
		if got < low || got > high {
			bad("%s: got %s, want %s to %s", what, got, low, high)
		}
	}
	if !nameForm.MatchString(c.Name) {
		bad("name: got %q, want %s", c.Name, nameForm)
	}
	if c.DataDir == "" {
		bad("data directory: missing")
	}
	if err := hostPort(c.Bind, true); err != nil {
		bad("raft address: %w", err)
	}
	if c.Advertise != "" {
		if err := hostPort(c.Advertise, false); err != nil {
			bad("advertised raft address: %w", err)
		}
	}
	problems = append(problems, c.validatePeers()...)
	inRange("heartbeat", c.Heartbeat, 50*time.Millisecond, time.Minute)
	inRange("session ttl", c.SessionTTL, time.Second, 24*time.Hour)
	inRange("snapshot age", c.SnapshotAge, time.Second, 30*24*time.Hour)
	if c.LogStore != "" && c.LogStore != string(logstore.WAL) && c.LogStore != string(logstore.Bolt) {
		bad("log store: got %q, want wal or bolt", c.LogStore)
	}
	if c.SnapshotBytes < 1<<16 {
		bad("snapshot bytes: got %d, want at least %d", c.SnapshotBytes, 1<<16)
	}
	if c.TailBytes < 0 {
		bad("tail bytes: got %d, want 0 or more", c.TailBytes)
	}
	if c.EventBytes < 0 {
		bad("event bytes: got %d, want 0 or more", c.EventBytes)
	}
	if c.QueueDepth < 1 {
		bad("queue depth: got %d, want at least 1", c.QueueDepth)
	}
	if c.Logger == nil {
		bad("logger: missing")
	}
	return errors.Join(problems...)
}

// validatePeers checks the list by itself and that this node is on it.
func (c *Config) validatePeers() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	names, addresses := map[string]bool{}, map[string]bool{}
	self := false
	for _, p := range c.Peers {
		if !nameForm.MatchString(p.Name) {
			bad("peers: name %q, want %s", p.Name, nameForm)
		}
		if err := hostPort(p.Raft, false); err != nil {
			bad("peers: %s: %w", p.Name, err)
		}
		if names[p.Name] {
			bad("peers: %s is listed twice", p.Name)
		}
		if addresses[p.Raft] {
			bad("peers: address %s is listed twice", p.Raft)
		}
		names[p.Name], addresses[p.Raft] = true, true
		if p.Name != c.Name {
			continue
		}
		self = true
		if c.Advertise != "" && c.Advertise != p.Raft {
			bad("peers: %s is listed at %s, but this node advertises %s", p.Name, p.Raft, c.Advertise)
		}
	}
	if !self && (c.Join == nil || len(c.Peers) > 0) {
		bad("peers: this node, %q, is not on the list", c.Name)
	}
	if len(c.Peers) == 0 && c.Join != nil {
		if err := hostPort(c.self().Raft, false); err != nil {
			bad("raft address of a master that joins: %w", err)
		}
	}
	if len(c.Peers) == 2 && !c.AllowTwo {
		bad("peers: two masters cannot lose one: list one, three or five")
	}
	return problems
}

// ordered returns the peers by name, the order that every node agrees on.
func (c *Config) ordered() []Peer {
	return slices.SortedFunc(slices.Values(c.Peers), func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
}

// self returns this node's line of the list, or what it would be.
func (c *Config) self() Peer {
	i := slices.IndexFunc(c.Peers, func(p Peer) bool { return p.Name == c.Name })
	if i < 0 {
		return Peer{Name: c.Name, Raft: cmp.Or(c.Advertise, c.Bind)}
	}
	return c.Peers[i]
}

// hostPort checks an address; any allows port 0 and an empty host.
func hostPort(s string, any bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("got %q, want host:port", s)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil || n < 0 || (n == 0 && !any) {
		return fmt.Errorf("got %q, want a port from 1 to 65535", s)
	}
	if ip := net.ParseIP(host); !any && (host == "" || (ip != nil && ip.IsUnspecified())) {
		return fmt.Errorf("got %q, want an address that peers can dial", s)
	}
	return nil
}
