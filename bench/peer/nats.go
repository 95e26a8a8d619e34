package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskraft/taskraft/internal/proc"
)

// The ways to use JetStream. A double ack is the one that is confirmed; a plain
// one is sent and forgotten, and its message comes again should it be lost.
const (
	wayDoubleAck      = "publish, double ack"
	wayPlainAck       = "publish, plain ack"
	wayAsyncDoubleAck = "async publish, double ack"
	wayAsyncPlainAck  = "async publish, plain ack"
	wayAtomicPlainAck = "atomic batches, plain ack"
)

const (
	natsServers = 3
	stream      = "BENCH"
	subject     = "bench.task"
	durable     = "workers"
	// failoverTry is how long a call may wait for an answer before it is repeated
	// when servers are killed; the client's default is 5 s.
	failoverTry = 500 * time.Millisecond
)

// natsSystem is three servers with one stream of three replicas.
type natsSystem struct {
	setup      Setup
	syncAlways bool

	servers []*natsServer
	control *nats.Conn // for questions and the set-up
	js      jetstream.JetStream
	pool    []*nats.Conn // shared by the producers
	next    atomic.Int64

	mu    sync.Mutex // guards conns
	conns []*nats.Conn
}

// natsServer is one server, over its restarts.
type natsServer struct {
	name, client, dir string
	args              []string
	process           *proc.Process
}

func newNATS(syncAlways bool) func(Setup) System {
	return func(s Setup) System { return &natsSystem{setup: s, syncAlways: syncAlways} }
}

func (s *natsServer) start() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find my own program: %w", err)
	}
	s.process, err = proc.Start(proc.Spec{
		Name: s.name, Path: self, Args: s.args, Log: filepath.Join(s.dir, s.name+".out"),
	})
	return err
}

func (n *natsSystem) Start(ctx context.Context, dir string) error {
	ports, err := proc.FreePorts(2 * natsServers)
	if err != nil {
		return err
	}
	var routes []string
	for _, port := range ports[natsServers:] {
		routes = append(routes, addr(port))
	}
	for i := range natsServers {
		name := fmt.Sprintf("s%d", i+1)
		s := &natsServer{name: name, client: addr(ports[i]), dir: dir, args: []string{
			NATSServerCommand, "-name", name, "-store", filepath.Join(dir, name), "-log", filepath.Join(dir, name+".log"),
			"-port", strconv.Itoa(ports[i]), "-cluster-port", strconv.Itoa(ports[natsServers+i]),
			"-routes", strings.Join(routes, ","), "-sync-always=" + strconv.FormatBool(n.syncAlways),
		}}
		if err := s.start(); err != nil {
			return err
		}
		n.servers = append(n.servers, s)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := n.create(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, n.servers[0].process.LogTail(2<<10))
	}
	return nil
}

// create connects and makes the stream and its consumer.
func (n *natsSystem) create(ctx context.Context) error {
	var err error
	if n.control, err = n.connect(""); err != nil {
		return err
	}
	if n.js, err = jetstream.New(n.control); err != nil {
		return err
	}
	cfg := jetstream.StreamConfig{
		Name: stream, Subjects: []string{subject}, Replicas: natsServers, Storage: jetstream.FileStorage,
		Retention: jetstream.WorkQueuePolicy, AllowAtomicPublish: n.setup.Way == wayAtomicPlainAck,
	}
	err = n.until(ctx, "the stream is made", func(ctx context.Context) error {
		_, err := n.js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
	if err != nil {
		return err
	}
	err = n.until(ctx, "the consumer is made", func(ctx context.Context) error {
		_, err := n.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1 << 16,
		})
		return err
	})
	if err != nil {
		return err
	}
	if err := n.caughtUp(ctx); err != nil {
		return err
	}
	for range min(processes, n.setup.Producers) {
		conn, err := n.connectToLeader(ctx)
		if err != nil {
			return err
		}
		n.pool = append(n.pool, conn)
	}
	return nil
}

// until repeats a call, each try limited to a second, until it succeeds.
func (n *natsSystem) until(ctx context.Context, what string, call func(context.Context) error) error {
	var last error
	err := proc.Poll(ctx, 100*time.Millisecond, what, func() bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		last = call(ctx)
		return last == nil
	})
	return errors.Join(err, last)
}

// connect connects to the server with that client address, and to the others
// when it is lost; "" stands for any.
func (n *natsSystem) connect(first string) (*nats.Conn, error) {
	urls := []string{"nats://" + first}
	if first == "" {
		urls = nil
	}
	for _, s := range n.servers {
		if s.client != first {
			urls = append(urls, "nats://"+s.client)
		}
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.DontRandomize(), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.Timeout(time.Second), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	n.mu.Lock()
	n.conns = append(n.conns, conn)
	n.mu.Unlock()
	return conn, nil
}

// connectToLeader saves a call the way through another server.
func (n *natsSystem) connectToLeader(ctx context.Context) (*nats.Conn, error) {
	leader, err := n.leader(ctx)
	if err != nil {
		return nil, err
	}
	return n.connect(leader.client)
}

func (n *natsSystem) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := n.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	if info.Cluster == nil {
		return nil, errors.New("the stream is in no cluster")
	}
	return info, nil
}

// leader returns the server that leads the stream.
func (n *natsSystem) leader(ctx context.Context) (*natsServer, error) {
	var leader *natsServer
	err := n.until(ctx, "the stream has a leader", func(ctx context.Context) error {
		info, err := n.info(ctx)
		if err != nil {
			return err
		}
		for _, s := range n.servers {
			if s.name == info.Cluster.Leader {
				leader = s
				return nil
			}
		}
		return fmt.Errorf("leader %q", info.Cluster.Leader)
	})
	return leader, err
}

// caughtUp waits until all replicas are current.
func (n *natsSystem) caughtUp(ctx context.Context) error {
	return n.until(ctx, "all replicas are current", func(ctx context.Context) error {
		info, err := n.info(ctx)
		if err != nil {
			return err
		}
		current := 0
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
		if current != natsServers-1 {
			return fmt.Errorf("%d of %d followers are current", current, natsServers-1)
		}
		return nil
	})
}

func (n *natsSystem) KillLeader(ctx context.Context) (func(context.Context) error, error) {
	leader, err := n.leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := leader.process.Kill(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := leader.start(); err != nil {
			return err
		}
		return n.caughtUp(ctx)
	}, nil
}

func (n *natsSystem) PIDs() []int {
	var pids []int
	for _, s := range n.servers {
		pids = append(pids, s.process.PID())
	}
	return pids
}

// Stop kills the servers: nobody needs their data any more.
func (n *natsSystem) Stop() error {
	n.mu.Lock()
	for _, conn := range n.conns {
		conn.Close()
	}
	n.mu.Unlock()
	var errs []error
	for _, s := range n.servers {
		if s.process.Running() {
			errs = append(errs, s.process.Kill())
		}
	}
	return errors.Join(errs...)
}
