package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/inproc"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// LeaderService is the health service that is SERVING only on the leader.
const LeaderService = "taskraft.Leader"

// Limits of the transport.
const (
	maxMessage = 4 << 20  // bytes received in one message
	maxAnswer  = 64 << 20 // bytes sent in one: a poll may carry many payloads
	maxHeaders = 16 << 10

	// What may be under way towards us, on a stream and on a connection. Fixed: to
	// find it out, gRPC would answer every message by a ping, and an idle worker's
	// heartbeat would wake this process three times instead of once.
	streamWindow = 1 << 20
	connWindow   = 4 << 20

	// silentFor is after what time we ask whether a client is still there. Ours ask
	// us every 10 s, so it is meant for those of others; workers have their TTL.
	silentFor = time.Minute
)

// Config is what the edge needs besides its node.
type Config struct {
	// MaxPayload and MaxResult bound a task's payload and result in bytes. They
	// may be raised up to fsm.MaxPayload and fsm.MaxResult; every master of a
	// cluster should have the same.
	MaxPayload, MaxResult int
	// Tracing makes spans; nil: none.
	Tracing *Tracing
	Logger  *slog.Logger
}

// DefaultConfig returns limits of 64 KiB, and the default logger.
func DefaultConfig() Config {
	return Config{MaxPayload: 64 << 10, MaxResult: 64 << 10, Logger: slog.Default()}
}

// Server serves all of taskraft.v1 for one node.
type Server struct {
	taskraftv1.UnimplementedTaskServiceServer
	taskraftv1.UnimplementedWorkerServiceServer
	taskraftv1.UnimplementedQueueServiceServer
	taskraftv1.UnimplementedBatchServiceServer
	taskraftv1.UnimplementedDeadServiceServer
	taskraftv1.UnimplementedScheduleServiceServer
	taskraftv1.UnimplementedEventServiceServer
	taskraftv1.UnimplementedClusterServiceServer

	node   *cluster.Node
	cfg    Config
	grpc   *grpc.Server
	local  *inproc.Conn
	health *health.Server
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// NewServer returns a server for node; Serve starts it.
func NewServer(node *cluster.Node, cfg Config) *Server {
	s := &Server{node: node, cfg: cfg, health: health.NewServer()}
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxAnswer),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: silentFor, Timeout: 10 * time.Second}),
		grpc.UnaryInterceptor(s.recoverUnary),
		grpc.StreamInterceptor(s.recoverStream),
	)
	s.register(s.grpc)
	s.local = inproc.New(s.recoverUnary, s.recoverStream)
	s.register(s.local)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)

	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.wg.Go(func() { s.reportHealth(ctx) })
	return s
}

// register registers every service of taskraft.v1.
func (s *Server) register(r grpc.ServiceRegistrar) {
	taskraftv1.RegisterTaskServiceServer(r, s)
	taskraftv1.RegisterWorkerServiceServer(r, s)
	taskraftv1.RegisterQueueServiceServer(r, s)
	taskraftv1.RegisterBatchServiceServer(r, s)
	taskraftv1.RegisterDeadServiceServer(r, s)
	taskraftv1.RegisterScheduleServiceServer(r, s)
	taskraftv1.RegisterEventServiceServer(r, s)
	taskraftv1.RegisterClusterServiceServer(r, s)
}

// Local is a connection to the server without a network in between, for what
// serves the same API in another form. Its calls end when the server closes.
func (s *Server) Local() grpc.ClientConnInterface { return s.local }

// Serve answers on l until Stop or Close.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(l) }

// Stop lets running calls end until ctx is done, then closes every connection.
// Stop the node first: it hands leadership over and tells open streams.
func (s *Server) Stop(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.Close()
	<-done
}

// Close closes the listener and every connection at once.
func (s *Server) Close() {
	s.stop()
	s.grpc.Stop()
	s.local.Close()
	s.wg.Wait()
}

// reportHealth keeps the health of LeaderService in step with leadership.
func (s *Server) reportHealth(ctx context.Context) {
	for {
		leader, changed := s.node.Leader()
		status := healthpb.HealthCheckResponse_NOT_SERVING
		if leader.Self {
			status = healthpb.HealthCheckResponse_SERVING
		}
		s.health.SetServingStatus(LeaderService, status)
		select {
		case <-changed:
		case <-ctx.Done():
			s.health.Shutdown()
			return
		}
	}
}

func (s *Server) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, s.panicked(info.FullMethod, p)
		}
	}()
	return next(ctx, req)
}

func (s *Server) recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(info.FullMethod, p)
		}
	}()
	return next(srv, stream)
}

// panicked logs a handler's panic under an id and answers with the id only: no
// stack trace ever reaches a caller, and the process goes on.
func (s *Server) panicked(method string, p any) error {
	var b [6]byte
	rand.Read(b[:])
	id := hex.EncodeToString(b[:])
	s.cfg.Logger.Error("handler panicked", "method", method, "id", id, "err", p, "stack", string(debug.Stack()))
	return statusError(codes.Internal, reason.Internal, "internal error "+id+": see the master's log", map[string]string{"id": id})
}
