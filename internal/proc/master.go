package proc

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// askTimeout bounds one question to a master: a frozen one does not answer.
const askTimeout = 250 * time.Millisecond

// Master is one master of a Cluster. Its process is replaced by every Start, its
// name, addresses and data stay.
type Master struct {
	Name       string
	GRPC, Raft string
	// Bind is where the master listens for the others if that is not Raft, where
	// they dial it: a proxy stands between. Set before the first Start.
	Bind string
	HTTP string
	// Binary is the program of the next Start if it is not the cluster's: another
	// version.
	Binary string
	// Net is the network namespace that its process runs in, nil for ours.
	Net *os.File

	cluster *Cluster
	guest   bool       // it is not among those that formed the cluster
	enter   []string   // flags by which it enters the cluster; nil: --peers
	mu      sync.Mutex // guards the two below
	process *Process
	conn    *grpc.ClientConn
}

// Start starts the master's process; the one before must have ended.
func (m *Master) Start() error {
	enter := m.enter
	if enter == nil {
		enter = []string{"--peers", m.cluster.peers()}
	}
	args := slices.Concat([]string{
		"master", "--name", m.Name,
		"--data-dir", filepath.Join(m.cluster.dir, m.Name),
		"--grpc-addr", m.GRPC, "--http-addr", m.HTTP,
	}, enter, m.cluster.args)
	if m.Bind == "" {
		args = append(args, "--raft-addr", m.Raft)
	} else {
		args = append(args, "--raft-addr", m.Bind, "--advertise-raft", m.Raft)
	}
	p, err := Start(Spec{
		Name: m.Name, Path: cmp.Or(m.Binary, m.cluster.binary), Args: args, Env: m.cluster.Env, Net: m.Net,
		Log: filepath.Join(m.cluster.dir, m.Name+".log"),
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.process = p
	m.mu.Unlock()
	return nil
}

// Process returns the present or last process, nil before the first Start.
func (m *Master) Process() *Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

// Running reports whether the master's process was started and has not ended.
func (m *Master) Running() bool {
	p := m.Process()
	return p != nil && p.Running()
}

// Kill ends the master with SIGKILL and waits until it is gone.
func (m *Master) Kill() error { return m.Process().Kill() }

// Stop ends the master with SIGTERM and waits until it is gone.
func (m *Master) Stop() error { return m.Process().Stop(stopGrace) }

// Status asks the master how it is.
func (m *Master) Status(ctx context.Context) (*taskraftv1.GetStatusResponse, error) {
	conn, err := m.dial()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return taskraftv1.NewClusterServiceClient(conn).GetStatus(ctx, &taskraftv1.GetStatusRequest{})
}

func (m *Master) digest(ctx context.Context) (*taskraftv1.GetStateDigestResponse, error) {
	conn, err := m.dial()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return taskraftv1.NewClusterServiceClient(conn).GetStateDigest(ctx, &taskraftv1.GetStateDigestRequest{})
}

// dial returns the connection to the master, made at the first call.
func (m *Master) dial() (*grpc.ClientConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		return m.conn, nil
	}
	again := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond}
	conn, err := grpc.NewClient(m.GRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: askTimeout}),
		grpc.WithIdleTimeout(0))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", m.Name, err)
	}
	m.conn = conn
	return conn, nil
}

func (m *Master) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil
	}
	conn := m.conn
	m.conn = nil
	return conn.Close()
}

// Tasks returns the master's TaskService, as any client has it.
func (m *Master) Tasks() (taskraftv1.TaskServiceClient, error) {
	conn, err := m.dial()
	if err != nil {
		return nil, err
	}
	return taskraftv1.NewTaskServiceClient(conn), nil
}
