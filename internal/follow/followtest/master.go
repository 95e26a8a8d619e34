package followtest

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Master is one fake master.
type Master struct {
	taskraftv1.UnimplementedTaskServiceServer
	taskraftv1.UnimplementedQueueServiceServer
	taskraftv1.UnimplementedWorkerServiceServer
	taskraftv1.UnimplementedClusterServiceServer

	Name string
	Addr string // stays the same over restarts

	cluster *Cluster
	t       testing.TB

	mu     sync.Mutex
	server *grpc.Server
	gate   *gate
	served chan struct{}
}

// Start makes a dead or new master serve.
func (m *Master) Start() {
	m.t.Helper()
	addr := m.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Addr = l.Addr().String()
	s := grpc.NewServer(grpc.UnaryInterceptor(m.unary))
	taskraftv1.RegisterTaskServiceServer(s, m)
	taskraftv1.RegisterQueueServiceServer(s, m)
	taskraftv1.RegisterWorkerServiceServer(s, m)
	taskraftv1.RegisterClusterServiceServer(s, m)
	healthpb.RegisterHealthServer(s, health.NewServer())
	g := &gate{Listener: l, open: make(chan struct{}), gone: make(chan struct{})}
	close(g.open)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(g) // ends with Kill
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.server, m.gate, m.served = s, g, served
}

// Kill closes everything at once, as kill -9 does.
func (m *Master) Kill() {
	m.mu.Lock()
	s, g, served := m.server, m.gate, m.served
	m.server = nil
	m.mu.Unlock()
	if s == nil {
		return
	}
	g.release()
	s.Stop()
	<-served
}

// Freeze keeps the master's connections open and silent, as SIGSTOP does.
func (m *Master) Freeze() { m.gate.freeze() }

// Thaw ends a freeze.
func (m *Master) Thaw() { m.gate.thaw() }

func (m *Master) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod == healthpb.Health_Check_FullMethodName {
		return next(ctx, req)
	}
	msg, c := req.(proto.Message), m.cluster
	if !c.Leads(m) && (c.EveryMaster == nil || !c.EveryMaster(msg)) {
		return nil, c.redirect()
	}
	if c.Call == nil {
		return nil, status.Error(codes.Unimplemented, "the test expects no calls")
	}
	return c.Call(ctx, m, msg)
}

// WatchLeader tells who leads, unless the cluster is silent.
func (m *Master) WatchLeader(_ *taskraftv1.WatchLeaderRequest, s grpc.ServerStreamingServer[taskraftv1.LeaderInfo]) error {
	for {
		info, changed := m.cluster.info()
		if !m.cluster.Silent.Load() {
			if err := s.Send(info); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// Work hands a worker's stream to the test.
func (m *Master) Work(s WorkStream) error {
	if c := m.cluster; !c.Leads(m) {
		return c.redirect()
	}
	return m.cluster.Work(m, s)
}

// gate is a listener whose connections can be frozen.
type gate struct {
	net.Listener
	gone chan struct{}
	once sync.Once

	mu   sync.Mutex
	open chan struct{} // closed while not frozen
}

func (g *gate) freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) thaw() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) release() { g.once.Do(func() { close(g.gone) }) }

func (g *gate) wait() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-g.gone:
	}
}

// Accept returns a connection that passes the gate.
func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: conn, g: g}, nil
}

type gatedConn struct {
	net.Conn
	g *gate
}

func (c *gatedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.g.wait()
	return n, err
}

func (c *gatedConn) Write(p []byte) (int, error) {
	c.g.wait()
	return c.Conn.Write(p)
}
