package follow

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxMessage = 16 << 20 // bytes, both ways
	probeAfter = time.Second
	probeLimit = time.Second

	// What may be under way to us; fixed, as at the masters.
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// master is one address: its connection, its watch stream, its signs of life.
// It is a grpc.ClientConnInterface that notes them.
type master struct {
	f    *Follower
	addr string
	conn atomic.Pointer[grpc.ClientConn]
	ctx  context.Context // ends when the address is dropped
	stop context.CancelFunc

	waiting atomic.Int64 // unary calls without an answer
	heard   atomic.Int64 // when something was last heard, or a call began to wait: ns since Follower.began
	probing atomic.Bool

	// What waits for m ends with its life, when it is taken for hung; what waits
	// for the leader ends also with its tenure, when another master leads. The
	// next ones begin at once. Guarded by Follower.mu.
	life, tenure span
}

type span struct {
	ctx context.Context
	end context.CancelCauseFunc
}

func newSpan(parent context.Context) (s span) {
	s.ctx, s.end = context.WithCancelCause(parent)
	return s
}

func newMaster(f *Follower, addr string) (*master, error) {
	conn, err := f.dial(addr)
	if err != nil {
		return nil, err
	}
	m := &master{f: f, addr: addr}
	m.conn.Store(conn)
	m.ctx, m.stop = context.WithCancel(f.ctx)
	m.life = newSpan(m.ctx)
	m.tenure = newSpan(m.life.ctx)
	return m, nil
}

func (f *Follower) dial(addr string) (*grpc.ClientConn, error) {
	opts := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxPause},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}, f.cfg.Dial...)
	return grpc.NewClient(uri(addr), opts...)
}

// reconnect replaces a connection that waits for its next attempt. (grpc's
// ResetConnectBackoff would do, but walks a map that another goroutine may write.)
// Called with Follower.mu held.
func (m *master) reconnect() {
	old := m.conn.Load()
	if old.GetState() != connectivity.TransientFailure {
		return
	}
	conn, err := m.f.dial(m.addr)
	if err != nil {
		return // the old one will do, a little later
	}
	m.conn.Store(conn)
	conn.Connect()
	old.Close()
}

// uri spares addresses that are literal IPs the resolver.
func uri(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	if net.ParseIP(host) != nil {
		return "passthrough:///" + addr
	}
	return "dns:///" + addr
}

func (m *master) close() {
	m.stop()
	m.conn.Load().Close()
}

// endLife and endTenure are called with Follower.mu held.
func (m *master) endLife() {
	m.life.end(errOver)
	m.life = newSpan(m.ctx)
	m.tenure = newSpan(m.life.ctx)
}

func (m *master) endTenure() {
	m.tenure.end(errOver)
	m.tenure = newSpan(m.life.ctx)
}

// watch holds the WatchLeader stream until m is closed.
func (m *master) watch() {
	var p Pause
	for m.ctx.Err() == nil {
		cc := taskraftv1.NewClusterServiceClient(m.conn.Load())
		stream, err := cc.WatchLeader(m.ctx, &taskraftv1.WatchLeaderRequest{})
		for err == nil {
			var info *taskraftv1.LeaderInfo
			if info, err = stream.Recv(); err == nil {
				p.Reset()
				m.f.Learn(info, m.addr)
			}
		}
		p.Wait(m.ctx, nil)
	}
}

// Invoke makes one unary call and notes whether it was sent and answered.
func (m *master) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	m.begin()
	defer m.waiting.Add(-1)
	var p peer.Peer
	err := m.conn.Load().Invoke(ctx, method, args, reply, append(opts, grpc.Peer(&p))...)
	if err == nil {
		m.hear()
		return nil
	}
	if p.Addr == nil {
		return &unsentError{err}
	}
	if ctx.Err() == nil {
		m.hear()
	}
	return err
}

// NewStream opens a stream. Until it is answered by a first message it counts as a
// call; from then on its user looks after its liveness, and must receive.
func (m *master) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m.begin()
	s, err := m.conn.Load().NewStream(ctx, desc, method, opts...)
	if err != nil {
		m.waiting.Add(-1)
		return nil, err
	}
	return &stream{ClientStream: s, m: m}, nil
}

type stream struct {
	grpc.ClientStream
	m        *master
	answered bool // only the receiver looks
}

func (s *stream) RecvMsg(msg any) error {
	err := s.ClientStream.RecvMsg(msg)
	if !s.answered {
		s.answered = true
		s.m.waiting.Add(-1)
		s.m.hear()
	}
	return err
}

func (m *master) begin() {
	if m.waiting.Add(1) == 1 {
		m.hear()
	}
}

// hear notes a sign of life, or that there was nothing to listen to until now.
func (m *master) hear() { m.heard.Store(int64(time.Since(m.f.began))) }

func (m *master) silent() time.Duration {
	return time.Since(m.f.began) - time.Duration(m.heard.Load())
}

// watchdog finds masters that hold calls and say nothing.
func (f *Follower) watchdog() {
	tick := time.NewTicker(probeAfter / 4)
	defer tick.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
			f.mu.Lock()
			masters := f.order
			f.mu.Unlock()
			for _, m := range masters {
				if m.waiting.Load() > 0 && m.silent() > probeAfter && m.probing.CompareAndSwap(false, true) {
					f.wg.Go(m.probe)
				}
			}
		}
	}
}

// probe asks m for a sign of life: any answer is one.
func (m *master) probe() {
	defer m.probing.Store(false)
	ctx, cancel := context.WithTimeout(m.ctx, probeLimit)
	defer cancel()
	var p peer.Peer
	_, err := healthpb.NewHealthClient(m.conn.Load()).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&p))
	if err == nil || ctx.Err() == nil {
		m.hear()
		return
	}
	if m.ctx.Err() == nil {
		m.hear() // the next round begins now
		m.f.hung(m)
	}
}
