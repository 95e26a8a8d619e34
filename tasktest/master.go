package tasktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc"
)

const (
	heartbeat = 300 * time.Millisecond // longer than what asks for a measured disk
	patience  = 30 * time.Second       // for a start or an end on a busy machine
)

// Config says what little there is to choose.
type Config struct {
	// Dir holds the master's data; empty: a temporary directory, removed by Close.
	Dir string
	// Logger takes what master and workers have to say; nil discards it.
	Logger *slog.Logger
	// MaxPayload and MaxResult are the limits of the master, at most 1 MiB; 0: its
	// default, 64 KiB.
	MaxPayload, MaxResult int
}

// Master is a cluster of one master in this process.
type Master struct {
	cfg       Config
	temporary bool
	raft      string // address
	grpc      string // address

	mu      sync.Mutex
	run     *running // nil while it is down
	client  *client.Client
	workers []*Worker
	closed  bool
}

// running is one life of the master.
type running struct {
	node   *cluster.Node
	edge   *rpc.Server
	served chan error
}

// Start runs a master until the test ends.
func Start(tb testing.TB) *Master {
	tb.Helper()
	m, err := Open(Config{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

// Open starts a master and waits until it leads. Close ends it.
func Open(cfg Config) (*Master, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Master{cfg: cfg, temporary: cfg.Dir == ""}
	if m.temporary {
		dir, err := os.MkdirTemp("", "tasktest-")
		if err != nil {
			return nil, fmt.Errorf("start test master: %w", err)
		}
		m.cfg.Dir = dir
	}
	if err := m.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("start test master: %w", err), m.Close())
	}
	return m, nil
}

func (m *Master) open() error {
	raft, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.raft = raft.Addr().String()
	edge, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, raft.Close())
	}
	m.grpc = edge.Addr().String()
	if err := raft.Close(); err != nil {
		return errors.Join(err, edge.Close())
	}
	if m.client, err = client.New(client.Config{Masters: m.Addrs(), Logger: m.cfg.Logger}); err != nil {
		return errors.Join(err, edge.Close())
	}
	m.run, err = m.start(edge)
	return err
}

// start begins a life of the master on its addresses.
func (m *Master) start(edge net.Listener) (*running, error) {
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir = "n1", filepath.Join(m.cfg.Dir, "n1")
	cfg.Bind, cfg.GRPC = m.raft, m.grpc
	cfg.Peers = []cluster.Peer{{Name: cfg.Name, Raft: m.raft}}
	cfg.Heartbeat, cfg.Version, cfg.Logger = heartbeat, "tasktest", m.cfg.Logger
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	node, err := cluster.Start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, edge.Close())
	}
	limits := rpc.DefaultConfig()
	limits.Logger = m.cfg.Logger
	if m.cfg.MaxPayload > 0 {
		limits.MaxPayload = m.cfg.MaxPayload
	}
	if m.cfg.MaxResult > 0 {
		limits.MaxResult = m.cfg.MaxResult
	}
	r := &running{node: node, edge: rpc.NewServer(node, limits), served: make(chan error, 1)}
	go func() { r.served <- r.edge.Serve(edge) }()
	if err := r.lead(ctx); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

// lead waits until the master serves as leader.
func (r *running) lead(ctx context.Context) error {
	for {
		l, changed := r.node.Leader()
		if l.Self {
			return nil
		}
		select {
		case <-changed:
		case <-r.node.Done():
			return r.node.Err()
		case <-ctx.Done():
			return fmt.Errorf("wait for the master to lead: %w", context.Cause(ctx))
		}
	}
}

// stop ends this life: streams are told, data stays.
func (r *running) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := r.node.Stop(ctx)
	r.edge.Close()
	return errors.Join(err, <-r.served)
}

// Addrs returns the master's gRPC address, as client.Config and worker.Config
// take it.
func (m *Master) Addrs() []string { return []string{m.grpc} }

// Client returns a client of the master. Close closes it.
func (m *Master) Client() *client.Client { return m.client }

// Stop takes the master down: calls wait, handlers go on. Restart brings it back.
func (m *Master) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stop()
}

func (m *Master) stop() error {
	r := m.run
	m.run = nil
	if r == nil {
		return nil
	}
	if err := r.stop(); err != nil {
		return fmt.Errorf("stop test master: %w", err)
	}
	return nil
}

// Restart starts the master again on its addresses, with what it had on disk,
// after a Stop if it still runs.
func (m *Master) Restart() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("restart test master: it is closed")
	}
	if err := m.stop(); err != nil {
		return err
	}
	edge, err := net.Listen("tcp", m.grpc)
	if err == nil {
		m.run, err = m.start(edge)
	}
	if err != nil {
		return fmt.Errorf("restart test master: %w", err)
	}
	return nil
}

// Close drains the workers, closes the client and ends the master.
func (m *Master) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	var errs []error
	for _, w := range m.workers {
		errs = append(errs, w.Stop())
	}
	if m.client != nil {
		errs = append(errs, m.client.Close())
	}
	errs = append(errs, m.stop())
	if m.temporary {
		errs = append(errs, os.RemoveAll(m.cfg.Dir))
	}
	return errors.Join(errs...)
}
